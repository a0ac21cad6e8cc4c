"""The rounds of this run as they are told of: a line on the screen, and one in metrics.jsonl, for each that has ended.

Where the model of a round is being judged, the lines wait for the verdict. States between two rounds are judged here as
well, without a line.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from minigpt import checkpoint
from minigpt.model import MiniGPT
from peer.device.display import Display
from peer.device.event_log import KnownLine, Value
from peer.device.processes import StopSignal
from peer.inner.loop import InnerLoop
from peer.outer.events import RoundClosed
from peer.outer.interface import OuterLoop
from peer.training.evaluator import SHARE, Evaluator, Verdict
from peer.training.metrics import Metrics

LAST_VERDICT_SECONDS = 60.0  # that a run which ends by itself waits for what is still being measured


class RoundAtHand:
    """The round at hand, as this device trains it."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.tokens = 0
        self.waited_seconds = self.longest_wait_seconds = 0.0
        self._losses: list[float] = []

    def add(self, loss: float, tokens: int) -> None:
        """Count a step."""
        self.tokens += tokens
        if not math.isnan(loss):
            self._losses.append(loss)

    def waited(self, seconds: float) -> None:
        """Count what the swarm has held a step up: the network, or copies in and out of an exchange."""
        self.waited_seconds += seconds
        self.longest_wait_seconds = max(self.longest_wait_seconds, seconds)

    def rested(self, seconds: float) -> None:
        """Leave out a time in which the device did not train, to be spared: that is not its speed."""
        self.started += seconds

    @property
    def loss(self) -> float:
        """The mean training loss so far, nats per token; NaN before the first step."""
        return sum(self._losses) / len(self._losses) if self._losses else math.nan

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / max(1e-9, time.monotonic() - self.started)


@dataclass
class EndedRound:
    """A round that is over, and what is said of it."""

    entry: dict[str, object]  # for metrics.jsonl
    beginning: str  # of the line on the screen, and the rest of it
    rest: str
    values: dict[str, Value]  # of that line
    is_judged: bool = False  # its model is, or was, with the evaluator


