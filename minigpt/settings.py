"""The settings of a run: `config.json`, its defaults and what is allowed in it.

The file is JSON with comments, in the shape of the original guide (`model`, `tokenizer`, `training`), with `swarm` in
the place of `distributed`, and with `data` and `device` besides. The guide's own file is accepted as it is. Every key
has a default. The settings that all peers of a run must share are its identity (`run_identity`). The others (batch
size, epochs, paths, packing, `device`) are each device's own, and no other device ever sees them.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import json5
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data.options import DataSettings
from data.terminal import printable

DISTRIBUTED_NOTICE = (
    '"distributed" is no longer needed and is ignored: devices find one another, so there is no world size to set '
    'and no SSH to prepare; settings of the swarm have their place in "swarm"'
)

LINKS = ("latest", "best")  # beside the runs' folders: no run can have such a name
MOST_PROBLEMS = 20  # in one error; a file of another device may have thousands


class SettingsError(ValueError):
    """Settings that cannot be used: a line for each problem, with the key, its value and what is allowed."""


class Section(BaseModel):
    """A part of the settings. A number in quotes or a misspelt key is an error and not a guess."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelSettings(Section):
    """The size of the model, and the share of each residual branch that training leaves out at random.

    Where a file names none of `d_model`, `nhead` and `num_layers`, whoever founds a run chooses them.

    `checkpoint` is a checkpoint folder whose parameters a run begins with. Only the device that founds the run uses
    it, so it is that device's own: whoever joins takes the run's state as it is by then.
    """

    d_model: Annotated[int, Field(ge=8, le=16_384)] = 512
    nhead: Annotated[int, Field(ge=1, le=256)] = 8
    num_layers: Annotated[int, Field(ge=1, le=256)] = 6
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    checkpoint: Annotated[Path, Field(strict=False)] | None = None

    @property
    def names_size(self) -> bool:
        """Whether the size was named, and is not what stands here where nothing is."""
        return not self.model_fields_set.isdisjoint({"d_model", "nhead", "num_layers"})

    @model_validator(mode="after")
    def check_heads(self) -> Self:
        if self.d_model % self.nhead:
            raise ValueError(f"d_model is {self.d_model}: it must be divisible by nhead, which is {self.nhead}")
        if self.d_model // self.nhead % 2:
            raise ValueError(
                f"d_model / nhead is {self.d_model} / {self.nhead} = {self.d_model // self.nhead}: it must be even"
            )
        return self


class TokenizerSettings(Section):
    """The tokenizer's file, and how many pieces it should have."""

    model_path: Annotated[Path, Field(strict=False)] = Path("tokenizer/minigpt.model")
    vocab_size: Annotated[int, Field(ge=265, le=1_000_000)] = 8000  # 265 is the least of a run with five tags


class DatasetSettings(Section):
    """The texts that this device trains on, as sequences of `seq_len` tokens: packed, or one padded text each.

    `block_attention` hides the texts in a packed sequence from each other.
    """

    path: Annotated[Path, Field(strict=False)] = Path("data/for-model-training/train.jsonl")
    seq_len: Annotated[int, Field(ge=2, le=65_536)] = 256
    packed: bool = True
    block_attention: bool = False


class TrainingSettings(Section):
    """The course of training: `batch_size` sequences a step, with `lr` once a device has trained `warmup_sequences`.

    After `epochs` passes of the whole swarm over its text this device is done; None is without end (see
    `peer/training/epochs.py`). It is each device's own, like `--minutes`: it says when a device leaves and nothing
    about the model, so it can be raised to train on, and a device without it goes on in the same run. So is
    `most_memorized`: lines of its texts, of a thousand, that a model may know by heart before that is said.
    """

    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 4
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    most_memorized: Annotated[int, Field(ge=0, le=1000)] = 20
    lr: Annotated[float, Field(gt=0, le=1)] = 3e-4
    warmup_sequences: Annotated[int, Field(ge=0, le=2**40)] = 256
    dataset: DatasetSettings = DatasetSettings()


class SwarmSettings(Section):
    """The way the swarm works together. A round is `samples_per_round` sequences, trained by all peers together.

    `page` is each device's own: who may see its page, this device alone, or with a link others on this network too.
    """

    run: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")] = "cellmind"
    averaging: Literal["background", "sync"] = "background"
    samples_per_round: Annotated[int, Field(ge=1, le=2**40)] = 256
    page: Literal["loopback", "lan"] = "loopback"

    @model_validator(mode="after")
    def check_run(self) -> Self:
        if self.run in LINKS:
            raise ValueError(f'run is "{self.run}": checkpoints/{self.run} is a link, give the run another name')
        return self


class DeviceSettings(Section):
    """The limits at which this device rests: a low battery that is not being charged, and heat.

    The battery is in per cent, temperatures are in degrees Celsius. What a device cannot tell is no reason to rest.
    """

    lowest_battery: Annotated[int, Field(ge=0, le=90)] = 20
    hottest_battery: Annotated[int, Field(ge=20, le=80)] = 42
    hottest_processor: Annotated[int, Field(ge=40, le=120)] = 95


class Settings(Section):
    """The whole of `config.json`."""

    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    training: TrainingSettings = TrainingSettings()
    swarm: SwarmSettings = SwarmSettings()
    device: DeviceSettings = DeviceSettings()


