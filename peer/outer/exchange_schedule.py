"""How often a peer exchanges, and how precisely: what it costs decides.

A peer lets so much time pass between two exchanges that they take no more than COST_SHARE of the processor, and a group
keeps to the longest pause that one of its peers needs. Movement is given in two bits a number, and in eight where link
and processor have room for them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

from peer.state.anchor import COARSE, FINE, MEAN_BITS
from peer.state.codec import payload_bytes
from peer.wire import Notice

COST_MEMORY = 5  # exchanges whose middle cost counts: a whole group keeps to the pause of whoever had a bad moment
COST_SHARE = 0.03  # of the processor's time, at most, goes into exchanges; p2pd's, a quarter as much again, is not seen
WHOLE_COST = 2.0  # times what is measured here, with p2pd's part and what all of it drives out of the caches
USE = 0.4  # of a sequence that another device has trained, in those of our own (docs/log.md, "a quarter of a device")
MIN_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 300.0  # that a group keeps to for one of its peers, whatever it says
# While somebody is on the way to our anchor it moves less often, and less the longer they take: shortest pauses with
# others at our anchor and without, and the longest.
CATCHING_UP_SECONDS = (5.0, 120.0, 120.0)
FINE_SHARE = 0.25  # of the time that is trained in movement, at most, it takes to send it in eight bits
FINE_SECONDS = 120.0  # of that time, at most, count: all others are in the same exchange


class ExchangeSchedule:
    """What exchanges have cost this peer so far, and what follows from it.

    :param size: numbers in an exchange
    """

    def __init__(self, size: int):
        self.pause = MIN_PAUSE_SECONDS  # from the last move of the anchor to the next exchange, as far as we need one
        self._size = size
        self._cost = 0.0  # processor seconds of the exchange at hand
        self._coarse_costs: deque[float] = deque(maxlen=COST_MEMORY)  # of the last ones in two bits
        self._brought: deque[tuple[float, float]] = deque(maxlen=COST_MEMORY)  # when, and sequences for one of ours
        self._is_usual = False  # the first one touches all its memory for the first time, and costs twice
        self._slow_pause = 0.0
        self._bytes_per_second = 0.0  # a link that no exchange has measured may be a slow one

    @property
    def _coarse_cost(self) -> float:
        """Processor seconds of an exchange in two bits, 0 before the first."""
        return median(self._coarse_costs or [0.0])

    @contextmanager
    def costs(self) -> Iterator[None]:
        """What is done in here belongs to the exchange at hand."""
        started = time.thread_time()
        yield
        self._cost += time.thread_time() - started

    def exchanged(self, moved: int, seconds: float, processor_seconds: float, brought: float) -> None:
        """An exchange moved so many bytes to and fro, and cost so much in the averager's process.

        :param brought: sequences of others that are in it, for each of ours
        """
        self._brought.append((time.monotonic(), brought))
        self._bytes_per_second = max(1, moved) / max(1e-3, seconds)
        self._cost += processor_seconds

    def anchor_moved(self, bits: int) -> None:
        """All that the exchange at hand costs is spent."""
        if self._is_usual and bits == COARSE:
            self._coarse_costs.append(self._cost)
            self.pause = max(MIN_PAUSE_SECONDS, self._coarse_cost / COST_SHARE)
        self._cost, self._is_usual = 0.0, True
        self._slow_pause = min(2 * self._slow_pause, CATCHING_UP_SECONDS[2])

    def balance(self, cores: int) -> tuple[float, float] | None:
        """What exchanges take from the speed of a device with so many cores, and what they bring it, as shares of it.

        None where there have been too few to tell.
        """
        if len(self._brought) < COST_MEMORY or not self._coarse_cost:
            return None
        times, brought = zip(*self._brought)
        interval = max(MIN_PAUSE_SECONDS, (times[-1] - times[0]) / (COST_MEMORY - 1))
        return WHOLE_COST * self._coarse_cost / interval / cores, USE * median(brought)

    def pause_with(self, mates: Sequence[Notice], somebody_is_awaited: bool) -> float:
        """Seconds from the last move of the anchor to the next exchange: the longest that anybody needs."""
        if not somebody_is_awaited:
            self._slow_pause = 0.0
        elif not self._slow_pause:
            self._slow_pause = CATCHING_UP_SECONDS[0 if mates else 1]
        return max(self.pause, self._slow_pause, *(min(mate.pause, LONGEST_PAUSE_SECONDS) for mate in mates))

    def bits(self, trained_seconds: float, peers: int) -> int:
        """How precisely movement with so much training in it is to be given to so many peers."""
        trained_seconds = min(trained_seconds, FINE_SECONDS)
        both = payload_bytes(self._size, FINE) + payload_bytes(self._size, MEAN_BITS[FINE])
        moved, could_move = 2 * both * (1 - 1 / max(2, peers)), self._bytes_per_second * trained_seconds
        processor = self._coarse_cost * FINE / COARSE
        affordable = moved <= FINE_SHARE * could_move and processor <= COST_SHARE * trained_seconds
        return FINE if affordable else COARSE
