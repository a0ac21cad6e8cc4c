"""What a bootstrap node does before a locked run; what it does for others: `tests/household/test_swarm.py`."""

from __future__ import annotations

import time
from types import SimpleNamespace

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest

from bootstrap.__main__ import connected_to, knocks, look_on
from peer.network.node import View
from peer.swarm.household import unlocked
from peer.swarm.knocking import Outside
from tests.households import Named, household
from tests.tiny import stand_in


def at(host: int) -> str:
    return f"/ip4/10.0.0.{host}/tcp/1/p2p/{peer_of(host)}"


def peer_of(host: int) -> str:
    return f"Qm{host}" + "a" * 43


DESK, LAPTOP, NODE = 2, 3, 4


@pytest.mark.parametrize(
    ("doors", "connected", "heard", "given", "expected"),
    [
        ((), (), (), (), False),
        ((DESK,), (), (), (), True),
        ((DESK,), (DESK,), (), (), True),
        ((DESK,), (DESK, LAPTOP), (), (), False),  # an open run is here, which it serves
        ((DESK,), (DESK, NODE), (NODE,), (), True),  # another node stands there as well
        ((DESK,), (DESK, LAPTOP), (), (DESK,), True),  # the user has named the locked one
        ((DESK,), (DESK, LAPTOP), (), (DESK, LAPTOP), False),
        ((), (LAPTOP,), (), (LAPTOP,), False),
    ],
)
def test_it_knocks_where_it_has_nobody_to_serve_but_a_locked_run(
    doors: tuple[int, ...], connected: tuple[int, ...], heard: tuple[int, ...], given: tuple[int, ...], expected: bool
) -> None:
    view = View(
        outside=Outside(doors=tuple(map(at, doors))),
        connected=list(map(peer_of, connected)),
        heard=dict.fromkeys(map(at, heard), "bootstrap"),
    )
    assert knocks(view, list(map(at, given))) == expected
    assert peer_of(DESK) not in connected_to(view) or DESK not in doors


def test_a_node_that_is_in_asks_no_more_and_one_that_was_ejected_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member's door is shut for a moment where another one opens the run."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    shut = Outside(doors=(at(DESK),))
    home = household("cellmind-1a2b3c4d5e6f", "M" * 12)
    opened = unlocked(home, Named("M" * 12))
    views = [
        View(outside=shut),
        View(household=home, locked=True),
        View(household=opened, outside=shut),
        View(household=home, locked=True, ejected=True),
    ]
    asked: list[bool] = []
    network = stand_in(post=lambda notice: views[len(asked)], ask_in=asked.append, address="")
    stop = type("Stop", (SimpleNamespace,), {"received": property(lambda _: len(asked) == len(views))})()
    display = stand_in(note=lambda line: None, invite=lambda line: None)
    monkeypatch.setattr("bootstrap.__main__.Invite", lambda address: address)
    look_on(network, display, stop, [])
    assert asked == [True, False, False, True]
