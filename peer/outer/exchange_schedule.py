"""The schedule of exchanges: their costs decide how often a peer exchanges, and how precisely.

A peer pauses between two exchanges for so long that they take no more than COST_SHARE of the processor, and a group
keeps to the longest pause that one of its peers needs. Numbers are given in two bits each, and in eight where link and
processor have room for them.
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

COST_MEMORY = 5  # exchanges whose median cost counts: a whole group keeps to the pause of whoever had a bad moment
COST_SHARE = 0.03  # of the processor's time, at most; what p2pd takes, a quarter as much again, is not measured
WHOLE_COST = 2.0  # times the measured cost: with p2pd's, and with what all of it drives out of the caches
USE = 0.4  # own sequences that one of another device is worth (docs/log.md, "a quarter of a device")
MIN_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 300.0  # that a group keeps to for one of its peers, whatever that one says
LONGEST_PAUSE_OF_STRANGERS = 15.0  # the same for one that has been in no exchange with us yet
# While somebody is on the way to our anchor it moves more rarely, and the more so the longer they take: the first
# pause, and the longest, which is the only one without others at our anchor.
CATCHING_UP_SECONDS = (5.0, 120.0)
FINE_SHARE = 0.25  # of the time that the movement was trained in: sending it in eight bits may take so much
FINE_SECONDS = 120.0  # of that time that count at most: all others are in the same exchange


class ExchangeSchedule:
    """Measures what exchanges cost this peer, and says how often and how precisely it can afford them.

    :param size: numbers in an exchange
    """

    def __init__(self, size: int):
        self.pause = MIN_PAUSE_SECONDS  # that this peer needs from a move of the anchor to the next exchange
        self._size = size
        self._cost = 0.0  # processor seconds of the exchange at hand
        self._coarse_costs: deque[float] = deque(maxlen=COST_MEMORY)  # processor seconds of the last ones in two bits
        self._brought: deque[tuple[float, float]] = deque(
            maxlen=COST_MEMORY
        )  # when, and others' sequences for one of ours
        self._is_usual = False  # the first exchange touches all its memory for the first time, and costs twice
        self._slow_pause = 0.0  # seconds, while somebody is on the way to our anchor
        self._bytes_per_second = 0.0  # until an exchange has measured the link, it may be a slow one

    @property
    def _coarse_cost(self) -> float:
        """The processor seconds of a usual exchange in two bits; 0 before the first."""
        return median(self._coarse_costs or [0.0])

    @contextmanager
    def costs(self) -> Iterator[None]:
        """Count what this thread does inside as a cost of the exchange at hand."""
        started = time.thread_time()
        yield
        self._cost += time.thread_time() - started

    def exchanged(self, moved: int, seconds: float, processor_seconds: float, brought: float) -> None:
        """Take in what the exchange at hand was like in the averager's process.

        :param moved: bytes, to and fro
        :param seconds: that it took once its group was there
        :param brought: others' sequences in it for each of ours
        """
        self._brought.append((time.monotonic(), brought))
        self._bytes_per_second = max(1, moved) / max(1e-3, seconds)
        self._cost += processor_seconds

    def anchor_moved(self, bits: int) -> None:
        """Take in that the exchange at hand is over, and all its cost spent; this peer gave so many bits a number."""
        if self._is_usual and bits == COARSE:
            self._coarse_costs.append(self._cost)
            self.pause = max(MIN_PAUSE_SECONDS, self._coarse_cost / COST_SHARE)
        self._cost, self._is_usual = 0.0, True
        self._slow_pause = min(2 * self._slow_pause, CATCHING_UP_SECONDS[1])

    def balance(self, cores: int) -> tuple[float, float] | None:
        """Return what exchanges take from a device's speed and what they bring it, as shares of its own speed.

        None where there have been too few exchanges to tell.

        :param cores: that the device trains on
        """
        if len(self._brought) < COST_MEMORY or not self._coarse_cost:
            return None
        times, brought = zip(*self._brought)
        interval = max(MIN_PAUSE_SECONDS, (times[-1] - times[0]) / (COST_MEMORY - 1))
        return WHOLE_COST * self._coarse_cost / interval / cores, USE * median(brought)

    def pause_with(self, mates: Sequence[Notice], somebody_is_awaited: bool, trusted: frozenset[str]) -> float:
        """Return the seconds from the last move of the anchor to the next exchange: the longest that anybody needs.

        :param somebody_is_awaited: somebody is on the way to our anchor
        :param trusted: peer ids of those that have been in an exchange with us
        """
        if not somebody_is_awaited:
            self._slow_pause = 0.0
        elif not mates:
            return max(self.pause, CATCHING_UP_SECONDS[1])
        elif not self._slow_pause:
            self._slow_pause = CATCHING_UP_SECONDS[0]
        return max(self._slow_pause, self.longest_pause(mates, trusted))

    def longest_pause(self, mates: Sequence[Notice], trusted: frozenset[str]) -> float:
        """Return the seconds that the exchanges of a group need from one to the next, where nobody is on the way."""
        longest = {True: LONGEST_PAUSE_SECONDS, False: LONGEST_PAUSE_OF_STRANGERS}
        return max([self.pause, *(min(mate.pause, longest[mate.peer in trusted]) for mate in mates)])

    def pause_to_tell(self, newcomers_are_awaited: bool) -> float:
        """Return the pause that others are to keep to: a longer one where we know of newcomers, and they do not."""
        return max(self.pause, self._slow_pause, CATCHING_UP_SECONDS[0]) if newcomers_are_awaited else self.pause

    def bits(self, trained_seconds: float, peers: int) -> int:
        """Return the bits a number in which a pseudo-gradient is to be given, COARSE or FINE.

        :param trained_seconds: of training that are in it
        :param peers: in the exchange, ourselves among them
        """
        trained_seconds = min(trained_seconds, FINE_SECONDS)
        both = payload_bytes(self._size, FINE) + payload_bytes(self._size, MEAN_BITS[FINE])
        moved, could_move = 2 * both * (1 - 1 / max(2, peers)), self._bytes_per_second * trained_seconds
        processor = self._coarse_cost * FINE / COARSE
        affordable = moved <= FINE_SHARE * could_move and processor <= COST_SHARE * trained_seconds
        return FINE if affordable else COARSE
