"""A checkpoint's table of contents, `training.json`: how far the run was, and size and hash of every other file
but the model card, which is for people.

It is the part of a checkpoint that is judged first, also when it comes from another device: names from a fixed list,
believable sizes, nothing unknown.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data.terminal import printable

MODEL, OPTIMIZER, LOCAL = "model.safetensors", "optimizer.safetensors", "local.safetensors"
AVERAGE = "average.safetensors"
MODEL_CONFIG, SETTINGS, MANIFEST = "config.json", "settings.json", "training.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.model", "tokenizer_config.json"
POSITION = "position.json"

# What may be in a checkpoint, and how many bytes of each are believable; nothing else is ever taken from anybody.
SIZE_LIMITS = {
    MODEL: 2**36,
    OPTIMIZER: 2**36,
    LOCAL: 2**35,
    AVERAGE: 2**35,
    MODEL_CONFIG: 2**16,
    SETTINGS: 2**16,
    TOKENIZER: 2**26,
    TOKENIZER_CONFIG: 2**16,
    POSITION: 2**16,
}
OPTIONAL = {OPTIMIZER, LOCAL, AVERAGE, POSITION}
MANIFEST_LIMIT = 2**16


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or written; one line that names the folder and the reason."""


@dataclass(frozen=True)
class Progress:
    """The progress of a run: its rounds, the sequences that the swarm trained, and the anchor that came of them.

    `step` counts this device's inner steps, and `updates` the AdamW steps behind the moments. `version` is the hash of
    the anchor's parameters; `lineage` names the anchor by what made it (`peer/state/means.py`).
    """

    run: str
    run_id: str
    round: int
    samples: int
    step: int
    version: str
    lineage: str = ""
    updates: int = 0

    @property
    def age(self) -> tuple[int, int, int]:
        """Order the states of one device in one run: the later one is the larger."""
        return (self.round, self.samples, self.step)

    @property
    def lineage_or_version(self) -> str:
        """The name that peers call the anchor by: its lineage, or its version where no mean has led to it yet."""
        return self.lineage or self.version


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Loss = Annotated[float, Field(ge=0, lt=1e6, allow_inf_nan=False)]


class FileEntry(BaseModel):
    """The size in bytes and the hash of one file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    size: Count
    sha256: Sha256


class Standing(BaseModel):
    """The part of a device's own training that is in the anchor, that is not, and that others have not seen.

    `own` sequences are in the anchor; `offered` are not, are what `steps` steps of `local` come from, and `beside` of
    them were trained while others moved the anchor. `met` says of every peer, by its id, at which of our anchors it was
    last seen: sequences behind it, `own` there, and our steps until then. `moved_with` says when each has last moved
    the anchor with this device, seconds of `time.time`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    own: Count = 0
    offered: Count = 0
    beside: Count = 0
    steps: Count = 0
    met: dict[str, tuple[Count, Count, Count]] = {}
    moved_with: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}


class Position(BaseModel):
    """The place of a device in its own texts (its dataset's name, and the next sequence's number) and in the swarm.

    With a best state, `held_out` names the texts that it was judged on. So many sequences are `averaged` in the weight
    average, where that was kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dataset: str
    sequence: Count
    held_out: str = ""
    standing: Standing = Standing()
    averaged: Count = 0


class HeldOutLoss(BaseModel):
    """The loss of the model in a checkpoint on texts that its device holds out."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    nats: Loss  # per token
    bits: Loss  # per byte


class Manifest(BaseModel):
    """The content of `training.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    format: Literal[1]
    run: Annotated[str, Field(pattern="^[a-z0-9-]{1,40}$")]
    run_id: Annotated[str, Field(pattern="^[a-z0-9-]{1,40}-[0-9a-f]{12}$")]
    round: Count
    samples: Count
    step: Count
    version: Annotated[Sha256, Field(alias="anchor")]  # which it has been called on disk from the first
    lineage: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    updates: Count = 0
    time: Annotated[float, Field(ge=0, allow_inf_nan=False)]  # Unix seconds
    held_out: HeldOutLoss | None = None  # of a best state
    files: dict[str, FileEntry]

    @model_validator(mode="after")
    def check_files(self) -> Self:
        for name, entry in self.files.items():
            if name not in SIZE_LIMITS:
                raise ValueError(f"it lists a file that no checkpoint has: {name[:40]!r}")
            if entry.size > SIZE_LIMITS[name]:
                raise ValueError(f"{name} would have {entry.size} bytes, and at most {SIZE_LIMITS[name]} are allowed")
        if missing := SIZE_LIMITS.keys() - OPTIONAL - self.files.keys():
            raise ValueError(f"it does not list {', '.join(sorted(missing))}")
        return self

    def dump(self) -> bytes:
        """Return the bytes of a `training.json`. A loss that is not there is left out: devices of before know none."""
        return self.model_dump_json(indent=2, by_alias=True, exclude_none=True).encode()

    @property
    def progress(self) -> Progress:
        """The progress that the checkpoint is of."""
        return Progress(
            self.run, self.run_id, self.round, self.samples, self.step, self.version, self.lineage, self.updates
        )


def parse_manifest(data: bytes) -> Manifest:
    """Return the manifest in the bytes of a `training.json`, wherever they came from. Raises CheckpointError."""
    if len(data) > MANIFEST_LIMIT:
        raise CheckpointError(f"{MANIFEST} has more than {MANIFEST_LIMIT} bytes")
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise CheckpointError(f"{MANIFEST} is not valid: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """Return the first thing that is wrong with what another device has sent, as a line that can be shown."""
    problem = error.errors(include_url=False, include_input=False)[0]
    place = "".join(f"{part}: " for part in problem["loc"])
    return printable(f"{place}{problem['msg']}")[:200]


def reason(error: Exception) -> str:
    """Return why reading or writing failed, in a few words."""
    if isinstance(error, OSError):
        return f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
    return printable(str(error).rpartition("I/O error: ")[-1])[:200]
