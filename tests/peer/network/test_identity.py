"""Who says to have our identity: anybody can, so looking costs little however many do."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest

from peer.network import identity
from peer.network.address import Address
from peer.network.identity import LONGEST_SECONDS, TWIN_SECONDS, Identity
from peer.wire import Notice, Role

PEER = "Q" * 12


class Clock:
    """The time, and what was looked at when."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now, self.tried, self.daemons = 0.0, list[tuple[float, str]](), 0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(identity, "try_port", self._try_port)
        monkeypatch.setattr(identity, "P2P", self)

    async def _try_port(self, host: str, port: int, seconds: float) -> None:
        self.tried.append((self.now, host))
        if host.endswith(".9"):
            raise ConnectionRefusedError

    async def create(self, **_: Any) -> Any:
        self.daemons += 1
        raise RuntimeError("it is not it")


def says_to_be_us(host: str) -> Notice:
    address = f"/ip4/{host}/tcp/1/p2p/{PEER}"
    return Notice(peer=PEER, name="twin", address=address, role=Role.TRAINING, started=0.0)


def looked_at(clock: Clock, hosts: list[str], seconds: int) -> None:
    me = Identity(Address("10.0.0.1", 1, PEER))

    async def work() -> None:
        for second in range(0, seconds, 10):
            clock.now = float(second)
            for host in hosts:
                me.hear_of(says_to_be_us(host))
            try:
                await me.ask_twin()
            except (RuntimeError, OSError):
                continue

    asyncio.run(work())


def test_a_made_up_twin_is_looked_at_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    looked_at(clock, ["10.0.0.8"], 4 * 3600)
    times = [time for time, _ in clock.tried]
    assert times[1] - times[0] >= 2 * TWIN_SECONDS and len(times) < 16
    assert times[-1] - times[-2] >= LONGEST_SECONDS


def test_many_made_up_twins_together_are_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    looked_at(clock, [f"10.0.{net}.8" for net in range(50)], 3600)
    assert len(clock.tried) < 60, "and not one every 30 s for ever"
    assert clock.tried[-1][0] - clock.tried[-2][0] >= 4 * TWIN_SECONDS


def test_where_nobody_listens_no_p2pd_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    looked_at(clock, ["10.0.0.9"], 100)
    assert clock.tried and not clock.daemons
