"""What a peer says of itself on the swarm's notice board."""

from __future__ import annotations

import enum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from minigpt.checkpoint.manifest import Count


class Role(enum.StrEnum):
    """What a peer is doing; the order is that of a peer's life."""

    LOOKING = "looking"  # for a run to join
    FOUNDING = "founding"  # preparing a new run, because nobody had one
    JOINING = "joining"  # taking settings, tokenizer and state from a donor
    RELAYING = "relaying"  # keeping the newest state for others, without text to train on
    TRAINING = "training"
    LEFT = "left"  # a goodbye


Base58 = Annotated[str, Field(min_length=1, max_length=64, pattern="^[1-9A-HJ-NP-Za-km-z]+$")]  # a peer id
State = tuple[int, int, str]  # (sequences behind it, round, lineage): see Notice.state


class Notice(BaseModel):
    """What a peer says of itself on the swarm's notice board (a DHT key with one subkey an address and a short expiry).

    Comes from the network: everything is bounded, and what does not fit is no notice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    peer: Base58
    name: str = Field(min_length=1, max_length=64)
    address: str = Field(max_length=100, pattern=r"^(/ip4/[0-9]+(\.[0-9]+){3}/tcp/[0-9]+/p2p/\w+)?$")  # multiaddr
    role: Annotated[Role, Field(strict=False)]
    started: float = Field(default=0.0, ge=0, lt=1e12, allow_inf_nan=False)  # in the swarm's time, seconds
    run_id: str = Field(default="", max_length=64)
    round: Count = 0
    anchor: str = Field(default="", max_length=64)  # lineage of the parameters the swarm agreed on
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
    paused: str = Field(default="", max_length=64)  # why it does not train now, such as "battery at 9 %"

    @property
    def has_state(self) -> bool:
        """Whether it has a state of the run to give."""
        return self.role in (Role.RELAYING, Role.TRAINING)

    @property
    def state(self) -> State:
        """Orders states of one run: more training behind it, then the later round, then any order all agree on."""
        return (self.trained, self.round, self.anchor)


def parse_notice(address: str, value: object) -> Notice | None:
    """The notice that a peer left under its own address; None if it is not one, or speaks for somebody else."""
    try:
        notice = Notice.model_validate(value)
    except ValidationError:
        return None
    is_its_own = notice.address == address and address.endswith(f"/p2p/{notice.peer}")
    return notice if is_its_own and (notice.name + notice.paused).isprintable() else None


def is_earlier_twin(other: Notice, me: Notice) -> bool:
    """Whether the other one has our identity, and we, who started later, are to take another."""
    return other.peer == me.peer and (other.started, other.address) < (me.started, me.address)


def with_distinct_names(others: list[Notice], me: Notice | None) -> list[Notice]:
    """The others; of devices with one name the first to start keeps it, the next ones are "name (2)", "name (3)"."""
    known = others if me is None else [*others, me]
    counts: dict[str, int] = {}
    names: dict[str, str] = {}
    for notice in sorted(known, key=lambda notice: (notice.started, notice.peer)):
        count = counts[notice.name] = counts.get(notice.name, 0) + 1
        names[notice.peer] = notice.name if count == 1 else f"{notice.name} ({count})"
    return [notice.model_copy(update={"name": names[notice.peer]}) for notice in others]
