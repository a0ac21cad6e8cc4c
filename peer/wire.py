"""Every message that crosses the network, as one model each: its fields, their units and their bounds.

Who takes something from the network parses it here first, and nothing that has passed is checked again for its form. A
message is strict, so that "3" is no number, and says nothing that its model does not know. What a well-formed message
means, and whether it is believed, is decided in the rooms above.

The file is below all rooms of `peer/`, and not in `peer/network/`: the rooms under the network, `swarm/` and `state/`,
use these models too, and imports only go down. Some things are elsewhere. A locked run has its messages in
`wire_household.py` and `wire_knocking.py`, and asking the model of another device in `wire_asking.py`. A checkpoint's
manifest is a file's format as well as a message, and is in `minigpt/checkpoint/manifest.py`. The DHT's records, the
matchmaking and the envelopes of everything else are hivemind's own protobuf messages.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Annotated, ClassVar, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from minigpt.checkpoint.manifest import SIZE_LIMITS, Count, Sha256, first_problem

# To be raised by whoever changes what devices say to each other. Devices of two versions hear of each other, on the
# notice board and by mDNS, which all versions have in common; they say so to their users and do nothing together.
# 3: a number in a payload is in units of `movements_of_a_step`, and no longer in learning rates.
# 4: notices are signed.
# 5: changes of a household are signed, and what is said in the clear has no run id in it.
PROTOCOL_VERSION: Final = 5
FIRST_SIGNED_VERSION: Final = 4  # from this one on, all versions sign their notices in the same way

MAX_SAMPLES = 2**24  # sequences that one peer gives in one exchange
MAX_COUNT = 2**20  # steps of one exchange
MAX_PEERS = 64  # in one exchange
KEY_BYTES = 256  # of an identity's RSA key, and of a signature by it
MAX_PROGRESS = 2**40  # of rounds, sequences or steps behind a state; more was made up, to be followed for ever
MOST_REFUSED = 4  # peers that a notice says are refused
NAMELESS = "a device"  # of a locked run, to whoever does not belong to it
SHARD_BYTES = 2**20
MOST_LEFT_OUT = 8  # peers that one says to be at odds with the group
MOST_LISTED = 2**15  # shards of one peer: their list must fit in a message of 4 MiB


class ProtocolViolation(ValueError):
    """A message that honest software does not send; this one says what is wrong with it, in one line."""


class Message(BaseModel):
    """A message from or to another device: nothing unknown in it, nothing converted, and no larger than MAX_BYTES."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    MAX_BYTES: ClassVar[int] = 4096  # of its text


Kind = TypeVar("Kind", bound=BaseModel)


def parse(kind: type[Kind], text: str | bytes) -> Kind:
    """Return the message in a JSON text from the network. Raises ProtocolViolation."""
    most = getattr(kind, "MAX_BYTES", Message.MAX_BYTES)
    if len(text) > most:
        raise ProtocolViolation(f"it has {len(text):,} bytes, and at most {most:,} are allowed")
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise ProtocolViolation(first_problem(error)) from error


