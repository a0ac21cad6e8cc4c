"""The end of learning: a device whose held-out loss has not fallen for long enough has learnt its chats, and may rest.

A small chat is learnt within minutes; whoever trains on learns it by heart, and burns a night for that. What has been
gained is told by held-out loss alone, and the pause is measured in sequences: a share of all that the swarm has trained
in the run, for what a small share of the training brings no more, the next one will not bring either.

A device rests by its own judgement, and only while no other one gains: a lie can keep others training, and stop nobody.
Who has no text to judge by follows the majority of those who have.
"""

from __future__ import annotations

from collections.abc import Iterable

from minigpt.checkpoint.manifest import HeldOutLoss, Progress
from peer.device.event_log import KnownLine
from peer.device.power import Cause, Rest
from peer.swarm.membership import MAX_MEMBERS
from peer.training.evaluator import SHARE
from peer.wire import Judgement, Notice, Role

PATIENCE = 0.15  # of all sequences: trained without a gain, they are enough to rest,
LEAST_JUDGED = 2  # with so many states judged among them
LEAST_PASSES = 20  # over its own text, before which there is more to come: regularization grows until the fifth
GAIN = 0.005  # nats a token: less is what a step more or less makes
FEWEST_TOKENS = 500  # held out: with fewer a gain cannot be told from chance
OFTEN_SHARE = 0.05  # of the processor's time may go into judging texts that were passed over
OFTEN_PASSES = 2  # times: the largest of them take far less, for a state is judged only
SPACING = 0.04  # of all sequences after the last one


class Learnt:
    """The judgement of this device on its own training, and what follows of the others'.

    :param judges: it has enough held-out text to tell
    :param text: sequences of its own text, 0 where it has none
    :param kept: the best state of earlier starts on the same texts, with its loss; None where there is none
    :param goes_on: it trains on regardless
    """

    def __init__(
        self, judges: bool, text: int, kept: tuple[Progress, HeldOutLoss] | None = None, *, goes_on: bool = False
    ):
        self.judgement: Judgement = ""  # until there is something to say
        self._judges, self._text, self._goes_on = judges, text, goes_on
        self._gained = kept  # the state of the last gain
        self._since = 0 if kept is None else 1  # judged without a gain, at least: it was not the last one
        self._judged_at = 0  # sequences behind the last one
        self._texts = {text}  # sizes of all that were seen, in sequences: texts of one size are taken for the same

    def judged(self, progress: Progress, loss: HeldOutLoss) -> None:
        """Take in the held-out loss of a state."""
        if not self._judges:
            return
        is_first, trained = self._gained is None, progress.samples
        self._judged_at = trained
        if self._gained is None or loss.nats < self._gained[1].nats - GAIN:
            self._gained, self._since = (progress, loss), 0
            self.judgement = "" if is_first else "gains"
            return
        self._since += 1
        without = trained - self._gained[0].samples
        if self._since >= LEAST_JUDGED and without >= PATIENCE * trained and self._is_through(trained):
            self.judgement = "learnt"

    def _is_through(self, trained: int) -> bool:
        """Return whether all that changes in the course of training has had its time."""
        return trained >= LEAST_PASSES * self._text

    def share(self, trained: int) -> float:
        """Return the share of the processor's time for judging, once the swarm has trained so many sequences."""
        is_small = 0 < OFTEN_PASSES * self._text <= trained
        return OFTEN_SHARE if self._judges and is_small else SHARE

    def wants_verdict(self, trained: int) -> bool:
        """Return whether a state with so many sequences behind it is to be judged between two rounds as well."""
        return self.share(trained) > SHARE and trained - self._judged_at >= SPACING * trained

    def meet(self, others: Iterable[Notice]) -> bool:
        """Take in whose texts are trained on; return whether there is one that was not there before.

        Then there is something to learn again, and gains are counted anew.
        """
        here = {other.sequences for other in others if other.role == Role.TRAINING and other.sequences}
        is_known = here <= self._texts
        if is_known:
            return False
        self._texts = here | {self._text} if len(self._texts) > MAX_MEMBERS else self._texts | here
        if not self._judged_at:  # they were here before us
            return False
        self.judgement, self._gained, self._since = "", None, 0
        return True

    def rest(self, others: Iterable[Notice]) -> Rest | None:
        """Return why to rest, where nothing is left to gain here nor at the others; None to train."""
        until = "when there is new text, here or on another device (--go-on trains on regardless)"
        if not self._goes_on and self._judges and self.judgement == "learnt" and not somebody_gains(others):
            return Rest(Cause.LEARNT, "its chats are learnt", until)
        if not self._goes_on and not self._judges and most_have_learnt(others):
            return Rest(Cause.LEARNT, "the chats of the others are learnt", until)
        return None

    @property
    def sentence(self) -> str:
        """What is learnt, in words; "" for a device that only follows others."""
        if self._gained is None or not self._judges:
            return ""
        progress, loss = self._gained
        return KnownLine(
            f"your chats are learnt: nothing was gained since round {progress.round} (held-out {loss.nats:.2f}); more "
            "text would help: put more exports into data/raw",
            "learnt",
            round=progress.round,
            loss=loss.nats,
        )


def somebody_gains(others: Iterable[Notice]) -> bool:
    """Return whether a device that trains now has something to gain."""
    return any(other.role == Role.TRAINING and other.judgement == "gains" and not other.paused for other in others)


def most_have_learnt(others: Iterable[Notice]) -> bool:
    """Return whether more than half of the devices that can tell, and could gain now, have learnt their chats."""
    told = [other.judgement for other in others if other.role == Role.TRAINING and other.judgement]
    return 2 * told.count("learnt") > len(told)
