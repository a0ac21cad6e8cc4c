"""How chats become text. A run's choice: whoever trains in it prepares its text in the same way."""

from pydantic import BaseModel, ConfigDict


class DataSettings(BaseModel):
    """Whether letters become small ones, and whether every message begins with who says it (`<P1>: …`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    lower_case: bool = True
    speakers: bool = False
