"""The end by epochs: what a pass is, alone, with the same text on several devices, and with more; who trains it."""

from __future__ import annotations

from typing import Any

import pytest

from peer.training.epochs import MEET_SECONDS, MOST_TIMES_FASTER, WAIT_SECONDS, Epochs
from peer.wire import Notice, Role

RUN = "cellmind-0123456789ab"
START = 1000.0


def other(peer: str, sequences: int = 0, run_id: str = RUN, role: Role = Role.TRAINING, **more: Any) -> Notice:
    return Notice(peer=peer, name=peer, address="", role=role, run_id=run_id, sequences=sequences, **more)


def mate(speed: float, offered: int = 0, peer: str = "A", **more: Any) -> Notice:
    return other(peer, tokens_per_second=speed, offered=offered, **more)


def epochs(count: int | None = 3, own: int = 100, is_own: bool = True) -> Epochs:
    return Epochs(count, RUN, range(own), is_own, START)


def test_alone_an_epoch_is_the_own_text() -> None:
    alone = epochs()
    assert [alone.left(trained) for trained in (0, 299, 300, 301)] == [300, 1, 0, 0]
    later = START + MEET_SECONDS
    assert not alone.over(299, later) and alone.over(300, later)


def test_without_epochs_there_is_no_end() -> None:
    endless = epochs(None)
    assert endless.left(10**12) is None
    assert not endless.over(10**12, START + MEET_SECONDS)


def test_the_same_text_counts_once_and_another_one_besides() -> None:
    swarm = epochs()
    swarm.update(
        [other("A", 100), other("B", 50), other("C", 50), other("D", 0), other("E", 7, "another-0123456789ab")], START
    )
    assert swarm.sequences == 150
    swarm.update([other("B", 60)], START)
    assert swarm.sequences == 100 + 50 + 60, "B has more text now; whoever left counts on"


def test_text_that_others_share_is_theirs() -> None:
    sharing = epochs(own=20, is_own=False)  # so much of it is here by now
    assert sharing.sequences == 20, "nobody says how much there is"
    sharing.update([other("A", 100)], START)
    assert sharing.sequences == 100


def test_who_seems_to_be_done_at_its_start_looks_for_others_first() -> None:
    again = epochs()
    assert again.left(300) == 0 and not again.over(300, START + MEET_SECONDS - 0.1)
    again.update([other("B", 70)], START)
    assert again.left(300) == 210 and not again.over(300, START + MEET_SECONDS)


@pytest.mark.parametrize(("count", "words"), [(1, "once"), (2, "twice"), (3, "3 times"), (1000, "1,000 times")])
def test_passes_in_words(count: int, words: str) -> None:
    assert str(epochs(count)) == words


def test_what_is_left_is_divided_by_speed_and_again_with_every_two_notices() -> None:
    device = epochs()
    assert device.part(100, 10.0) == 100, "alone"
    device.update([mate(30.0)], START)
    assert device.part(100, 10.0) == 25
    device.trained(20)
    device.update([mate(30.0)], START + 1)  # the notice of before
    assert device.part(80, 10.0) == 5, "the other one has trained 60 meanwhile"
    device.trained(5)
    assert device.part(75, 10.0) == 0, "all of it, and it will say so"
    device.update([mate(30.0, 40)], START + 2)
    assert device.part(35, 10.0) == 0, "that was written when we had made 20 of our 25, or earlier"
    device.update([mate(30.0, 71)], START + 3)
    assert device.part(4, 10.0) == 1, "it waits as well"
    device.trained(1)
    device.update([mate(30.0, 73)], START + 4)
    device.update([mate(30.0, 73, round=4)], START + 5)
    assert device.part(1, 10.0) == 1, "the last one is not left to each other"
    assert device.part(0, 10.0) == 0


def test_nobody_waits_for_who_does_not_train() -> None:
    device = epochs()
    device.trained(50)
    resting = mate(30.0, peer="A", paused="battery at 9 %")
    there = [mate(30.0), mate(10.0, peer="B"), mate(0.0, peer="C")]
    device.update(there, START)
    assert device.part(100, 10.0) == 20, "C has made no step yet"
    device.trained(20)
    assert device.part(80, 10.0) == 0
    device.update([resting, *there[1:]], START + 1)
    assert device.part(80, 10.0) == 30, "A rests, and B has trained 20 meanwhile"
    device.update([resting, mate(9.0, peer="E", role=Role.RELAYING), mate(9.0, run_id="other")], START + 2)
    assert device.part(80, 10.0) == 80, "B has left, and the rest are not of those who train"


def test_who_says_the_same_for_a_minute_is_not_waited_for_any_longer() -> None:
    device = epochs()
    device.update([mate(10.0)], START)
    device.trained(50)
    device.update([mate(10.0)], START + WAIT_SECONDS - 1)
    assert device.part(50, 10.0) == 0
    device.update([mate(10.0)], START + WAIT_SECONDS)
    assert device.part(50, 10.0) == 25


def test_who_claims_to_be_as_fast_as_can_be_does_not_get_everything() -> None:
    device = epochs()
    device.update([mate(1e11)], START)
    assert device.part(1100, 10.0) == 1100 / (1 + MOST_TIMES_FASTER)
    assert device.part(1100, 0.0) == 550, "this device does not know its own speed yet"


@pytest.mark.parametrize("speeds", [(10.0, 10.0), (10.0, 1.0, 3.0), (50.0, 1.0), (5.0,) * 8])
@pytest.mark.parametrize("seconds", [1, 4, 7])
def test_devices_share_the_passes_however_late_they_hear_of_each_other(speeds: tuple[float, ...], seconds: int) -> None:
    """Each second every device trains at its speed; so many seconds are between notices, and they come one late."""
    devices = [epochs(1, own=60) for _ in speeds]
    trained, said_at = [[0] * len(speeds)], 0  # by device, at each second
    while sum(trained[said_at]) < 60:
        assert len(trained) < 30, "it ends"
        now, said, said_at = list(trained[-1]), trained[said_at], (len(trained) - 1) // seconds * seconds
        notices = [mate(speed, said[number], str(number + 1), round=said_at) for number, speed in enumerate(speeds)]
        for number, (device, speed) in enumerate(zip(devices, speeds)):
            device.update([*notices[:number], *notices[number + 1 :]], START + len(trained))
            for _ in range(round(speed)):
                left = device.left(sum(said) - said[number] + now[number])
                assert left is not None
                made = min(1, device.part(left, speed))
                device.trained(made)
                now[number] += made
        trained.append(now)
    assert 60 <= sum(trained[-1]) <= 1.1 * 60
