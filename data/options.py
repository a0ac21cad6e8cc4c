"""The options by which chats become text: a run's choice, so that all who train in it prepare alike."""

from pathlib import Path

import json5
from pydantic import BaseModel, ConfigDict, ValidationError

from data.errors import DataError


class DataSettings(BaseModel):
    """The options of a run: letters become small ones, and every message begins with its sender (`<P1>: …`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    lower_case: bool = True
    speakers: bool = False


def options_in(config: Path) -> DataSettings:
    """Return the section `data` of a settings file; the defaults if there is no file or no such section in it.

    Raises DataError, its message starting with the path.
    """
    try:
        document = json5.loads(config.read_text(encoding="utf-8-sig"))
        section = document.get("data", {}) if isinstance(document, dict) else {}
        return DataSettings.model_validate(section)
    except FileNotFoundError:
        return DataSettings()
    except OSError as error:
        raise DataError(f"{config}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        key = ".".join(map(str, ("data", *error.errors()[0]["loc"])))
        allowed = ", ".join(DataSettings.model_fields)
        raise DataError(f"{config}: {key} must be true or false, one of: {allowed}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{config}: is not valid JSON: {error}") from None
