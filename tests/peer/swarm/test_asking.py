"""Who is answered by the model of this device."""

from __future__ import annotations

import pytest

from peer.swarm.asking import why_not


@pytest.mark.parametrize(
    ("asking", "rests", "problem"),
    [
        ([], "", ""),
        (["B"], "", ""),
        (["A"], "", "busy"),
        (["B", "C"], "", "busy"),
        ([], "battery at 19 %", "rests"),
        ([], "paused by its owner", "rests"),
        ([], "its chats are learnt", ""),
        ([], "the chats of the others are learnt", ""),
    ],
)
def test_a_device_of_our_run_is_answered_while_there_is_room(asking: list[str], rests: str, problem: str) -> None:
    assert why_not("A", {"A", "B", "C"}, asking, rests) == problem


def test_a_stranger_is_not_answered() -> None:
    assert why_not("X", {"A"}, [], "") == "busy"
