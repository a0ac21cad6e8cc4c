"""A reducer that answers with what is no mean, and what the others make of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
import torch
from hivemind import DHT
from hivemind.proto.averaging_pb2 import AveragingData
from torch import Tensor

from peer.outer.all_reduce import AgreeingRunner
from peer.outer.averager import PseudoGradientAverager, Reduced
from peer.outer.averager_process import AveragerProcess
from peer.outer.doubts import Doubts
from peer.outer.exchange_schedule import ExchangeSchedule
from peer.outer.exchanging import NAMING_SECONDS, PAUSE_SECONDS, Exchanging
from peer.outer.newcomers import Newcomers
from peer.outer.pair import ANSWERS, Pair
from peer.outer.pseudo_gradient import Given
from peer.outer.traffic import Traffic
from peer.state.agreement import Look
from peer.state.anchor import LIMIT, MEAN_BITS
from peer.state.codec import PART, decode
from peer.state.means import Mean
from peer.wire import Notice, Role
from tests.peer.movement import movement
from tests.peer.outer.exchanges import Start, encoded, exchange, outcome

ME, ANA, BEN, CLEO = (letter * 12 for letter in "MABC")


def opposite(payload: Tensor) -> Tensor:
    numbers = torch.empty(PART)
    decode(payload, MEAN_BITS[2], numbers)
    return encoded((-3 * numbers).clamp(-LIMIT, LIMIT), MEAN_BITS[2])


def seen(averager: PseudoGradientAverager) -> Reduced:
    (reduced,) = averager.reduced()
    return reduced


def test_a_reducer_that_lies_to_all_moves_nobody_and_is_found_out_by_all(
    nodes: list[DHT], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    liar, mean_of = nodes[2].peer_id, AgreeingRunner._mean_of

    def lie(self: AgreeingRunner, came: Mapping[int, Tensor]) -> Tensor:
        return opposite(mean_of(self, came)) if self.peer_id == liar else mean_of(self, came)

    monkeypatch.setattr(AgreeingRunner, "_mean_of", lie)
    averagers = start()
    controls = [exchange(averager, 3) for averager in averagers]
    assert [outcome(control) is None for control in controls] == [True, True, False], "it is content with itself"
    for averager in averagers[:2]:
        with averager.get_tensors() as (mean,):
            assert not bool(mean.any())
        assert seen(averager).wrong == {liar.to_base58()}
    assert not seen(averagers[2]).wrong


def test_a_reducer_that_lies_to_one_makes_the_others_neither_fail_nor_wait(
    nodes: list[DHT], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    liar, victim, answer = nodes[2].peer_id, nodes[0].peer_id, AgreeingRunner._accumulate_parts_streaming

    async def lie(
        self: AgreeingRunner, stream: AsyncIterator[AveragingData], sender_index: int
    ) -> AsyncIterator[AveragingData]:
        async for message in answer(self, stream, sender_index):
            if self.peer_id == liar and self.sender_peer_ids[sender_index] == victim:
                payload = torch.frombuffer(bytearray(message.tensor_part.buffer), dtype=torch.uint8)
                message.tensor_part.buffer = opposite(payload).numpy().tobytes()
            yield message

    monkeypatch.setattr(AgreeingRunner, "_accumulate_parts_streaming", lie)
    averagers = start()
    controls = [exchange(averager, 3) for averager in averagers]
    assert [outcome(control) is None for control in controls] == [True, False, False]
    means = [averager.mean([{"bits": 2}]) for averager in averagers[1:]]
    assert torch.equal(*means)
    assert seen(averagers[0]).wrong == {liar.to_base58()} and not seen(averagers[1]).wrong


# -- what is made of it, without a network


class Averager:
    size = PART
    traffic = Traffic()
    processor_seconds = seconds = 0.0

    def __init__(self) -> None:
        self.seen: list[Reduced] = []

    def exchange(self, payload: Tensor, **asked: Any) -> Any:
        return None

    def reduced(self) -> list[Reduced]:
        seen, self.seen = self.seen, []
        return seen


def exchanging(averager: Averager, doubts: Doubts) -> Exchanging:
    process = cast(AveragerProcess, cast(Any, type("Process", (), {"averager": averager})()))
    return Exchanging(process, ExchangeSchedule(PART), doubts, Newcomers(), seq_len=32)


def notice(device: str, *at_odds: str) -> Notice:
    return Notice(peer=device, name=device[0], address="", role=Role.TRAINING, at_odds=at_odds)


def test_who_answers_wrongly_is_named_once_a_majority_says_so_also_in_a_first_exchange() -> None:
    averager, doubts = Averager(), Doubts()
    ours = exchanging(averager, doubts)
    ours.begin(
        Given(1, 4, 4, 2, encoded(movement(0), 2), []), "aa", notice(ME), list(map(notice, (ANA, BEN, CLEO))), []
    )
    averager.seen = [Reduced([ME, ANA, BEN, CLEO], False, frozenset(), None, frozenset({CLEO}))]
    ours.look_at_others(ME, list)
    assert ours.findings.at_odds == (CLEO,), "our notice says it"
    assert not doubts.asks(CLEO), "nor do we go where its mean leads"
    known = {other for other in (ANA, BEN, CLEO) if doubts.knows(other)}
    assert known == {ANA, BEN}, "the exchange came together"
    alone = [notice(ANA), notice(BEN), notice(CLEO, ANA, BEN)]
    assert ours.findings.to_leave_out(alone, known) == [], "one device's word"
    assert ours.findings.to_leave_out([notice(ANA), notice(BEN, CLEO), notice(CLEO)], known) == [CLEO]


def test_of_two_the_other_one_is_left_once_it_has_answered_wrongly_twice() -> None:
    averager = Averager()
    ours = exchanging(averager, Doubts())
    right, wrong = (Reduced([ME, ANA], True, frozenset(), Look(0.1, 30.0, 256.0), lied) for lied in (
        frozenset[str](), frozenset({ANA})
    ))  # fmt: skip
    averager.seen = [wrong, right]
    ours.look_at_others(ME, list)
    assert not ours.pair.to_leave
    averager.seen = [wrong]
    ours.look_at_others(ME, list)
    assert ours.pair.to_leave == ANA and ours.pair.before is None, "our anchor has not moved by it"


def test_nobody_follows_where_a_reducer_led_who_is_left_out_for_it_and_everybody_where_it_is_not() -> None:
    """Who weighs too little to tell moves by a wrong mean, and is ahead then."""
    averager = Averager()
    ours = exchanging(averager, Doubts())
    parts = [movement(number) for number in range(4)]
    given = Given(1, 4, 4, 2, encoded(parts[0], 2), [])
    mean = sum(parts, torch.zeros(PART)) / 4
    samples = dict.fromkeys((ME, ANA, BEN, CLEO), 4)
    wrong = Mean("aa", samples, 1, encoded(-mean, 4))
    right = Mean("aa", samples, 1, encoded(mean, 4))
    me = notice(ME)
    ours.begin(given, "aa", me, [notice(ANA), notice(BEN), notice(CLEO)], [])
    assert ours.pause == PAUSE_SECONDS
    averager.seen = [Reduced([ME, ANA, BEN, CLEO], False, frozenset(), None, frozenset({CLEO}))]
    ours.look_at_others(ME, list)
    assert ours.pause == NAMING_SECONDS, "the others are heard before anything new begins"
    assert not ours.objects_to(wrong, given, ME), "nobody else says so: it lied to us alone, or we are broken"
    ours.findings.left_out(CLEO)
    assert ours.objects_to(wrong, given, ME) and not ours.objects_to(right, given, ME)
    assert not ours.objects_to(wrong, None, ME), "we have begun anew, and cannot tell"
    assert not ours.objects_to(Mean("bb", samples, 1, wrong.payload), given, ME), "it moves another anchor"
    ours.begin(given, "bb", me, [notice(ANA)], [])
    assert ours.pause == PAUSE_SECONDS


def test_a_wrong_answer_of_long_ago_is_forgotten() -> None:
    pair = Pair()
    pair.answered(ANA, is_wrong=True)
    for _ in range(ANSWERS):
        pair.answered(ANA, is_wrong=False)
    pair.answered(ANA, is_wrong=True)
    assert not pair.to_leave
