"""Catching up, without the network: what a device that is behind asks, and of whom."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from peer.network.handle import Network
from peer.outer import shunned
from peer.outer.catching_up import CatchingUp, NotTaken
from peer.outer.doubts import DOUBT_SECONDS, Doubts
from peer.state.anchor import COARSE, MEAN_BITS
from peer.state.codec import PART
from peer.state.fetching import TransferError
from peer.state.means import Mean, MeanError, path_of
from peer.wire import Notice, Role
from tests.peer.outer.exchanges import encoded

ME = Notice(peer="M" * 12, name="me", address="", role=Role.TRAINING, run_id="run-1", lineage="aa", trained=10)
DONOR = ME.model_copy(update={"peer": "D" * 12, "name": "donor", "lineage": "bb", "trained": 20, "sharing": True})


class Donors:
    """In the place of the network: answers what the test has put here, or raises it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Any = None  # not here yet

    def poll(self) -> Any:
        """Return the answer: what is asked here is pending here as well."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def fetch_means(self, *_: Any) -> Donors:
        self.asked.append("means")
        return self

    def fetch(self, *_: Any, **__: Any) -> Donors:
        self.asked.append("newer anchor")
        return self


@pytest.fixture
def donors() -> Donors:
    return Donors()


@pytest.fixture
def catching_up(donors: Donors, tmp_path: Path) -> CatchingUp:
    return CatchingUp(cast(Network, donors), tmp_path, "cellmind", PART, missed=[], doubts=Doubts())


def kept_mean(run_folder: Path, lineage: str) -> Path:
    mean = Mean(lineage, {"D" * 12: 4}, 1, encoded(torch.ones(PART), MEAN_BITS[COARSE]))
    mean.save(run_folder)
    return path_of(run_folder, lineage)


def test_means_that_have_come_are_given_out_in_order(catching_up: CatchingUp, donors: Donors, tmp_path: Path) -> None:
    catching_up.begin(DONOR, ME)
    assert catching_up.under_way
    assert catching_up.poll() is None and catching_up.under_way, "on the way"
    donors.answer = [kept_mean(tmp_path, lineage) for lineage in ("aa", "ab")]
    assert catching_up.poll() is None and not catching_up.under_way
    given = []
    while catching_up.has_means:
        given.append(catching_up.next_mean().previous)
    assert given == ["aa", "ab"]


def test_where_means_do_not_lead_on_the_newer_anchor_is_asked_for(
    catching_up: CatchingUp, donors: Donors, tmp_path: Path
) -> None:
    catching_up.begin(DONOR, ME)
    donors.answer = []
    assert catching_up.poll() is None and not catching_up.has_means
    catching_up.begin(DONOR, ME)
    assert donors.asked == ["means", "newer anchor"]


def test_means_that_are_none_are_forgotten_with_all_that_follow(
    catching_up: CatchingUp, donors: Donors, tmp_path: Path
) -> None:
    catching_up.begin(DONOR, ME)
    torn, whole = (kept_mean(tmp_path, lineage) for lineage in ("aa", "ab"))
    torn.write_bytes(torn.read_bytes()[:-1])
    donors.answer = [torn, whole]
    catching_up.poll()
    with pytest.raises(MeanError):
        catching_up.next_mean()
    catching_up.stray()
    assert not catching_up.has_means
    catching_up.begin(DONOR, ME)
    assert donors.asked == ["means", "newer anchor"]


def test_a_donor_that_could_not_show_it_is_not_asked_for_a_while_and_each_time_for_longer(
    catching_up: CatchingUp, donors: Donors, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(shunned, "time", SimpleNamespace(monotonic=lambda: now))
    donors.answer = TransferError("it has no checkpoint")
    for doubt in (DOUBT_SECONDS, 2 * DOUBT_SECONDS, 4 * DOUBT_SECONDS):
        assert catching_up.ahead(ME, [DONOR]) == DONOR
        catching_up.begin(DONOR, ME)
        with pytest.raises(NotTaken, match="newer state of donor could not be taken: it has no checkpoint"):
            catching_up.poll()
        assert not catching_up.under_way
        now += doubt - 0.1
        assert catching_up.ahead(ME, [DONOR]) is None
        now += 0.2


def test_those_that_we_know_are_asked_before_strangers_that_claim_more(catching_up: CatchingUp) -> None:
    stranger = DONOR.model_copy(update={"peer": "S" * 12, "trained": 2**40})
    assert catching_up.ahead(ME, [DONOR, stranger]) == stranger
    catching_up._doubts.moved([DONOR.peer])
    assert catching_up.ahead(ME, [DONOR, stranger]) == DONOR
    assert catching_up.ahead(DONOR, [DONOR, stranger]) == stranger, "nobody else is ahead"
    catching_up.begin(stranger, ME)
    assert catching_up.gives_way_to(DONOR), "a stranger may let us wait"
    assert not catching_up.gives_way_to(None) and not catching_up.gives_way_to(stranger)
    catching_up.begin(DONOR, ME)
    assert not catching_up.gives_way_to(DONOR)


def test_nothing_begins_with_a_donor_that_is_still_writing(catching_up: CatchingUp, donors: Donors) -> None:
    writing = DONOR.model_copy(update={"sharing": False})
    catching_up._strayed = True
    catching_up.begin(writing, ME)
    assert not catching_up.under_way and not donors.asked
    assert catching_up.ahead(ME, [writing]) is None, "for a moment"
