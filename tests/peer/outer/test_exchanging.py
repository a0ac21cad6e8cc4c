"""An exchange in flight, and the averager on the network, with plain objects in the place of hivemind's."""

from __future__ import annotations

import time
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hivemind.p2p import PeerID

from peer.network.handle import Network
from peer.network.node import View
from peer.outer import averager_process, shunned
from peer.outer import doubts as doubts_module
from peer.outer import exchanging as exchanging_module
from peer.outer.averager import MATCHMAKING_SECONDS, MAX_GROUP, PseudoGradientAverager
from peer.outer.averager_process import AveragerProcess
from peer.outer.doubts import ABSENCES, IN_VAIN_SECONDS, Doubts
from peer.outer.exchange_schedule import ExchangeSchedule
from peer.outer.exchanging import MAX_PATIENCE, Exchanging, NotExchanged
from peer.outer.newcomers import MOST_SECONDS, Newcomers
from peer.outer.pseudo_gradient import Given
from peer.outer.traffic import Traffic
from peer.state.codec import PART
from peer.wire import Notice, Role

PEERS = [PeerID.from_base58(f"Qm{letter * 44}") for letter in "abc"]
ME = Notice(peer=PEERS[0].to_base58(), name="me", address="", role=Role.TRAINING)
MATES = [ME.model_copy(update={"peer": peer.to_base58(), "name": "mate"}) for peer in PEERS[1:]]
GIVEN = Given(4, 16, 16, 2, torch.zeros(8, dtype=torch.uint8), [])


class Averager:
    """Gives out a control that only the test ends."""

    size = PART

    def __init__(self, *_: Any) -> None:
        self.traffic = Traffic(100, 200)
        self.processor_seconds, self.seconds = 1.0, 0.0
        self.alive = True
        self.asked: dict[str, Any] = {}
        self.control: Any = Future()

    def exchange(self, payload: torch.Tensor, **asked: Any) -> Any:
        self.asked = asked
        self.control.began_allreduce = False
        return self.control

    def mean(self, declared: Any) -> torch.Tensor:
        return torch.ones(8, dtype=torch.uint8)

    def is_alive(self) -> bool:
        return self.alive

    def kill(self) -> None:
        self.alive = False

    shutdown = kill

    def join(self, seconds: float) -> None: ...


class Schedule(ExchangeSchedule):
    """Remembers what it was told."""

    def exchanged(self, *what: float) -> None:
        self.told = what


@pytest.fixture
def averager() -> Averager:
    return Averager()


@pytest.fixture
def network() -> Any:
    def start_again() -> None:
        started.starts += 1

    started = SimpleNamespace(starts=1, dht=None, view=View(), start_again=start_again)
    return started


@pytest.fixture
def doubts() -> Doubts:
    return Doubts()


@pytest.fixture
def exchanging(averager: Averager, network: Any, doubts: Doubts) -> Exchanging:
    process = AveragerProcess(cast(Network, network), cast(PseudoGradientAverager, averager), "run")
    return Exchanging(process, Schedule(PART), doubts, Newcomers(), seq_len=32)


def declared(count: int, group_size: int) -> dict[PeerID, dict[str, int]]:
    one = {"bits": 2, "samples": 16, "weight": 8, "steps": 4, "group_size": group_size}
    return {peer: one for peer in PEERS[:count]}


def test_the_mean_moves_the_anchor_that_was_given_at(exchanging: Exchanging, averager: Averager) -> None:
    assert exchanging.poll(ME.peer, MATES) is None
    exchanging.begin(GIVEN, "aa", ME, MATES, MATES)
    assert exchanging.under_way and exchanging.looks_for_a_group
    assert exchanging.poll(ME.peer, MATES) is None, "it is in flight"
    averager.control.began_allreduce = True
    assert not exchanging.looks_for_a_group
    averager.traffic, averager.processor_seconds, averager.seconds = Traffic(130, 270), 1.5, 0.5
    averager.control.set_result(declared(3, group_size=3))
    mean = exchanging.poll(ME.peer, MATES)
    assert mean is not None and not exchanging.under_way
    assert (mean.previous, mean.count) == ("aa", 4)
    assert mean.samples == {peer.to_base58(): 16 for peer in PEERS}
    assert exchanging.seconds == 0.5
    assert cast(Schedule, exchanging._schedule).told == (100, 0.5, 0.5, 2.0), "what it cost, and brought"


def test_a_minority_of_those_expected_does_not_move_the_anchor(exchanging: Exchanging, averager: Averager) -> None:
    company = [*MATES, ME.model_copy(update={"peer": "D" * 12})]
    exchanging.begin(GIVEN, "aa", ME, MATES, company)
    averager.control.set_result(declared(2, group_size=4))
    with pytest.raises(NotExchanged, match=r"did not come together \(2 of 4 devices came\)"):
        exchanging.poll(ME.peer, company)
    assert not exchanging.under_way and exchanging.seconds == 0.0


def test_one_of_a_group_cannot_make_a_majority_a_minority(exchanging: Exchanging, averager: Averager) -> None:
    exchanging.begin(GIVEN, "aa", ME, MATES, MATES)
    averager.control.set_result({**declared(2, group_size=2), **{PEERS[1]: {**declared(1, 64)[PEERS[0]]}}})
    assert exchanging.poll(ME.peer, MATES) is not None, "there are three of us, and two came"