class RoundLog:
    """Counts the round at hand (`current`), and tells of each round once it has ended and its verdict is there."""

    def __init__(
        self,
        inner: InnerLoop,
        outer: OuterLoop,
        evaluator: Evaluator,
        metrics: Metrics,
        display: Display,
        most_memorized: int,
    ):
        self._inner, self._outer = inner, outer
        self._evaluator, self._metrics, self._display = evaluator, metrics, display
        self._most_memorized, self._said_memorized = most_memorized, False
        self._ended: list[EndedRound] = []  # whose lines wait for a verdict
        self._judges_start = False  # of this device's training,
        self._start_is_average = True  # which may go on with the weight average of before
        self.current = RoundAtHand()

    def begin_round(self, model: Callable[[], MiniGPT], share: float = SHARE) -> None:
        """Begin a round, and to judge the model of now, if its turn has come.

        :param model: makes it, a copy of its own
        :param share: of the processor's time for judging; samples have the usual one
        """
        progress = replace(self._outer.progress, step=self._inner.steps)
        is_judged = self._evaluator.has_time(share)
        if is_judged:
            # samples not of the start
            self._evaluator.begin(model(), progress, samples=bool(self._ended) and self._evaluator.has_time_to_write())
        if self._ended:
            self._ended[-1].is_judged = is_judged
            if not self._evaluator.busy:
                self._write(None)
        else:
            self._judges_start = is_judged
            self._start_is_average = progress.samples == 0 or self._inner.average.sequences > 0
        self.current = RoundAtHand()

    def judge(self, model: Callable[[], MiniGPT], samples: int, share: float) -> None:
        """Begin to judge a model between two rounds, if that leaves time for the round's own in that share of it all.

        :param model: makes it
        :param samples: sequences behind it
        """
        if self._evaluator.has_time(share, more=1):
            progress = replace(self._outer.progress, step=self._inner.steps, samples=samples)
            self._evaluator.begin(model(), progress, samples=False)

    def close_round(self, event: RoundClosed) -> None:
        """Keep what is to be said of the round that has just been closed; `begin_round` follows."""
        progress, current = self._outer.progress, self.current
        speed = current.tokens_per_second
        entry: dict[str, object] = {
            "time": time.time(),
            "run_id": progress.run_id,
            "round": progress.round,
            "checkpoint": checkpoint.folder_name(replace(progress, step=self._inner.steps)),
            "tokens": progress.samples * self._inner.model.seq_len,
            "loss": current.loss,
            "learning_rate": self._inner.lr,
            "tokens_per_second": speed,
            "speeds": {
                event.peers[0]: speed,
                **{other.name: other.tokens_per_second for other in self._outer.others if other.name in event.peers},
            },
            "waited_seconds": current.waited_seconds,
            "longest_wait_seconds": current.longest_wait_seconds,
            "step_seconds": self._inner.step_seconds,
            "bytes_sent": self._outer.traffic.sent,
            "bytes_received": self._outer.traffic.received,
            "peers": event.peers,
            "share": event.share,
            "anchor": progress.version,
        }
        company = "alone" if len(event.peers) == 1 else "with " + ", ".join(event.peers[1:])
        loss, own_speed = "", ""
        if current.tokens:
            loss, own_speed = f" · loss {current.loss:.3f}", f"{speed:,.0f} tokens/s · "
        values: dict[str, Value] = {"round": progress.round, "names": ", ".join(event.peers[1:])}
        if current.tokens:
            values |= {"loss": current.loss, "speed": speed}
        self._ended.append(EndedRound(entry, f"round {progress.round}{loss}", f"{own_speed}{company}", values))

    def poll(self) -> Verdict | None:
        """Tell of the rounds that have waited for a verdict, if it is there, and return it; never waits."""
        verdict = self._evaluator.poll()
        if verdict is None:
            return None
        if self._judges_start and verdict.held_out is not None:
            nats, bits = verdict.held_out.nats, verdict.held_out.bits
            text, kind = f"held-out loss at the start: {nats:.3f} ({bits:.3f} bits/byte)", "held_out_at_start"
            if not self._start_is_average:
                text += "; those of rounds are lower: they are of an average over the last rounds, which begins anew"
                kind = "held_out_anew"
            self._display.note(KnownLine(text, kind, loss=nats, bits=bits))
        if verdict.problem:
            self._display.note(f"{verdict.problem}; the best state is the one before it")
        self._judges_start = False
        self._write(verdict)
        self._say_memorized(verdict)
        return verdict

    def _say_memorized(self, verdict: Verdict) -> None:
        """Say once that more of the texts is known by heart than is wanted."""
        known = verdict.memorized
        if known is None or self._said_memorized or known.excess <= self._most_memorized:
            return
        self._said_memorized = True
        self._display.note(
            f"the model knows lines of your chats by heart, about {known.excess} of 1,000 (training.most_memorized is "
            f"{self._most_memorized}): whoever has it can have them written; python -m minigpt.leaks shows which"
        )

    def finish(self, stop: StopSignal) -> None:
        """Tell of the last rounds, and wait for what is still being measured, unless somebody wants the end now."""
        deadline = time.monotonic() + LAST_VERDICT_SECONDS
        while self._evaluator.busy and not stop.received and time.monotonic() < deadline:
            self.poll()
            time.sleep(0.05)
        self._write(None)

    def _write(self, verdict: Verdict | None) -> None:
        """Write the lines of the rounds that have ended; the verdict is of the one whose model was judged, if any."""
        for ended in self._ended:
            held_out = ""
            known = verdict if ended.is_judged else None
            if known is not None and known.held_out is not None:
                nats, bits = known.held_out.nats, known.held_out.bits
                ended.entry["valid_loss"], ended.entry["valid_bits_per_byte"] = nats, bits
                held_out = f" · held-out {nats:.3f} ({bits:.3f} bits/byte)"
                ended.entry["right_share"] = known.right_share
                ended.values |= {"held_out": nats, "bits": bits}
            if known is not None and known.memorized is not None:
                ended.entry["memorized"] = known.memorized.of_a_thousand
                ended.entry["memorized_held_out"] = known.memorized.held_out_of_a_thousand
            try:
                if known is not None and known.samples:
                    self._metrics.write_samples(ended.entry, known.samples)
                self._metrics.write(ended.entry)
            except OSError as error:
                self._display.note(f"metrics.jsonl was not written: {error.strerror}; training goes on")
            self._display.note(KnownLine(f"{ended.beginning}{held_out} · {ended.rest}", "round", **ended.values))
        self._ended = []
