"""How much training is believed: whatever a fast device can have done, and no more."""

from __future__ import annotations

import pytest

from peer.swarm.jury import JUDGING_SECONDS, judges_among, said_by
from peer.swarm.plausible import most_plausible
from peer.wire import Notice, Role

DAY = 86_400.0


@pytest.mark.parametrize(
    ("claimed", "began_with", "has", "seconds", "speed", "believed"),
    [
        (10_000, 0, 500, 10.0, 1.0, True),  # a GPU, ten seconds after a phone began
        (800 * 3600, 0, 3000, 3600.0, 0.8, True),  # an hour of a GPU with 800 sequences a second, beside a phone
        (40_000, 5000, 5100, 1.0, 10.0, True),  # joined a moment ago the smaller part of a household that is parted
        (10**9, 0, 5000, 60.0, 40.0, False),
        (2**40, 0, 10**6, 30 * DAY, 16.0, False),
        (60, 0, 0, 1.0, 0.0, True),  # before it has made a step
    ],
)
def test_what_is_believed(
    claimed: int, began_with: int, has: int, seconds: float, speed: float, believed: bool
) -> None:
    assert (claimed <= most_plausible(began_with, has, seconds, speed)) is believed


def judge(letter: str, *refuses: str, **more: object) -> Notice:
    said = {"peer": letter * 12, "name": letter, "address": "", "role": Role.TRAINING, "judges": True}
    return Notice.model_validate({**said, "refuses": refuses, **more})


DONOR = "D" * 12


@pytest.mark.parametrize(
    ("judges", "waited", "outcome"),
    [
        ([], 0.0, "take"),
        ([judge("A")], 0.0, "wait"),
        ([judge("A")], JUDGING_SECONDS, "take"),
        ([judge("A", DONOR)], 0.0, "refuse"),
        ([judge("A", DONOR), judge("B")], 0.0, "refuse"),  # half of them
        ([judge("A", DONOR), judge("B"), judge("C")], JUDGING_SECONDS, "take"),  # one liar is outvoted
    ],
)
def test_who_has_no_text_follows_those_who_have(judges: list[Notice], waited: float, outcome: str) -> None:
    assert said_by(judges, DONOR, waited) == outcome


def test_only_who_trains_with_text_held_out_is_a_judge() -> None:
    some = [judge("A"), judge("B", judges=False), judge("C", role=Role.JOINING), judge("D")]
    assert [one.name for one in judges_among(some, DONOR)] == ["A"]
