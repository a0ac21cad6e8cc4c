"""Who is left out, and how the others come to know it."""

from __future__ import annotations

from typing import Any, cast

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

from peer.outer.averager_process import AveragerProcess
from peer.outer.doubts import Doubts
from peer.outer.events import Setback
from peer.outer.exchange_schedule import ExchangeSchedule
from peer.outer.exchanging import Exchanging
from peer.outer.leaving_out import LeavingOut
from peer.outer.newcomers import Newcomers
from peer.outer.outer_state import OuterState
from peer.outer.peers import Peers
from peer.state.codec import PART
from peer.wire import Notice, Role

ME, ANA, BEN, CLEO = (letter * 12 for letter in "MABC")


class Averager:
    """What a device has seen of others in exchanges."""

    def __init__(self, *complaints: tuple[str, str]) -> None:
        self._complaints, self.shunned = list(complaints), set[str]()

    def complaints(self) -> list[tuple[str, str]]:
        complaints, self._complaints = self._complaints, []
        return complaints

    def reduced(self) -> list[Any]:
        return []

    def shun(self, device: str, seconds: float) -> None:
        self.shunned.add(device)


class Company:
    """A device among Ana, Ben and Cleo, who say that those are at odds."""

    def __init__(self, *complaints: tuple[str, str], says: dict[str, tuple[str, ...]]) -> None:
        self.averager, self.peers = Averager(*complaints), Peers("run")
        process = cast(AveragerProcess, cast(Any, type("Process", (), {"averager": self.averager})()))
        self.exchanging = Exchanging(process, ExchangeSchedule(PART), Doubts(), Newcomers(), seq_len=32)
        self.leaving_out = LeavingOut(self.exchanging, self.peers, process, cast(OuterState, None))
        self.peers.update(
            Notice(
                peer=device, name=device[0], address="", role=Role.TRAINING, run_id="run", at_odds=says.get(device, ())
            )
            for device in (ANA, BEN, CLEO)
        )

    def look(self) -> list[str]:
        events = list(self.leaving_out.look(ME, {ANA, BEN, CLEO}))
        return [event.reason for event in events if isinstance(event, Setback)]


def test_who_sends_what_cannot_be_is_left_out_and_the_others_are_told() -> None:
    ours = Company((CLEO, "numbers that are not finite"), says={})
    (said,) = ours.look()
    assert said.startswith("C sent numbers that are not finite: exchanges go on without it")
    assert ours.exchanging.findings.at_odds == (CLEO,), "they have reduced no part of it, and have not seen it"
    assert [other.peer for other in ours.peers.others] == [ANA, BEN]


def test_a_device_that_has_not_seen_it_leaves_out_whom_all_others_do() -> None:
    assert Company(says={ANA: (CLEO,)}).look() == [], "one device's word"
    ours = Company(says={ANA: (CLEO,), BEN: (CLEO,)})
    (said,) = ours.look()
    assert said.startswith("C gives what") and ours.averager.shunned == {CLEO}
