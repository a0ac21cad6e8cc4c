"""The training loop: what a turn does, when training ends, and when a state is saved. What it runs only takes notes."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.manifest import HeldOutLoss, Progress
from minigpt.settings import Settings, TrainingSettings
from peer.device.power import Breather, Cause, Reading, Rest
from peer.device.sensors import StuckSensors
from peer.device.wishes import Wishes
from peer.outer.events import CaughtUp, Event, RoundClosed, Setback
from peer.training import trainer
from peer.training.epochs import Epochs
from peer.training.evaluator import Verdict
from peer.training.learnt import OFTEN_SHARE, Learnt
from peer.training.trainer import Trainer
from peer.wire import Notice, Role
from tests.tiny import stand_in

ALONE = RoundClosed(["desk"], 1.0)
END = ["power stops", "compiling stops", "save and wait", "outer stops", "log ends"]


class Device:
    """A device with one event a turn, until Ctrl+C comes; `done` is what its parts did, in order."""

    def __init__(self, *events: Event, rounds: int | None = None):
        self.events, self.done, self.said = list(events), list[str](), list[str]()
        self.rates: list[float] = []
        self.shortened: list[int] = []  # to so many sequences a batch
        self.losses: list[float] = []
        self.is_sound = True
        self.stop = stand_in(received=False)
        self.outer = stand_in(
            anchor_model="anchor", progress=stand_in(round=3, samples=0), needs_checkpoint=True,
            trained_by_all=0, standing=stand_in(offered=0),
            pause=lambda why: setattr(self, "paused", why), resume=lambda: setattr(self, "paused", ""),
            finish=lambda: None, others=[], tell=lambda judgement: setattr(self, "told", judgement),
            hurry=self.does("exchange hurried"), judged=self.does(None), tick=self.tick, trained=lambda sequences: None,
            stop=self.does("outer stops"),
        )  # fmt: skip
        self.paused, self.told, self.goes_back = "", "", False
        self.verdicts: list[Verdict] = []
        self.power = stand_in(start=self.does(None), stop=self.does("power stops"), rest=None, reading=Reading())
        self.saver = stand_in(poll=self.does(None), is_due=False, save=self.save)
        inner = stand_in(
            steps=0, updates=0, step=self.step, take_waited_seconds=lambda: 0.0, model=stand_in(seq_len=16),
            average=stand_in(add=self.does(None), begin=self.does("average begins")), averaged_model=lambda: "average",
        )  # fmt: skip
        current = stand_in(
            tokens_per_second=1.0, add=self.does("step"), waited=self.does(None), rested=self.does("rest")
        )
        round_log = stand_in(
            current=current, poll=lambda: self.verdicts.pop(0) if self.verdicts else None,
            begin_round=self.does("round begins"),
            close_round=self.does("round closes"), finish=self.does("log ends"),
        )  # fmt: skip
        self.wishes = Wishes(Path("nowhere"))
        self.trainer = Trainer(
            inner=inner,
            outer=self.outer,
            batches=stand_in(batch_size=4, shorten=self.shortened.append),
            settings=Settings(training=TrainingSettings(lr=1e-3, warmup_sequences=0)),
            shared_text=None,
            saver=self.saver,
            going_back=stand_in(poll=lambda: self.goes_back, keep=lambda event: self.done.append("ours is kept")),
            compiling=stand_in(poll=self.does(None), stop=self.does("compiling stops")),
            power=self.power,
            breather=Breather(1.0),
            recovery=stand_in(lr_share=1.0, stepped=self.losses.append, begin=self.does("watch begins")),
            health=stand_in(stepped=lambda loss: self.is_sound, poll=self.does(None), rest=None),
            sensors=StuckSensors(),
            round_log=round_log,
            announcements=self.announcements(),
            status=stand_in(poll=self.does(None), judged=self.does(None), round_closed=self.does(None)),
            wishes=self.wishes,
            network=stand_in(view=stand_in(notices=[])),
            display=stand_in(note=self.said.append, training=nullcontext),
            stop=self.stop,
            deadline=None,
            rounds=rounds,
            epochs=Epochs(None, "run", [0], True, 0.0),
            learnt=Learnt(True, 100),
            new_exports=stand_in(came=False, look=self.does("look")),
        )

    def announcements(self) -> Any:
        say = lambda event: self.said.append(str(event))  # noqa: E731
        return stand_in(poll=self.does(None), show_progress=self.does(None), say=say)

    def does(self, what: str | None) -> Callable[..., None]:
        return lambda *_: None if what is None else self.done.append(what)

    def step(self, lr: float) -> tuple[float, int]:
        self.rates.append(lr)
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
    assert device.train() == [
        *("round begins", "step", "average begins", "watch begins", "ours is kept", "save", "step", "step"),
    ]
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


def test_a_device_with_a_fault_rests_and_its_losses_say_nothing_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "NAP_SECONDS", 0.0)
    device = Device(Setback("one"), Setback("two"))
    device.is_sound = False
    ticks, pauses = device.tick, list[str]()

    def tick(tokens_per_second: float) -> Iterator[Event]:
        pauses.append(device.paused)
        device.trainer.health.rest = Rest(Cause.FAULT, "its self-test failed", "when it has passed 3 times")
        return ticks(tokens_per_second)

    device.outer.tick = tick
    assert device.train() == ["round begins", "step", "rest", "rest"]
    assert device.losses == [] and pauses == ["", "its self-test failed", "its self-test failed"]
    assert "training rests: its self-test failed; it goes on when it has passed 3 times" in device.said


def test_the_rate_is_that_of_the_swarm_and_what_is_left_to_this_device() -> None:
    device = Device(Setback("one"))
    device.trainer.recovery.lr_share = 0.5
    device.train()
    assert device.rates == [5e-4] * 2
    assert device.losses == [2.0, 2.0], "all are watched"


def test_a_device_that_rests_when_the_swarm_is_done_gives_what_it_has_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "NAP_SECONDS", 0.0)
    device = Device(*[Setback("no exchange yet")] * 9)
    device.power.rest = Rest(Cause.BATTERY, "battery at 12 %", "at 40 % or on a charger")
    device.trainer.epochs = Epochs(1, "run", range(8), True, 0.0)
    device.outer.standing = stand_in(offered=4)
    device.outer.others = [stand_in(role=Role.TRAINING, paused="", judgement="gains", sequences=100)]
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


def verdict(round: int, nats: float) -> Verdict:
    progress = Progress("cellmind", "cellmind-1", round, round * 256, 0, "aa")
    return Verdict(progress, HeldOutLoss(nats=nats, bits=nats / 2))


def test_a_device_whose_chats_are_learnt_rests_and_goes_on_when_a_new_text_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainer, "NAP_SECONDS", 0.0)
    device = Device(*[Setback(str(number)) for number in range(7)])
    device.verdicts = [verdict(8, 5.3), verdict(9, 5.174), verdict(10, 5.3), verdict(11, 5.4)]
    ticks, told = device.tick, list[tuple[str, str]]()

    def tick(tokens_per_second: float) -> Iterator[Event]:
        told.append((device.told, device.paused))
        if len(told) == 6:
            device.outer.others = [stand_in(role=Role.TRAINING, paused="", judgement="", sequences=77)]
        return ticks(tokens_per_second)

    device.outer.tick, device.outer.finish = tick, lambda: ALONE
    closed = ["round closes", "save", "round begins"]  # whoever joins is given all that was learnt
    assert device.train() == ["round begins", *["step"] * 4, *closed, "look", "rest", "look", "rest", "step", "step"]
    rests = ("learnt", "its chats are learnt")
    assert told == [("", ""), ("", ""), ("gains", ""), ("gains", ""), rests, rests, ("", ""), ("", "")]
    said = [line for line in device.said if "reason=" not in line]
    assert said[0] == (
        "your chats are learnt: nothing was gained since round 9 (held-out 5.17); more text would help: put more "
        "exports into data/raw"
    )
    assert said[1].startswith("training rests: its chats are learnt; it goes on when there is new text, here or on")
    assert said[2:4] == ["there is a text that was not here before: something to learn", "training goes on"]


def test_new_exports_end_it_so_that_it_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "NAP_SECONDS", 0.0)
    device = Device(*[Setback(str(number)) for number in range(9)])
    device.verdicts = [verdict(4, 5.174), verdict(5, 5.3), verdict(8, 5.4)]
    exports = device.trainer.new_exports
    monkeypatch.setattr(exports, "look", lambda: setattr(exports, "came", True))
    assert device.train() == ["round begins", *["step"] * 3, "rest"]
    assert not device.stop.received


def test_a_small_text_is_judged_between_two_rounds_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(*[Setback(str(number)) for number in range(3)])
    judged: list[tuple[int, float]] = []
    device.trainer.round_log.judge = lambda model, samples, share: judged.append((samples, share))  # type: ignore[method-assign]
    device.outer.progress.samples, device.outer.standing.offered = 180, 10
    device.outer.trained_by_all = 10**6  # as others say
    ticks = device.tick

    def tick(tokens_per_second: float) -> Iterator[Event]:
        device.outer.standing.offered += 10
        return ticks(tokens_per_second)

    device.outer.tick = tick
    device.train()
    assert judged == [(samples, OFTEN_SHARE) for samples in (200, 210, 220, 230)], "it has been passed over twice"


def test_who_has_trained_its_part_of_the_epochs_waits_for_the_others_and_is_not_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainer, "NAP_SECONDS", 0.0)
    device = Device(*[Setback("no exchange yet")] * 3)
    device.trainer.epochs = Epochs(1, "run", range(9), True, 0.0)
    mate = Notice(peer="A", name="A", address="", role=Role.TRAINING, run_id="run", tokens_per_second=2.0)
    device.trainer.network.view.notices.append(mate)
    device.outer.trained = lambda sequences: setattr(
        device.outer, "trained_by_all", device.outer.trained_by_all + sequences
    )
    assert device.train().count("step") == 1, "one in three is its part, and the step took four"
    assert device.shortened == [3] and device.outer.trained_by_all == 4
    assert device.stop.received, "it went on until Ctrl+C"


def test_a_device_heeds_its_owner_in_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "NAP_SECONDS", 0.0)
    device = Device(Setback("one"), Setback("two"), Setback("three"))
    wishes = {2: device.wishes.pause, 3: device.wishes.go_on}
    device.wishes.ask_once("checkpoint")
    device.wishes.ask_once("sync")
    ticks, turns = device.tick, list[str]()

    def tick(tokens_per_second: float) -> Iterator[Event]:
        turns.append(device.paused)
        wishes.get(len(turns), lambda: None)()
        return ticks(tokens_per_second)

    device.outer.tick = tick
    assert device.train() == ["round begins", "step", "save", "exchange hurried", "step", "rest", "step"]
    assert turns == ["", "", "paused by its owner", ""]
    assert "training rests: paused by its owner; it goes on when its owner says so" in device.said