# The settings that belong to the run and not to a device.
SHARED = (
    "model.d_model",
    "model.nhead",
    "model.num_layers",
    "model.dropout",
    "data.lower_case",
    "data.speakers",
    "tokenizer.vocab_size",
    "training.lr",
    "training.warmup_sequences",
    "training.dataset.seq_len",
    "swarm.run",
    "swarm.averaging",
    "swarm.samples_per_round",
)


def load_settings(path: Path) -> tuple[Settings, list[str]]:
    """Return the settings in the file at `path`, and a notice to the user for each thing in it that is ignored.

    Raises SettingsError if there is no such file, or it is not JSON, or it has unknown keys or impossible values.
    """
    try:
        document = json5.loads(path.read_text(encoding="utf-8-sig"), allow_duplicate_keys=False)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        reason = printable(str(error).replace("<string>:", "line "))
        raise SettingsError(f"{path} is not valid JSON: {reason}") from error
    notices = []
    if isinstance(document, dict) and "distributed" in document:
        del document["distributed"]
        notices.append(f"{path}: {DISTRIBUTED_NOTICE}")
    return check(document, str(path)), notices


def parse_settings(text: str | bytes, source: str) -> Settings:
    """Return the settings that `dump_settings` of this or another device made `text` of.

    Raises SettingsError, in which `source` says whose they are.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{source} is not valid JSON: {error}") from error
    return check(document, source)


def dump_settings(settings: Settings) -> str:
    """Return the settings as JSON, which `parse_settings` and `load_settings` read back as the same."""
    return settings.model_dump_json(indent=2, exclude_none=True)


def check(document: object, source: str) -> Settings:
    """Return the settings in a parsed `document`.

    Raises SettingsError with a line for each thing that is wrong with it, MOST_PROBLEMS at the most; each begins with
    `source`.
    """
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        problems = error.errors()
        lines = [printable(explain(problem)) for problem in problems[:MOST_PROBLEMS]]
        if len(problems) > MOST_PROBLEMS:
            lines.append(f"and {len(problems) - MOST_PROBLEMS} more")
        raise SettingsError("\n".join(f"{source}: {line}" for line in lines)) from error


def explain(problem: Any) -> str:
    """Return one of pydantic's problems as a line with the key, the value and what is allowed."""
    kind, location, context = problem["type"], problem["loc"], problem.get("ctx", {})
    key = shortened(".".join(map(str, location))) or "the whole file"
    try:
        value = json.dumps(problem["input"], ensure_ascii=False, default=str)
    except RecursionError:
        value = "nested too deeply"
    if kind == "value_error":
        return f"{key}.{context['error']}"
    if kind == "extra_forbidden":
        return f"{key} is not a known setting; allowed here: {', '.join(keys_beside(location))}"
    allowed = {
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "bool_type": "true or false",
        "path_type": "a path in quotes",
        "string_type": "text in quotes",
        "string_pattern_mismatch": "1 to 40 small letters, digits and dashes",
        "model_type": "a section in braces",
        "greater_than_equal": "at least {ge}",
        "greater_than": "more than {gt}",
        "less_than_equal": "at most {le}",
        "less_than": "less than {lt}",
        "literal_error": "{expected}",
    }.get(kind, "something else")
    return f"{key} is {shortened(value)}: it must be {allowed.format(**context)}"


def shortened(text: str) -> str:
    """Return the text, or its beginning if it is too long for a line."""
    return text if len(text) <= 60 else text[:60] + "…"


def keys_beside(location: tuple[str, ...]) -> list[str]:
    """Return the keys that are allowed in the section in which `location` is."""
    section: type[BaseModel] = Settings
    for name in location[:-1]:
        annotation = section.model_fields[name].annotation
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        section = annotation
    return list(section.model_fields)


def run_identity(settings: Settings) -> dict[str, object]:
    """Return the settings that all peers of a run must share, by dotted name: {"model.d_model": 512, ...}."""
    document = settings.model_dump()
    return {name: lookup(document, name) for name in SHARED}


def lookup(document: dict[str, Any], name: str) -> Any:
    """Return the value at a dotted name."""
    for key in name.split("."):
        document = document[key]
    return document


def run_id(settings: Settings, tokenizer_sha256: str) -> str:
    """Return the run's name and 12 hex digits of a hash of its identity and tokenizer: "cellmind-1a2b3c4d5e6f"."""
    default = run_identity(Settings())
    identity = {
        name: value
        for name, value in run_identity(settings).items()
        if not name.startswith("data.") or value != default[name]  # younger than the runs that have none of them
    }
    identity["tokenizer"] = tokenizer_sha256
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return f"{settings.swarm.run}-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"


def differences(mine: Settings, theirs: Settings) -> list[str]:
    """Return a line for each setting that keeps these two out of one run: "model.d_model is 512 here and 128 there"."""
    there = run_identity(theirs)
    return [
        f"{name} is {value} here and {there[name]} there"
        for name, value in run_identity(mine).items()
        if value != there[name]
    ]


def with_identity_of(mine: Settings, run: Settings) -> Settings:
    """Return my settings for that run: its identity, and everything else (batch size, paths, packing) as it is here."""
    document = mine.model_dump()
    for name, value in run_identity(run).items():
        section, _, key = name.rpartition(".")
        lookup(document, section)[key] = value
    return Settings.model_validate(document)