def parse_value(kind: type[Kind], value: object) -> Kind:
    """Return the message in a value from the network that is no text any more. Raises ProtocolViolation."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise ProtocolViolation(first_problem(error)) from error


# ---------------------------------------------------------------------- parts of messages


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it cannot be printed on one line")
    return text


def _within_ipv4(address: str) -> str:
    _, _, host, _, port, _, _ = address.split("/")
    if IPv4Address(host).compressed != host or int(port) > 65535:
        raise ValueError("there is no such address")
    return address


def _of_a_checkpoint(name: str) -> str:
    if name not in SIZE_LIMITS:
        raise ValueError("no checkpoint has such a file")
    return name


Base58 = Annotated[str, Field(min_length=1, max_length=64, pattern="^[1-9A-HJ-NP-Za-km-z]+$")]  # a peer id
Multiaddress = Annotated[  # of a peer: /ip4/ADDRESS/tcp/PORT/p2p/PEER
    str,
    Field(max_length=100, pattern=r"^/ip4/[0-9]+(\.[0-9]+){3}/tcp/[0-9]{1,5}/p2p/[1-9A-HJ-NP-Za-km-z]{1,64}$"),
    AfterValidator(_within_ipv4),
]
Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]  # of a device, as people call it
Shown = Annotated[str, Field(max_length=64), AfterValidator(_printable)]  # to whoever reads of it
RUN_NAME = "[a-z0-9-]{1,40}"
RunName = Annotated[str, Field(pattern=f"^{RUN_NAME}$")]
RunId = Annotated[str, Field(pattern=f"^{RUN_NAME}-[0-9a-f]{{12}}$")]
Version = Annotated[int, Field(ge=1, lt=2**16)]  # of the protocol
FileName = Annotated[str, AfterValidator(_of_a_checkpoint)]  # of a file in a checkpoint's folder
Time = Annotated[float, Field(ge=0, lt=1e12, allow_inf_nan=False)]  # in the swarm's time, seconds
Lineage = Annotated[str, Field(pattern="^[0-9a-f]{1,64}$")]
Fingerprint = Annotated[str, Field(pattern="^([0-9a-f]{16})?$")]
Bytes = Annotated[int, Field(ge=0, le=max(SIZE_LIMITS.values()))]  # of a file: an offset, or how many
DeviceKind = Literal["phone", "laptop", "unknown"]
Judgement = Literal["", "gains", "learnt"]  # of a device on its held-out loss; "" while it cannot tell
State = tuple[int, int, str]  # (sequences behind it, round, lineage): see Notice.state
WhichState = Literal["newest", "best"]  # of a donor's states; the best one is by its own held-out loss


def is_run_name(text: str) -> bool:
    """Return whether a run can have that name."""
    return re.fullmatch(RUN_NAME, text) is not None


# ---------------------------------------------------------------------- what peers say of themselves


class Role(enum.StrEnum):
    """The work of a peer; the order is that of a peer's life."""

    LOOKING = "looking"  # for a run to join
    FOUNDING = "founding"  # preparing a new run, because nobody had one
    JOINING = "joining"  # taking settings, tokenizer and state from a donor
    RELAYING = "relaying"  # keeping the newest state for others, without text to train on
    TRAINING = "training"
    LEFT = "left"  # a goodbye


class Notice(Message):
    """The entry of a peer on the swarm's notice board (a DHT key with one subkey an address and a short expiry)."""

    version: Literal[5] = PROTOCOL_VERSION  # of another one it is an OtherVersion
    peer: Base58
    name: Name
    address: Multiaddress | Literal[""]
    role: Annotated[Role, Field(strict=False)]
    started: Time = 0.0
    run_id: Shown = ""
    round: Count = 0
    lineage: str = Field(default="", max_length=64)  # of the anchor: the parameters the swarm agreed on
    trained: Count = 0  # sequences behind the anchor, of the whole swarm
    offered: Count = 0  # sequences this peer has trained since the anchor
    reachable: bool = True  # others can open a connection to it
    sharing: bool = False  # its newest checkpoint leads to its anchor of now, by means that it has kept
    gives_text: bool = False  # it was started with --share-data
    sequences: Count = 0  # of its own text, in one pass; devices with the same text say the same
    tokens_per_second: float = Field(default=0.0, ge=0, lt=1e12, allow_inf_nan=False)
    ready: bool = False  # to exchange at its anchor
    pause: float = Field(default=0.0, ge=0, lt=1e4, allow_inf_nan=False)  # seconds that it needs between exchanges
    step_seconds: float = Field(default=0.0, ge=0, lt=1e6, allow_inf_nan=False)
    judgement: Judgement = ""  # it has something to gain from its chats, or they are learnt
    judges: bool = False  # it has text enough held out to tell a good state
    refuses: Annotated[tuple[Base58, ...], Field(strict=False, max_length=MOST_REFUSED)] = ()  # whose newer states
    went_back: Time = 0.0  # from a state that it had taken, to one of its own; 0 for never
    household: Fingerprint = ""  # of the household that it knows, see `peer/swarm/household.py`; "" for none
    at_odds: Annotated[tuple[Base58, ...], Field(strict=False, max_length=MOST_LEFT_OUT)] = ()  # as far as it has seen
    paused: Shown = ""  # why it does not train now, such as "battery at 9 %"
    kind: DeviceKind = "unknown"  # for people who look for it

    @property
    def has_state(self) -> bool:
        """Return whether it has a state of the run to give."""
        return self.role in (Role.RELAYING, Role.TRAINING)

    @property
    def state(self) -> State:
        """Order states of one run: more training behind it, then the later round, then any order all agree on."""
        return (self.trained, self.round, self.lineage)


