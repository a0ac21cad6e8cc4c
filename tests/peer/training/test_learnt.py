"""The end of learning: a curve that turns is left soon, one that falls is not, and nobody is stopped by others."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from minigpt.checkpoint.manifest import HeldOutLoss, Progress
from peer.training.evaluator import SHARE
from peer.training.learnt import OFTEN_SHARE, PATIENCE, SPACING, Learnt, most_have_learnt
from peer.wire import Judgement, Notice, Role

EPOCH = 127  # sequences of the sample chats
TEXT = EPOCH // 2  # of a device that has half of them, and makes its twenty passes while the curves make ten
SAMPLE_CHATS = [  # held-out loss after 0, 1, 2, … epochs: measured, one device, the guide's model
    *(7.706, 6.471, 5.952, 5.650, 5.406, 5.267, 5.215, 5.173),
    *(5.170, 5.231, 5.270, 5.347, 5.374, 5.481, 5.565),
]


def sample_chats(trained: float) -> float:
    epochs = min(trained / EPOCH, len(SAMPLE_CHATS) - 1.001)
    before, after = SAMPLE_CHATS[int(epochs)], SAMPLE_CHATS[int(epochs) + 1]
    return before + (after - before) * (epochs % 1)


def falling(trained: float) -> float:
    """A held-out loss as that of fresh text: a power of what was trained."""
    return 2.5 + 6 * (trained / 256 + 1) ** -0.12


def progress(trained: float) -> Progress:
    return Progress("cellmind", "cellmind-1", int(trained) // 256, int(trained), 0, "aa")


def loss(nats: float) -> HeldOutLoss:
    return HeldOutLoss(nats=nats, bits=nats / 2)


def said(learnt: Learnt) -> str:
    """Return what a device says of itself by now."""
    return learnt.judgement


def until_rest(learnt: Learnt, curve: Callable[[float], float], judged: Iterable[float]) -> float | None:
    """Return after how many sequences it rests, with nobody else here; None if never."""
    for trained in judged:
        learnt.judged(progress(trained), loss(curve(trained)))
        if learnt.rest([]) is not None:
            return trained
    return None


def often(until: float, every: int = 0) -> Iterator[float]:
    """Yield after how many sequences states are judged: as `wants_verdict` asks, or less often where time is short."""
    trained = 2.0 * EPOCH
    while trained < until:
        yield trained
        trained += max(SPACING * trained, every)


@pytest.mark.parametrize("every", [0, 106], ids=["as often as is asked for", "as often as a slow device can"])
def test_a_text_that_is_learnt_by_heart_is_left_soon_after_twenty_passes(every: int) -> None:
    """Before that its loss may rise for a while, and regularization has yet to grow."""
    rested = until_rest(Learnt(True, TEXT), sample_chats, often(14 * EPOCH, every))
    assert rested is not None
    assert 20 * TEXT <= rested <= 11 * EPOCH


@pytest.mark.parametrize("every", [0, 106], ids=["as often as is asked for", "as often as a slow device can"])
def test_after_the_best_a_device_rests_within_a_fifth_of_all_sequences(every: int) -> None:
    later = lambda trained: sample_chats(trained / 3)  # noqa: E731 -- its best comes after 24 passes
    rested = until_rest(Learnt(True, TEXT), later, often(42 * EPOCH, every))
    assert rested is not None
    assert 0 < rested - 24 * EPOCH <= 0.20 * rested


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.01])
def test_a_curve_that_falls_is_not_left_however_it_trembles(noise: float) -> None:
    for seed in range(20):
        dice = random.Random(seed)
        curve = lambda trained: falling(trained) + dice.gauss(0, noise)  # noqa: E731, B023 -- used at once
        assert until_rest(Learnt(True, TEXT), curve, often(1_000_000)) is None, seed
        every_round = range(0, 100 * 256, 256)
        assert until_rest(Learnt(True, 10_000), curve, every_round) is None, seed


def test_a_plateau_is_left_and_a_gain_after_it_counts() -> None:
    def curve(trained: float) -> float:
        return 5.0 if trained < 2_000 else 4.9

    learnt = Learnt(True, TEXT)
    assert until_rest(learnt, lambda trained: max(5.0, falling(trained)), [600, 1_000, 1_060, 1_100]) is None
    rested = until_rest(learnt, curve, often(10_000))
    assert rested is not None and rested < 2_000
    learnt.judged(progress(2_100), loss(4.9))  # of the others', who went on
    assert said(learnt) == "gains" and learnt.rest([]) is None
    rested = until_rest(learnt, curve, [2_200, 2_300, 2_400, 2_500])
    assert rested == 2_500 and rested - 2_100 >= PATIENCE * rested


def test_a_text_that_was_not_passed_over_twenty_times_is_not_learnt() -> None:
    learnt = Learnt(True, 250)
    assert until_rest(learnt, lambda trained: 7.5, [1_000, 2_000, 3_000, 4_900, 5_100]) == 5_100


def test_less_than_noise_is_no_gain_and_one_bad_state_no_end() -> None:
    learnt = Learnt(True, TEXT)
    for trained, nats in ((1_000, 5.0), (2_000, 4.9), (4_000, 4.899)):
        learnt.judged(progress(trained), loss(nats))
    assert said(learnt) == "gains", "one state alone tells nothing, however late it is"
    learnt.judged(progress(4_100), loss(4.898))
    assert said(learnt) == "learnt"
    assert learnt.sentence.startswith(
        "your chats are learnt: nothing was gained since round 7 (held-out 4.90); more text"
    )


def notice(judgement: Judgement = "", sequences: int = TEXT, **more: Any) -> Notice:
    said = {"role": Role.TRAINING, "judgement": judgement, "sequences": sequences, **more}
    return Notice.model_validate({"peer": "Qm", "name": "phone", "address": "", **said})


def learnt_device(**options: Any) -> Learnt:
    learnt = Learnt(True, TEXT, **options)
    for trained in (1_000, 1_500, 2_000):
        learnt.judged(progress(trained), loss(5.0))
    assert learnt.judgement == "learnt"
    return learnt


@pytest.mark.parametrize(
    ("others", "rests"),
    [
        ([], True),
        ([notice("learnt"), notice("learnt", paused="its chats are learnt")], True),
        ([notice("learnt"), notice("gains")], False),
        ([notice("gains", paused="battery at 9 %")], True),
        ([notice("")], True),  # it cannot tell, or not yet
        ([notice("gains", role=Role.LEFT)], True),
    ],
)
def test_it_rests_when_nobody_gains(others: list[Notice], rests: bool) -> None:
    assert (learnt_device().rest(others) is not None) == rests


def test_nobody_who_gains_or_cannot_tell_yet_is_stopped_by_others() -> None:
    others = [notice("learnt")] * 5
    young = Learnt(True, TEXT)
    assert young.rest(others) is None
    for trained, nats in ((256, 6.0), (512, 5.0)):
        young.judged(progress(trained), loss(nats))
    assert young.judgement == "gains" and young.rest(others) is None


def test_a_device_without_held_out_text_follows_the_majority() -> None:
    follower = Learnt(False, 0)
    follower.judged(progress(1_000), loss(5.0))  # a few tokens, shown and not believed
    assert follower.judgement == "" and follower.rest([]) is None
    one, other = notice("learnt"), notice("gains")
    assert follower.rest([one]) is not None and follower.sentence == ""
    assert follower.rest([one, other]) is None
    assert follower.rest([one, one, other, notice("")]) is not None
    assert most_have_learnt([one, notice("gains", role=Role.JOINING)])


def test_it_goes_on_regardless_where_that_is_wished() -> None:
    regardless = learnt_device(goes_on=True)
    assert regardless.rest([]) is None and regardless.judgement == "learnt", "others are told all the same"


def test_a_text_that_was_not_here_before_is_something_to_learn() -> None:
    learnt = learnt_device()
    assert not learnt.meet([notice(), notice(sequences=0), notice(sequences=9, role=Role.JOINING)])
    assert learnt.rest([]) is not None
    assert learnt.meet([notice(sequences=9)]) and not learnt.meet([notice(sequences=9)])
    assert learnt.judgement == "" and learnt.rest([]) is None
    assert until_rest(learnt, lambda trained: 5.5, [2_100, 2_300, 2_400, 2_500]) == 2_500, "counted from there"


def test_who_comes_back_rests_at_once_and_knows_the_texts_that_are_here() -> None:
    again = Learnt(True, TEXT, (progress(1_000), loss(5.0)))
    assert not again.meet([notice(sequences=9)]) and said(again) == ""
    again.judged(progress(2_000), loss(5.4))
    assert said(again) == "learnt" and not again.meet([notice(sequences=9)])
    early = Learnt(True, TEXT, (progress(1_900), loss(5.0)))
    early.judged(progress(2_000), loss(5.4))
    assert early.judgement == ""


def test_states_are_judged_often_only_where_a_text_is_passed_over() -> None:
    learnt = Learnt(True, 1_000)
    assert not learnt.wants_verdict(1_999) and learnt.wants_verdict(2_000)
    learnt.judged(progress(2_000), loss(5.0))
    assert not learnt.wants_verdict(2_070) and learnt.wants_verdict(2_090)
    assert (learnt.share(1_999), learnt.share(2_001)) == (SHARE, OFTEN_SHARE)
    assert not Learnt(False, 1_000).wants_verdict(9_000) and not Learnt(True, 0).wants_verdict(9_000)
