"""What strangers cost the outer loop of a device that knows others: nothing, unless they are on the way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind import DHT

from peer.network.node import View
from peer.outer.exchange_schedule import CATCHING_UP_SECONDS
from peer.outer.newcomers import MOST_SECONDS
from peer.wire import Notice
from tests.lan import wait_until
from tests.peer.outer.exchanges import BOUND
from tests.peer.outer.test_outer import running

FRIEND, STRANGER = "F" * 12, "S" * 12
SOON = 3.0  # seconds; the shortest pause between two exchanges is half a second, and the first long one is five


class Others:
    """One that we know, at our anchor, and three strangers.

    :param said: what the strangers say of themselves
    """

    def __init__(self, **said: Any):
        self.said, self.took = said, dict[str, float]()

    def post(self, notice: Notice) -> View:
        friend = notice.model_copy(update={"peer": FRIEND, "name": "friend", "ready": True})
        ids = [STRANGER, *(letter * 12 for letter in "TU")]
        strangers = [friend.model_copy(update={"peer": stranger, "name": "stranger", **self.said}) for stranger in ids]
        return View(notices=[friend, *strangers], took=self.took)


def begun_by(outer: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the list of those that each exchange which is begun from now on waits for, by peer id.

    There is something to give, and the friend is known.
    """
    outer.inner.step(1e-3)
    outer.trained(2)
    outer._doubts.moved([FRIEND])
    begun: list[list[str]] = []

    def begin(given: Any, lineage: str, me: Notice, mates: Sequence[Notice], company: Sequence[Notice]) -> None:
        begun.append([mate.peer for mate in mates])

    monkeypatch.setattr(outer._exchanging, "begin", begin)
    return begun


@pytest.mark.parametrize(
    "said",
    [
        {"step_seconds": 20.0, "pause": 300.0},  # at our anchor
        {"lineage": "b", "trained": 1},  # on the way to it
        {"lineage": "b", "trained": 2**40},  # ahead
    ],
)
def test_strangers_that_have_taken_nothing_hold_up_no_exchange(
    nodes: list[DHT], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any]
) -> None:
    class Never:
        def poll(self) -> None: ...

    others = Others(**said)
    with running(nodes[0], tmp_path, post=others.post, fetch_means=lambda *asked: Never()) as outer:
        begun = begun_by(outer, monkeypatch)
        assert wait_until(lambda: not list(outer.tick(1.0)) and begun, SOON)
        assert begun[0] == [FRIEND]


def test_a_newcomer_on_the_way_is_waited_for_and_the_others_are_told(
    nodes: list[DHT], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = Others(lineage="b", trained=1)
    with running(nodes[0], tmp_path, post=others.post) as outer:
        begun = begun_by(outer, monkeypatch)
        others.took = {STRANGER: time.monotonic()}
        assert not wait_until(lambda: list(outer.tick(1.0)) or begun, SOON)
        assert outer._notice().pause == CATCHING_UP_SECONDS[0], "others know nothing of it"
        others.said = {}  # it has come
        assert wait_until(lambda: not list(outer.tick(1.0)) and begun, BOUND)
        assert begun[0] == [FRIEND, STRANGER]
        assert outer._notice().pause < CATCHING_UP_SECONDS[0]
        others.said = {"lineage": "b", "trained": 1}
        outer._newcomers.cost(MOST_SECONDS)
        begun.clear()
        assert wait_until(lambda: not list(outer.tick(1.0)) and begun, SOON), "newcomers have used up their time"
        assert begun[0] == [FRIEND]