class Signature(BaseModel):
    """The part of a notice that proves whose it is (`peer/network/signatures.py`)."""

    model_config = ConfigDict(frozen=True, strict=True)  # the rest of the notice is beside it

    key: Annotated[bytes, Field(min_length=KEY_BYTES, max_length=KEY_BYTES)]  # the modulus of the RSA key, big-endian
    signature: Annotated[bytes, Field(min_length=KEY_BYTES, max_length=KEY_BYTES)]


def parse_signature(value: object) -> Signature | None:
    """Return the signature in what a peer left on the notice board; None where there is none."""
    try:
        return parse_value(Signature, value)
    except ProtocolViolation:
        return None


def unsigned(value: Mapping[str, object]) -> dict[str, object]:
    """Return what a peer left on the notice board without its signature: that is what the signature is about."""
    return {name: content for name, content in value.items() if name not in Signature.model_fields}


def parse_notice(address: str, value: object) -> Notice | None:
    """Return the notice that a peer left under its own address; None if it is not one, or speaks for somebody else.

    Whether the signature that may be with it is right is not checked here.
    """
    if not isinstance(value, dict) or "version" not in value:
        return None
    try:
        notice = parse_value(Notice, unsigned(value))
    except ProtocolViolation:
        return None
    is_its_own = notice.address == address and address.endswith(f"/p2p/{notice.peer}")
    return notice if is_its_own else None


class OtherVersion(BaseModel):
    """The part of a notice, or of an announcement, that all versions of the protocol have, where it is not ours."""

    model_config = ConfigDict(frozen=True, strict=True)  # what else another version says is not ours to judge

    version: Version = 1  # which did not say so
    peer: Base58
    name: Name
    address: Multiaddress


def parse_other_version(address: str, value: object) -> OtherVersion | None:
    """Return who left a notice of another version under its own address; None if it is nothing of the kind."""
    try:
        other = parse_value(OtherVersion, value)
    except ProtocolViolation:
        return None
    is_its_own = other.address == address and address.endswith(f"/p2p/{other.peer}")
    return other if is_its_own and other.version != PROTOCOL_VERSION else None


class Announcement(Message):
    """The properties that a peer announces by mDNS, all of them text there. In a locked run it says no names.

    Everybody on the network hears it; that a device is there, and its peer id, whoever connects to it learns as well.
    """

    version: Annotated[Version, Field(strict=False)] = PROTOCOL_VERSION
    address: Multiaddress
    name: Name | Literal[""]
    run: RunName | Literal[""]  # that it trains; none for a bootstrap node, and in a locked run
    started: Annotated[Time, Field(strict=False)]
    tag: Fingerprint = ""  # of a locked run: the same on its devices, and says nothing to others

    @model_validator(mode="after")
    def check(self) -> Self:
        """Refuse a device that has no name, or has one beside a tag."""
        if bool(self.name) == bool(self.tag) or (self.tag and self.run):
            raise ValueError("it says a name where it should not, or none where it should")
        return self

    def properties(self) -> dict[str, str]:
        """Return them as text."""
        return {**self.model_dump(), "version": str(self.version), "started": f"{self.started:.1f}"}

    @property
    def other_version(self) -> OtherVersion | None:
        """The peer that announces itself, where it is of another version."""
        if self.version == PROTOCOL_VERSION:
            return None
        peer = self.address.rpartition("/p2p/")[2]
        return OtherVersion(version=self.version, peer=peer, name=self.name or NAMELESS, address=self.address)


def parse_announcement(properties: Mapping[str, str | None]) -> Announcement:
    """Return what an mDNS record announces; properties that no peer has are not looked at. Raises ProtocolViolation."""
    known = {key: properties.get(key) or "" for key in Announcement.model_fields}
    return parse_value(Announcement, {**known, "version": known["version"] or "1"})  # the first one did not say so


class CallBackRequest(Message):
    """A request to open a TCP connection to the device that asks, to see whether others can."""

    port: int = Field(ge=1, le=65535)


# ---------------------------------------------------------------------- exchanges


