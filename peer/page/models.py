"""What a page is told: the snapshot that training leaves, and the answers of the page's server, all of them JSON.

    GET  /api/snapshot              Snapshot
    GET  /api/metrics?points=2000   Metrics, the whole run in so many points
    GET  /api/samples               Samples, round by round
    GET  /api/lines?since=0         Lines, those of the terminal after the one of that number
    GET  /api/text                  Text: which exports were read, and what was masked
    GET  /api/stream                server-sent events: snapshot, metrics, sample, line
    POST /api/do                    Deed; Said, or Refused with a status from 400

Whatever stands in a file may be older than this program or cut short: unknown fields are passed over, and missing ones
have defaults. Times are seconds since 1970 on this device's clock.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT = 1  # of the snapshot; raised where a field gets another meaning
PORT = 23480  # of the page, or the next free one


Values = dict[str, str | int | float]


class Model(BaseModel):
    """A part of a file or an answer; fields that it does not know are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


Kind = Literal["phone", "laptop", "unknown"]


class QuietHours(Model):
    """The hours of the day in which this device does not train, such as 22:00 to 07:00; past midnight is meant so."""

    begins: str = Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    ends: str = Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")


class DeviceNow(Model):
    """This device."""

    name: str = ""
    kind: Kind = "unknown"
    role: str = "looking"  # looking, asking, founding, joining, relaying, training or ejected
    address: str = ""  # on the LAN
    is_resting: bool = False
    is_paused: bool = False  # its owner has paused it
    why: str = ""  # it rests, such as "battery at 19 %"
    until: str = ""  # when it goes on, such as "at 30 % or on a charger"
    battery: float | None = None  # per cent; None where there is none, or it does not say
    is_charging: bool = False
    share_of_time: float = 1.0  # in which it trains
    quiet_hours: QuietHours | None = None


class RunNow(Model):
    """The run that this device takes part in, with round and tokens of its anchor."""

    name: str = ""
    id: str = ""  # "" while there is none yet
    round: int = 0
    round_sequences: int = 0  # trained in the round at hand, by all
    samples_per_round: int = 0
    parameters: int = 0
    size: str = ""  # "small" or the like, or d_model/nhead/num_layers
    tokens: int = 0  # behind the anchor
    is_locked: bool = False
    away: list[str] = []  # names of members of the locked run that are not here


class Best(Model):
    """The best state by held-out loss so far."""

    round: int = 0
    bits_per_byte: float = 0.0
    time: float | None = None


class LearningNow(Model):
    """How well the model does by now; None where it is not known yet."""

    loss: float | None = None  # of the round at hand, nats per token
    learning_rate: float | None = None
    valid_loss: float | None = None  # on held-out text, nats per token
    valid_bits_per_byte: float | None = None
    right_share: float | None = None  # how often the model's first guess of the next piece is right, 0 to 1
    best: Best | None = None
    judgement: Literal["", "gains", "learnt"] = ""


class PeerNow(Model):
    """A device of the run: this one comes first, then who is here, then who has left."""

    name: str
    peer: str = ""  # its peer id
    kind: Kind = "unknown"
    is_us: bool = False
    is_member: bool = False  # of the household, and another device than this one: it can be ejected
    role: str = "training"
    tokens_per_second: float = 0.0
    share: float | None = None  # of the last round's sequences, 0 to 1
    paused: str = ""  # why it does not train now
    battery: float | None = None
    since: float = 0.0  # when it came
    is_direct: bool | None = None  # connected without a way round; None for ourselves
    left_at: float | None = None  # None while it is here
    bytes_up: int | None = None  # bytes moved, where they are known
    bytes_down: int | None = None


class TextNow(Model):
    """An export that was read, or the text of others."""

    file: str
    messages: int = 0
    is_shared: bool = False  # whoever is on the network can take it


class LinkNow(Model):
    """What this device moves now, in bytes a second."""

    up: float = 0.0
    down: float = 0.0


class TrafficNow(Model):
    """The bytes that this device has moved since its start."""

    sent: int = 0
    received: int = 0


class DoorNow(Model):
    """This device before a locked run."""

    asks: bool = False  # to be let in
    number: str = ""  # by which it asks; "" while nobody has heard it knock
    problem: str = ""  # why nobody has
    is_ejected: bool = False  # it was in, and trains on a copy of its own; it asks as well


class KnockNow(Model):
    """A device that asks to be let into the locked run."""

    name: str
    peer: str = ""  # its peer id
    number: str = ""
    host: str = ""
    since: float = 0.0


class PageNow(Model):
    """The page itself; the server fills it in."""

    started: float = 0.0
    version: str = ""
    is_lan: bool = False  # served on the LAN as well
    is_local: bool = True  # this answer goes to a browser on this device


