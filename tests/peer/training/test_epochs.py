"""The end by epochs: what a pass is, alone, with the same text on several devices, and with more of it."""

from __future__ import annotations

import pytest

from peer.training.epochs import MEET_SECONDS, Epochs
from peer.wire import Notice, Role

RUN = "cellmind-0123456789ab"
START = 1000.0


def other(peer: str, sequences: int, run_id: str = RUN) -> Notice:
    return Notice(peer=peer, name=peer, address="", role=Role.TRAINING, run_id=run_id, sequences=sequences)


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
        [other("A", 100), other("B", 50), other("C", 50), other("D", 0), other("E", 7, "another-0123456789ab")]
    )
    assert swarm.sequences == 150
    swarm.update([other("B", 60)])
    assert swarm.sequences == 100 + 50 + 60, "B has more text now; whoever left counts on"


def test_text_that_others_share_is_theirs() -> None:
    sharing = epochs(own=20, is_own=False)  # so much of it is here by now
    assert sharing.sequences == 20, "nobody says how much there is"
    sharing.update([other("A", 100)])
    assert sharing.sequences == 100


def test_who_seems_to_be_done_at_its_start_looks_for_others_first() -> None:
    again = epochs()
    assert again.left(300) == 0 and not again.over(300, START + MEET_SECONDS - 0.1)
    again.update([other("B", 70)])
    assert again.left(300) == 210 and not again.over(300, START + MEET_SECONDS)


@pytest.mark.parametrize(("count", "words"), [(1, "once"), (2, "twice"), (3, "3 times"), (1000, "1,000 times")])
def test_passes_in_words(count: int, words: str) -> None:
    assert str(epochs(count)) == words