class Declared(Message):
    """The description of the pseudo-gradient that a peer gives in an exchange; see `PseudoGradientAverager.exchange`.

    It travels in hivemind's matchmaking, as msgpack.
    """

    bits: Literal[2, 8]  # a number: COARSE or FINE of peer/state/anchor.py
    lineage: str = Field(max_length=64)  # of the anchor that it stands at
    samples: int = Field(ge=0, le=MAX_SAMPLES)  # sequences behind it
    weight: int = Field(ge=0, le=MAX_SAMPLES)  # sequences that weigh in the mean
    steps: int = Field(ge=0, le=MAX_COUNT)  # in which these were trained
    group_size: int = Field(ge=1, le=MAX_PEERS)  # peers that it expects, itself among them
    patience: float = Field(ge=0, lt=1e4, allow_inf_nan=False)  # seconds that it waits for them

    @model_validator(mode="after")
    def check(self) -> Self:
        """Refuse more weight than there is training."""
        if self.weight > self.samples:
            raise ValueError(f"{self.weight} of {self.samples} sequences cannot be averaged with")
        return self


Samples = Annotated[
    list[tuple[Base58, Annotated[int, Field(ge=0, le=MAX_SAMPLES)]]], Field(min_length=1, max_length=MAX_PEERS)
]


def exchange_prefix(run_id: str) -> str:
    """Return the name under which hivemind's averagers of a run find each other: those of one protocol only.

    Whoever asks p2pd is told it, so it says nothing: the hash in a run's id is of what strangers do not have.
    """
    return hashlib.sha256(f"exchanges of {run_id} by version {PROTOCOL_VERSION}".encode()).hexdigest()[:16]


class MeanHeader(RootModel[tuple[Lineage, Samples, Annotated[int, Field(ge=1, le=MAX_COUNT)]]]):
    """The header in a file of a mean: lineage of the anchor that it moves, sequences of each peer in it, and steps.

    A list, for its text goes into the hash that names the next anchor (`peer/state/means.py`).
    """

    model_config = ConfigDict(frozen=True, strict=True)

    MAX_BYTES: ClassVar[int] = 2**16

    @property
    def previous(self) -> str:
        """The lineage of the anchor that the mean moves."""
        return self.root[0]

    @property
    def samples(self) -> dict[str, int]:
        """Peer id -> sequences."""
        return dict(self.root[1])

    @property
    def count(self) -> int:
        """Steps that the anchor makes of it."""
        return self.root[2]


# ---------------------------------------------------------------------- asking for state


class ManifestRequest(Message):
    """A request for the manifest of the newest checkpoint, or of the best one (`minigpt/checkpoint/manifest.py`).

    Who keeps no best one answers with the newest.
    """

    run: RunName | Literal[""]  # "" for whatever it trains
    state: WhichState


class PiecesRequest(Message):
    """A request for the SHA-256 of every piece of a file, one after the other."""

    run: RunName
    file: FileName
    sha256: Sha256  # of the file


class FileRequest(PiecesRequest):
    """A request for some bytes of a file."""

    offset: Bytes
    size: Bytes


class MeanRequest(Message):
    """A request for some bytes of the mean that moved an anchor."""

    run: RunName
    previous: Sha256  # lineage of the anchor that it moved
    offset: Bytes
    size: Bytes


# ---------------------------------------------------------------------- asking for text


class ShardRequest(Message):
    """A request for the bytes of a shard of token ids, from an offset on."""

    sha256: Sha256
    offset: int = Field(ge=0, lt=SHARD_BYTES)


class ShardList(Message):
    """The shards of token ids that a peer gives; their number, their hashes and their bytes have to fit together."""

    MAX_BYTES: ClassVar[int] = 2**22

    format: Literal[1] = 1
    tokenizer: Sha256
    type: Literal["<u2", "<u4"]  # of an id, as numpy says it
    bytes: Annotated[int, Field(ge=1, le=MOST_LISTED * SHARD_BYTES)]
    shards: Annotated[list[Sha256], Field(strict=False, max_length=MOST_LISTED)]  # their names
    sha256: Sha256  # of the shards' hashes, one after the other

    @model_validator(mode="after")
    def check(self) -> Self:
        """Refuse what does not fit together."""
        if len(self.shards) != -(-self.bytes // SHARD_BYTES) or self.bytes % int(self.type[2:]):
            raise ValueError("so many bytes make another number of shards")
        if hash_of(self.shards) != self.sha256:
            raise ValueError("the hashes do not have the hash that they should have")
        return self

    def size(self, index: int) -> int:
        """Return the bytes of a shard: all have SHARD_BYTES but the last."""
        return min(SHARD_BYTES, self.bytes - index * SHARD_BYTES)


def hash_of(shards: list[str]) -> str:
    """Return the SHA-256 over the names of shards, in hexadecimal."""
    return hashlib.sha256("".join(shards).encode()).hexdigest()