class Snapshot(Model):
    """The swarm as this device sees it, as training wrote it last: `checkpoints/snapshot.json`."""

    format: int = FORMAT
    time: float = 0.0  # when it was written
    started: float = 0.0  # when this peer was
    device: DeviceNow = DeviceNow()
    run: RunNow = RunNow()
    learning: LearningNow = LearningNow()
    peers: list[PeerNow] = []
    texts: list[TextNow] = []
    masked: dict[str, int] = {}  # how often each tag stands for what was taken out of them all
    link: LinkNow = LinkNow()
    traffic: TrafficNow = TrafficNow()
    door: DoorNow = DoorNow()
    knocks: list[KnockNow] = []
    stopped: bool = False  # this device has stopped; the server says so
    problem: str = ""  # why there is no snapshot, in words for people; the server says so
    page: PageNow = PageNow()

    def after_the_end(self) -> Snapshot:
        """Return it as it is once this device has stopped: nobody knocks any more, here or from here."""
        return self.model_copy(update={"stopped": True, "door": DoorNow(is_ejected=self.door.is_ejected), "knocks": []})


class Line(Model):
    """A line of the terminal."""

    n: int  # counted from 1, across starts
    time: float
    text: str
    kind: str = ""  # of what it says, such as "joined", where that is known; then `values` are what is in it, by name
    values: Values = {}


class Lines(Model):
    """The answer to GET /api/lines: the newest of them, 2,000 at most."""

    lines: list[Line]
    next: int  # to ask with, the next time


class Mark(Model):
    """A device that came or left, to be marked on a curve."""

    time: float
    what: Literal["joined", "left"]
    name: str


Column = list[int | float | None]


class Metrics(Model):
    """The rounds as columns of one length; None where a value is not known.

    In the answer to GET /api/metrics each point stands for a stretch of rounds, the newest round being the last one. In
    the stream they are the new rounds, and where `reset` is true all of them anew.
    """

    run_id: str = ""
    next: int = 0  # rounds read so far
    reset: bool = False
    time: Column = []
    round: Column = []
    tokens: Column = []
    loss: Column = []
    valid_loss: Column = []
    valid_bits_per_byte: Column = []
    right_share: Column = []
    learning_rate: Column = []
    bytes_sent: Column = []  # since the first round, across starts
    bytes_received: Column = []
    tokens_per_second: dict[str, Column] = {}  # by device
    marks: list[Mark] = []
    problem: str = ""  # what could not be read


class Written(Model):
    """What the model wrote after one prompt."""

    prompt: str
    text: str


class Sample(Model):
    """What the model wrote after the fixed prompts, at the end of a round."""

    n: int = 0  # counted from 1
    time: float = 0.0
    round: int = 0
    samples: list[Written] = []


class Samples(Model):
    """The answer to GET /api/samples, oldest first."""

    samples: list[Sample]
    next: int  # to open the stream with


class Masked(Model):
    """A message before and after masking, and the tag that it is a sample of."""

    tag: str
    before: str
    after: str


class Text(Model):
    """The answer to GET /api/text; samples are for a browser on this device alone."""

    texts: list[TextNow]
    masked: dict[str, int]  # how often each tag stands for what was taken out of them all
    stays_here: bool
    samples: list[Masked] | None = None
    problem: str = ""


What = Literal[
    "pause",
    "go_on",
    "quiet_hours",
    "share_of_time",
    "sync",
    "checkpoint",
    "invite",
    "who_gets_the_key",
    "lock",
    "unlock",
    "admit",
    "eject",
    "doctor",
    "page",
]


class Deed(Model):
    """The body of POST /api/do: a button. What a button does not need is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: What
    begins: Annotated[str, Field(max_length=5)] = ""  # of quiet hours, "22:00"; both empty: none
    ends: Annotated[str, Field(max_length=5)] = ""
    share: Annotated[float, Field(ge=0.01, le=1)] | None = None  # of time
    number: Annotated[str, Field(max_length=8)] = ""  # of a knock, to admit
    name: Annotated[str, Field(max_length=200)] = ""  # of a device, to eject
    # of the devices that get the key when the run is locked: those that were shown
    peers: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=64)] = []
    lan: bool | None = None  # whether the page is to be on the LAN; None: it is, with a new token in its link


class Said(Model):
    """The answer to a button that did something."""

    said: str
    kind: str = ""  # of what is said, and the values in it, where a page can say that in its own words
    values: Values = {}
    peers: list[str] = []  # peer ids of the devices that are named
    link: str = ""  # what to type elsewhere, or the page's address on the LAN with its token
    qr: str = ""  # the invite or address of it as a data: URL of an SVG, for an img


class Refused(Model):
    """The answer to whatever was not done, and why."""

    error: str
    kind: str = ""  # as of `Said`
    values: Values = {}
