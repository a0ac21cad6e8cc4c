"""The training loop: what a turn does, when training ends, and when a state is saved. What it runs only takes notes."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest

from minigpt.settings import Settings, TrainingSettings
from peer.device.power import Breather, Cause, Rest
from peer.outer.events import CaughtUp, Event, RoundClosed, Setback
from peer.training import trainer
from peer.training.epochs import Epochs
from peer.training.trainer import Trainer
from peer.wire import Role
from tests.tiny import stand_in

ALONE = RoundClosed(["desk"], 1.0)
END = ["power stops", "compiling stops", "save and wait", "outer stops", "log ends"]


class Device:
    """A device with one event a turn, until Ctrl+C comes; `done` is what its parts did, in order."""

    def __init__(self, *events: Event, rounds: int | None = None):
        self.events, self.done, self.said = list(events), list[str](), list[str]()
        self.rates: list[tuple[float, float]] = []
        self.stop = stand_in(received=False)
        self.outer = stand_in(
            anchor_model="anchor", progress=stand_in(round=3), needs_checkpoint=True, lr_factor=1.0, trained_by_all=0,
            pause=lambda why: setattr(self, "paused", why), resume=lambda: setattr(self, "paused", ""),
            tick=self.tick, trained=lambda sequences: None, stop=self.does("outer stops"),
        )  # fmt: skip
        self.paused = ""
        self.power = stand_in(start=self.does(None), stop=self.does("power stops"), rest=None)
        self.saver = stand_in(poll=self.does(None), is_due=False, save=self.save)
        inner = stand_in(
            steps=0, updates=0, step=self.step, take_waited_seconds=lambda: 0.0, model=stand_in(seq_len=16)
        )
        current = stand_in(
            tokens_per_second=1.0, add=self.does("step"), waited=self.does(None), rested=self.does("rest")
        )
        round_log = stand_in(
            current=current, poll=self.does(None), begin_round=self.does("round begins"),
            close_round=self.does("round closes"), finish=self.does("log ends"),
        )  # fmt: skip
        self.trainer = Trainer(
            inner=inner,
            outer=self.outer,
            batches=stand_in(batch_size=4),
            settings=Settings(training=TrainingSettings(lr=1e-3, warmup_sequences=0)),
            shared_text=None,
            saver=self.saver,
            compiling=stand_in(poll=self.does(None), stop=self.does("compiling stops")),
            power=self.power,
            breather=Breather(1.0),
            round_log=round_log,
            announcements=stand_in(
                poll=self.does(None), show_progress=self.does(None), say=lambda event: self.said.append(str(event))
            ),
            network=stand_in(view=stand_in(notices=[])),
            display=stand_in(note=self.said.append, training=nullcontext),
            stop=self.stop,
            deadline=None,
            rounds=rounds,
            epochs=Epochs(None, "run", [0], True, 0.0),
        )

    def does(self, what: str | None) -> Callable[..., None]:
        return lambda *_: None if what is None else self.done.append(what)

    def step(self, lr: float, embedding_lr: float) -> tuple[float, int]:
        self.rates.append((lr, embedding_lr))
        return 2.0, 4

    def save(self, wait: bool = False, copy: object = None) -> None:
        self.done.append("save and wait" if wait else "save")

    def tick(self, tokens_per_second: float) -> Iterator[Event]:
        if not self.events:
            self.stop.received = True
            return
        event = self.events.pop(0)
        if isinstance(event, RoundClosed):
            self.outer.progress.round += 1
        yield event

    def train(self) -> list[str]:
        self.trainer.train()
        assert self.done[-5:] == END and self.said[-1] == "saving …"
        return self.done[:-5]


def test_it_trains_until_ctrl_c_and_keeps_the_state() -> None:
    device = Device()
    assert device.train() == ["round begins", "step"]


def test_it_ends_by_itself_after_so_many_rounds() -> None:
    device = Device(ALONE, ALONE, ALONE, rounds=2)
    assert device.train().count("round closes") == 2
    assert device.events == [ALONE] and not device.stop.received
    assert Device(ALONE, rounds=0).train() == ["round begins"]


def test_it_ends_by_itself_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(ALONE)
    device.trainer.deadline = 0.0
    assert device.train() == ["round begins"]


def test_an_error_keeps_the_state_as_well() -> None:
    device = Device()
    device.outer.tick = lambda _: 1 / 0
    with pytest.raises(ZeroDivisionError):
        device.train()
    assert device.done[-5:] == END


def test_a_round_is_saved_where_others_could_not_follow_from_an_older_state() -> None:
    closed = ["step", "round closes", "save", "round begins"]
    assert Device(ALONE).train() == ["round begins", *closed, "step"]
    in_company = Device(ALONE)
    in_company.outer.needs_checkpoint = False
    assert in_company.train() == ["round begins", "step", "round closes", "round begins", "step"]
    in_company = Device(ALONE)
    in_company.outer.needs_checkpoint, in_company.saver.is_due = False, True
    assert in_company.train() == ["round begins", *closed, "step"]


def test_a_newer_state_of_others_is_saved_and_told_of_and_a_setback_is_told_of() -> None:
    taken, setback = CaughtUp("phone", 0, 0), Setback("nobody came")
    device = Device(taken, setback)
    assert device.train() == ["round begins", "step", "save", "step", "step"]
    assert device.said[:-1] == [str(taken), str(setback)]


def test_a_device_that_is_to_be_spared_rests_and_looks_after_the_swarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "NAP_SECONDS", 0.0)
    device = Device(Setback("one"), Setback("two"))
    device.power.rest = Rest(Cause.BATTERY, "battery at 12 %", "at 40 % or on a charger")
    pauses: list[str] = []
    ticks = device.tick

    def tick(tokens_per_second: float) -> Iterator[Event]:
        pauses.append(device.paused)
        if len(pauses) == 2:
            device.power.rest = None
        return ticks(tokens_per_second)

    device.outer.tick = tick
    assert device.train() == ["round begins", "rest", "rest", "step"]
    assert pauses == ["battery at 12 %", "battery at 12 %", ""]
    assert device.said[0] == "training rests: battery at 12 %; it goes on at 40 % or on a charger"
    assert "training goes on" in device.said and len(device.said) == 5


def test_the_rate_is_that_of_the_swarm_and_its_company() -> None:
    device = Device(Setback("one"))
    device.outer.lr_factor = 2.0
    device.train()
    assert device.rates == [(2e-3, 4e-3)] * 2


def test_a_device_that_rests_when_the_swarm_is_done_gives_what_it_has_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "NAP_SECONDS", 0.0)
    device = Device(*[Setback("no exchange yet")] * 9)
    device.power.rest = Rest(Cause.BATTERY, "battery at 12 %", "at 40 % or on a charger")
    device.trainer.epochs = Epochs(1, "run", range(8), True, 0.0)
    device.outer.standing = stand_in(offered=4)
    device.outer.others = [stand_in(role=Role.TRAINING, paused="")]
    device.outer.finish = lambda: None
    ticks, pauses = device.tick, list[str]()

    def tick(tokens_per_second: float) -> Iterator[Event]:
        pauses.append(device.paused)
        device.outer.trained_by_all += 4  # by the other one
        if len(pauses) > 2 and not device.paused:  # else no exchange comes about
            device.outer.standing.offered = 0
        return ticks(tokens_per_second)

    device.outer.tick = tick
    device.train()
    assert pauses == ["battery at 12 %", "battery at 12 %", ""]
    assert not device.stop.received
