"""The health of this device: a self-test now and then, and what follows where one finds a fault.

A device that calculates wrongly, or whose memory changes numbers, is not hostile, and finds it out itself. What it has
trained since the last state that is known to be good is dropped, not given. It rests, says why, and goes on once the
self-test has passed several times. Who fails again and again rests until somebody has looked at it.
"""

from __future__ import annotations

import math
import time
from collections import deque

from minigpt.settings import Settings
from peer.device.display import Display
from peer.device.memory import is_out_of_memory
from peer.device.power import Cause, Rest
from peer.inner.loop import InnerLoop
from peer.inner.self_test import changed_by_memory, find_fault, held_by_anchor, sentence
from peer.outer.interface import OuterLoop
from peer.training.divergence import Recovery

SHARE = 0.001  # of the time that self-tests take; those that a strange loss asks for may take as much again,
CREDIT_SECONDS = 3.0  # and so much besides
LEAST_SECONDS, MOST_SECONDS = 60.0, 3600.0  # between two of them
STRANGE = 1.0  # nats a token above the usual loss of a step: a reason to look at once
SMOOTHING = 0.05  # of the usual loss, a step
RETRY_SECONDS = 60.0  # between two self-tests of a device that has failed one
PASSES = 3  # in a row, after which it trains again
MOST_FAULTS, MEMORY_SECONDS = 3, 24 * 3600.0  # so many in so long a time, and it does not
ADVICE = (
    "this device has failed its self-test 3 times in a day and trains no more until it is started again: test its "
    "memory (memtest86+), undo overclocking, and see whether it gets too hot"
)


class DamagedAnchor(Exception):
    """Memory has changed what all devices agreed on, on this one; the message is for the user."""


class Health:
    """Tests this device while it trains, and says why it is to rest (`rest`)."""

    def __init__(self, inner: InnerLoop, outer: OuterLoop, recovery: Recovery, settings: Settings, display: Display):
        self.rest: Rest | None = None
        self._inner, self._outer, self._recovery, self._display = inner, outer, recovery, display
        # with synchronous averaging hivemind has what was trained, and nothing is dropped
        self._drops = settings.swarm.averaging == "background"
        self._began = self._next = time.monotonic()  # the first test is before the first step
        self._tests, self._strange_seconds = 0, 0.0  # the latter spent for strange losses
        self._usual: float | None = None  # loss of a step
        self._faults = deque[float](maxlen=MOST_FAULTS)  # when they were found
        self._passes = 0  # since the last one
        self._is_over = False  # it rests until it is started again
        self._is_to_drop = False  # what was trained, as soon as that is possible

    def stepped(self, loss: float) -> bool:
        """Take in the loss of one more step, and test this device where that is due; return whether it is sound.

        Raises DamagedAnchor.
        """
        usual, now = self._usual, time.monotonic()
        is_strange = not math.isfinite(loss) or (usual is not None and loss > usual + STRANGE)
        if math.isfinite(loss):
            self._usual = loss if usual is None else usual + SMOOTHING * (loss - usual)
        if now >= self._next:
            self._test(now)
        elif is_strange and self._strange_seconds <= CREDIT_SECONDS + SHARE * (now - self._began):
            self._strange_seconds += self._test(now)
        return self.rest is None

    def poll(self) -> None:
        """Drop what is to be dropped, and test a device that rests by its own fault. Raises DamagedAnchor."""
        now = time.monotonic()
        if self.rest is None and self._tests == 0:
            self._test(now)
        if self._is_to_drop:
            self._is_to_drop = not self._outer.go_back()  # not while an exchange has part of it
        elif self.rest is not None and now >= self._next and not self._is_over:
            self._passes = 0 if self._fault() else self._passes + 1
            self._next = now + RETRY_SECONDS
            if self._passes == PASSES:
                self._go_on()

    def _test(self, now: float) -> float:
        """Test this device, and rest where it has a fault; return the seconds that took."""
        fault = self._fault()
        took = time.monotonic() - now
        self._next = now + took + min(MOST_SECONDS, max(LEAST_SECONDS, took / SHARE))
        if fault:
            self._fail(fault, now)
        return took

    def _fault(self) -> str:
        """Return what a self-test finds; "" also where there is no memory for one. Raises DamagedAnchor."""
        self._tests += 1
        if changed := changed_by_memory(held_by_anchor(self._outer.anchor_model)):
            raise DamagedAnchor(
                f"{sentence(changed, 'the state that all devices share')}: training ends here without keeping that. "
                "Start it again, and it goes on from the newest state that is whole; if this comes again, test its "
                "memory (memtest86+)"
            )
        try:
            return find_fault(self._inner, self._tests)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return ""

    def _fail(self, fault: str, now: float) -> None:
        self._faults.append(now)
        self._passes = 0
        # at once: an exchange may begin in this very turn; where one has part of it, as soon as that is over
        self._is_to_drop = self._drops and not self._outer.go_back()
        self._next = now + RETRY_SECONDS
        self._is_over = len([at for at in self._faults if at > now - MEMORY_SECONDS]) == MOST_FAULTS
        until = "when it is started again" if self._is_over else f"when the self-test has passed {PASSES} times"
        self.rest = Rest(Cause.FAULT, "its self-test failed", until)
        dropped = f"what this device has trained since round {self._outer.progress.round} is dropped, not given"
        self._display.note(f"{fault}: {dropped}" if self._drops else fault)
        if self._is_over:
            self._display.note(ADVICE)

    def _go_on(self) -> None:
        self.rest, self._usual = None, None
        self._recovery.begin()
        begins = f": this device begins anew at {self._recovery.good_state()}" if self._drops else ""
        self._display.note(f"the self-test has passed {PASSES} times{begins}")
