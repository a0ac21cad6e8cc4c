"""The end by `training.epochs`: the swarm has passed over its text so many times.

A pass is as many sequences as there are in the texts of all devices, and every sequence that any device trains in this
run counts. So a device alone stops after exactly so many passes over its own text, and devices with one chat, exported
on each of them, share the passes. Devices with different chats pass over each of them so many times in the mean, the
fast ones more often than the slow ones.

On its notice a device says how many sequences its own text has. Texts of equal size are taken for the same text: two
chats of one size to the sequence are rare, and nothing else about a text leaves its device. A device with nothing to
train on, no text of its own and none that others share, has no passes to count: it keeps the state for others until
somebody ends it, since who comes next may have text.

Notices are seconds old, and what others have trained since is not to be trained once more. So what is left is divided
among those who train, by speed: who has trained its part waits until it hears of the others again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sized
from dataclasses import dataclass

from peer.swarm.membership import MAX_MEMBERS
from peer.wire import Notice, Role

MEET_SECONDS = 5.0  # from its start, in which a device that seems to be done looks for others, who may have more text
MOST_TIMES_FASTER = 10.0  # than this device is another one believed to be: it would leave everything to a liar
WAIT_SECONDS = 60.0  # for what a device trains that says the same all the time: so long may its steps take


@dataclass(frozen=True)
class Word:
    """A device's newest notice, and how many sequences we had trained when it came."""

    notice: Notice
    came: float  # of `time.monotonic`
    own: int
    own_before: int  # when the one before it came: about then this one was written


class Epochs:
    """The swarm's text, as far as this device knows it, and how much of the training is left.

    Devices that have left count on: what was trained on their text is in the run.

    :param epochs: passes to make; None for no end
    :param run_id: of the run; devices of other runs do not count
    :param dataset: this device's, whose length is an epoch of it
    :param is_own: it is this device's own text; text that others share is counted where it comes from
    :param now: of `time.monotonic`, at the start
    """

    def __init__(self, epochs: int | None, run_id: str, dataset: Sized, is_own: bool, now: float):
        self.epochs = epochs
        self._run_id, self._dataset, self._is_own = run_id, dataset, is_own
        self._not_before = now + MEET_SECONDS
        self._texts: dict[str, int] = {}  # sequences, by the peer id of whose they are
        self._own = 0  # sequences that this device has trained since its start
        self._words: dict[str, Word] = {}  # of those who train, by peer id

    def update(self, notices: Iterable[Notice], now: float) -> None:
        """Take in how much text others have, and who of them trains."""
        here = {notice.peer: notice for notice in notices if notice.run_id == self._run_id}
        if len(self._texts) > MAX_MEMBERS:
            self._texts = {}
        self._texts.update((peer, notice.sequences) for peer, notice in here.items() if notice.sequences)
        before, self._words = self._words, {}
        for peer, notice in here.items():
            if notice.role == Role.TRAINING and not notice.paused:
                word = before.get(peer)
                if word is None or now >= word.came + WAIT_SECONDS:
                    word = Word(notice, now, self._own, self._own)
                elif word.notice != notice:
                    word = Word(notice, now, self._own, word.own)
                self._words[peer] = word

    def trained(self, sequences: int) -> None:
        """Count the sequences of one more step of this device."""
        self._own += sequences

    @property
    def sequences(self) -> int:
        """The sequences of one pass over the swarm's text."""
        own = {len(self._dataset)} if self._is_own else set()
        return sum(own | set(self._texts.values())) or len(self._dataset)

    def left(self, trained: int) -> int | None:
        """Return how many sequences are left to train when the swarm has `trained` so many; None if without end."""
        return None if self.epochs is None else max(0, self.epochs * self.sequences - trained)

    def part(self, left: int, tokens_per_second: float) -> int:
        """Return how many of the sequences that are left this device may train before it hears of the others again.

        Others are taken to train as many beside each of ours as they are faster. Nobody waits for long: with every two
        notices what is left is divided anew, and who is silent is soon no member any more.

        :param tokens_per_second: of this device
        """
        beside, together = 0.0, 1.0  # sequences of others that their notices lack, and of all of us for each of ours
        for word in self._words.values():
            speed = word.notice.tokens_per_second  # 0 before its first step
            ratio = min(speed / tokens_per_second, MOST_TIMES_FASTER) if tokens_per_second > 0 else 1.0
            beside += ratio * (self._own - word.own_before)
            together += ratio
        return max(0, math.ceil((left - beside) / together))

    def over(self, trained: int, now: float) -> bool:
        """Return True once nothing is left to train, and others have had the time to be seen."""
        return self.left(trained) == 0 and now >= self._not_before

    def __str__(self) -> str:
        """The passes in words: "once", "3 times"."""
        return {1: "once", 2: "twice"}.get(self.epochs or 0, f"{self.epochs:,} times")