def test_who_stands_at_our_anchor_and_never_comes_is_not_counted_on(
    exchanging: Exchanging, averager: Averager, doubts: Doubts, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    for module in (doubts_module, shunned):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    ghosts = [ME.model_copy(update={"peer": letter * 12, "name": "ghost"}) for letter in "DEF"]
    company = [MATES[0], *ghosts]
    for attempt in range(ABSENCES + 2):
        averager.control = Future()
        mates = [mate for mate in company if doubts.awaits(mate.peer)]
        exchanging.begin(GIVEN, "aa", ME, mates, company)
        assert averager.asked["company"].most == (5 if attempt < ABSENCES else 2)
        averager.control.set_result(declared(2, group_size=5))
        with pytest.raises(NotExchanged, match="2 of 5 devices came"):
            exchanging.poll(ME.peer, company)
    now += IN_VAIN_SECONDS + 1
    for came_about in (False, True):
        averager.control = Future()
        exchanging.begin(GIVEN, "aa", ME, [MATES[0]], company)
        averager.control.set_result(declared(2, group_size=5))
        if came_about:
            assert exchanging.poll(ME.peer, company) is not None
        else:
            with pytest.raises(NotExchanged, match="2 of 5 devices came"):
                exchanging.poll(ME.peer, company)
    assert doubts.knows(MATES[0].peer) and not any(doubts.trusts(ghost.peer) for ghost in ghosts)


def test_strangers_neither_lead_those_that_know_each_other_nor_say_how_many_they_are(
    exchanging: Exchanging, averager: Averager, doubts: Doubts
) -> None:
    friend, stranger = MATES
    company = [*MATES, *(ME.model_copy(update={"peer": letter * 12}) for letter in "DEFGH")]
    exchanging.begin(GIVEN, "aa", ME, [friend], company)
    assert averager.asked["company"].leaders == {other.peer for other in company}, "nobody knows anybody yet"
    exchanging.forget()
    doubts.moved([friend.peer])
    exchanging.begin(GIVEN, "aa", ME, [friend], company)
    assert averager.asked["company"].leaders == averager.asked["company"].awaited == {friend.peer}
    hidden = [friend.model_copy(update={"reachable": False}), *company[1:]]
    exchanging.begin(GIVEN, "aa", ME.model_copy(update={"reachable": False}), hidden[:1], hidden)
    assert averager.asked["company"].leaders == {other.peer for other in company}, "else nobody would lead"
    said = declared(3, group_size=2)
    averager.control.set_result({**said, PEERS[2]: {**said[PEERS[2]], "group_size": 64}})
    assert exchanging.poll(ME.peer, company) is not None
    assert doubts.knows(stranger.peer), "it has come without being waited for"


def test_newcomers_pay_for_the_time_that_was_waited_for_them_in_vain(
    exchanging: Exchanging, averager: Averager, doubts: Doubts, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, newcomers = 1000.0, exchanging._newcomers
    monkeypatch.setattr(exchanging_module, "time", SimpleNamespace(monotonic=lambda: now))
    for knows_somebody in (False, True):
        averager.control = Future()
        exchanging.begin(GIVEN, "aa", ME, MATES, MATES)
        now += MOST_SECONDS + 2
        averager.control.set_result(declared(2, group_size=2))
        assert exchanging.poll(ME.peer, MATES) is not None
        newcomers.took({MATES[1].peer: time.monotonic()})
        assert newcomers.has(MATES[1].peer, 0.5) is not knows_somebody


def test_an_exchange_that_was_given_up_is_no_setback(exchanging: Exchanging, averager: Averager) -> None:
    exchanging.begin(GIVEN, "aa", ME, MATES, MATES)
    exchanging.cancel()
    assert exchanging.poll(ME.peer, MATES) is None
    assert not exchanging.under_way


def test_hivemind_s_own_reason_is_told_in_one_line(exchanging: Exchanging, averager: Averager) -> None:
    exchanging.begin(GIVEN, "aa", ME, MATES, MATES)
    averager.control.set_exception(RuntimeError("Unable to run All-Reduce: nobody came\nTraceback"))
    with pytest.raises(NotExchanged, match=r"\(nobody came\)$"):
        exchanging.poll(ME.peer, MATES)


@pytest.mark.parametrize(("step_seconds", "patience"), [(0.1, MATCHMAKING_SECONDS), (10.0, 22.0), (1e5, MAX_PATIENCE)])
def test_a_group_waits_for_its_slowest_within_reason(
    exchanging: Exchanging, averager: Averager, doubts: Doubts, step_seconds: float, patience: float
) -> None:
    slow = MATES[0].model_copy(update={"step_seconds": step_seconds})
    many = [slow] * 2 * MAX_GROUP
    exchanging.begin(GIVEN, "aa", ME, many, many)
    assert averager.asked["patience"] == MATCHMAKING_SECONDS, "it has been in no exchange with us yet"
    doubts.moved([slow.peer])
    exchanging.begin(GIVEN, "aa", ME, many, many)
    assert (averager.asked["patience"], averager.asked["group_size"]) == (patience, MAX_GROUP)


def test_traffic_adds_up_over_averagers(averager: Averager, network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(averager_process, "PseudoGradientAverager", Averager)
    process = AveragerProcess(network, cast(PseudoGradientAverager, averager), "run")
    assert not process.renew()
    network.view = View(bytes_sent=1, bytes_received=2)
    assert process.traffic == Traffic(101, 202)
    averager.alive = False
    assert process.renew() and process.averager is not averager
    assert process.traffic == Traffic(201, 402)
    assert network.starts == 2, "a dead averager takes the network part with it"
    network.starts += 1
    second = process.averager
    assert process.renew(), "the network part was started again by somebody else"
    assert not second.is_alive()
    assert not process.renew()
    process.stop()
    assert not process.averager.is_alive()
