"""The training loop: inner steps without pause, and after each of them a look at what the swarm is due.

Every round that closes leaves a line in metrics.jsonl (`peer/training/metrics.py`), and a checkpoint folder where that
is needed (`peer/training/saver.py`).
"""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch

import tokenizer
from minigpt import checkpoint
from minigpt.device import pick_autocast, pick_device
from peer.device.display import Display
from peer.device.power import Breather, Rest, Watch
from peer.device.processes import StopSignal
from peer.inner.batch_size import step_within_memory
from peer.inner.compiling import Compiling
from peer.inner.lr_schedule import learning_rate
from peer.joining.join import Run
from peer.network import clock
from peer.network.handle import Network
from peer.outer.events import CaughtUp, Reconnected, RoundClosed, Setback
from peer.swarm.advice import advice
from peer.swarm.membership import came_and_left, pauses_changed
from peer.swarm.notice import Notice, Role
from peer.training.epochs import Epochs
from peer.training.evaluator import Evaluator, Verdict
from peer.training.metrics import Metrics, RoundLine
from peer.training.other_runs import OtherRuns
from peer.training.round_log import EndedRound
from peer.training.saver import Saver
from peer.training.setup import affordable_batch, open_batches, open_held_out, open_loops, share_text

BAR_SECONDS = 0.5
LAST_EXCHANGE_SECONDS = 40.0  # that a device which is done waits until what it has trained is in the anchor
LAST_VERDICT_SECONDS = 60.0  # that a run which ends by itself waits for what is still being measured
NAP_SECONDS = 0.25  # longest pause between two looks at what the swarm is due, and at Ctrl+C


class Trainer:
    """One device's part in a run, from its first step to its last checkpoint.

    :param deadline: of `time.monotonic`, after which it ends by itself; None for never
    :param rounds: end by itself after so many rounds of its own
    :param share_data: give this device's text to whoever asks for it
    :param share_of_time: in which it trains; it rests between steps
    :param tensorboard: write what metrics.jsonl gets for TensorBoard as well, and samples of text
    """

    def __init__(
        self,
        run: Run,
        *,
        network: Network,
        me: Notice,
        checkpoints: Path,
        display: Display,
        stop: StopSignal,
        deadline: float | None,
        rounds: int | None,
        share_data: bool,
        share_of_time: float,
        tensorboard: bool,
    ):
        self.run, self.settings, self.network, self.display, self.stop = run, run.settings, network, display, stop
        self.checkpoints, self.deadline, self.rounds = checkpoints, deadline, rounds
        progress = run.start.progress
        sentencepiece = tokenizer.load(run.tokenizer_model)
        device = pick_device()
        autocast = pick_autocast(device)
        self.batches = open_batches(run, sentencepiece, me.peer, display, stop)
        self.batches.batch_size = affordable_batch(run, device, autocast, display)
        if share_data:
            me = me.model_copy(update={"gives_text": share_text(run, sentencepiece, network, display)})
        is_own = run.shared is None
        self._epochs = Epochs(
            self.settings.training.epochs, progress.run_id, self.batches.dataset, is_own, time.monotonic()
        )
        me = me.model_copy(update={"sequences": len(self.batches.dataset) if is_own else 0})
        held_out = open_held_out(self.settings, sentencepiece, display)
        self.inner, self.outer = open_loops(run, self.batches, device, autocast, network, me, checkpoints, stop)
        self.power = Watch(self.settings.device)
        self._rest: Rest | None = None
        self._setback: Setback | None = None  # the last one
        self._breather = Breather(share_of_time)
        self.saver = Saver(
            batches=self.batches,
            inner=self.inner,
            outer=self.outer,
            settings=self.settings,
            tokenizer_model=run.tokenizer_model,
            checkpoints=checkpoints,
            display=display,
        )
        self._compiling = Compiling(self.inner, self.batches, self.settings, display, stop, network.expect_silence)
        self.metrics = Metrics(checkpoints / progress.run / "metrics.jsonl", tensorboard)
        self._evaluator = Evaluator(
            held_out, sentencepiece, autocast if device.type == "cpu" else None, self.inner.block_attention
        )
        self._ended_rounds: list[EndedRound] = []  # whose lines wait for what is being measured
        self._others: list[Notice] = []
        self._advised: set[str] = set()  # of what, and of whom
        self._clock_shift = network.view.clock_shift
        self._other_runs = OtherRuns(network, self.settings, progress.run_id, display)
        kind = f"{device.type}, {'bfloat16' if autocast is torch.bfloat16 else 'float32'}"
        sequences = f"{len(self.batches.dataset):,} sequences of {self.settings.training.dataset.seq_len} tokens"
        display.note(
            f"{me.name} trains {self.outer.anchor.parameter_count() / 1e6:.1f} M parameters on {kind}, {sequences}; "
            "Ctrl+C ends it and keeps the state"
        )

    def train(self) -> None:
        """Until it is told to stop, or its time or rounds are over. Raises NetworkError; see SynchronousOuter.tick."""
        self.power.start()
        try:
            with self.display.training():
                self._loop()
        finally:
            self.power.stop()
            self._compiling.stop()
            self.display.note("saving …")
            self.saver.save(wait=True)
            self.outer.stop()
            self._write_last_rounds()

    def _loop(self) -> None:
        self._evaluator.begin(deepcopy(self.outer.anchor), samples=False)
        line = RoundLine()
        first_round, first_step, bar_at = self.outer.progress.round, self.inner.steps, 0.0
        while not self._over(first_round):
            outer = self.outer
            left = self._sequences_left()
            if left == 0:  # as it seems: others may turn up who have more text
                time.sleep(NAP_SECONDS)
            elif not self._rests(line):
                loss, sequences = self._step(left)
                outer.trained(sequences)
                line.add(loss, sequences * self.settings.training.dataset.seq_len)
            if self.run.shared is not None:
                self.run.shared.update(self.network.view.notices)
            line = self._look_after_the_swarm(line)
            self._compiling.poll()
            self._look_at_evaluation()
            self._advise()
            if time.monotonic() > bar_at:
                bar_at = time.monotonic() + BAR_SECONDS
                self._show(line)
        if self._epochs.over(self._trained, time.monotonic()) and not self.stop.received:
            self._finish(line, first_step)

    @property
    def _trained(self) -> int:
        """The sequences that the swarm has trained in this run, as `training.epochs` counts them.

        With synchronous averaging those of full rounds: what goes into a round that is not closed is lost.
        """
        is_synchronous = self.settings.swarm.averaging == "sync"
        return self.outer.progress.samples if is_synchronous else self.outer.trained_by_all

    def _sequences_left(self) -> int | None:
        self._epochs.update(self.network.view.notices)
        return self._epochs.left(self._trained)

    def _finish(self, line: RoundLine, first_step: int) -> None:
        """Say that the epochs are over, and leave nothing of what was trained behind.

        In company it goes into a last exchange or two; alone it becomes a last round, however short.
        """
        already = " already" if self.inner.steps == first_step else ""
        self.display.note(
            f"the swarm has trained on its text {self._epochs}{already}: done (training.epochs; raise it for more)"
        )
        deadline = time.monotonic() + LAST_EXCHANGE_SECONDS
        while (
            self.outer.standing.offered
            and any(other.role == Role.TRAINING and not other.paused for other in self.outer.others)
            and not self.stop.received
            and time.monotonic() < deadline
        ):
            line = self._look_after_the_swarm(line)
            time.sleep(NAP_SECONDS)
        if (closed := self.outer.finish()) is not None:
            self._on_round(closed, line)

    def _look_after_the_swarm(self, line: RoundLine) -> RoundLine:
        """Let the outer loop do what is due, and say what happened; returns the line of the round at hand."""
        events = self.outer.tick(line.tokens_per_second)
        while True:
            started = time.monotonic()
            self.saver.poll()
            event = next(events, None)
            line.waited(time.monotonic() - started + self.inner.waited_seconds)
            self.inner.waited_seconds = 0.0
            self._say_membership()
            if event is None:
                return line
            if isinstance(event, RoundClosed):
                self._on_round(event, line)
                line = RoundLine()
            else:
                self._say(event)

    def _say(self, event: CaughtUp | Reconnected | Setback) -> None:
        if isinstance(event, CaughtUp):
            self.saver.save()  # others can follow us only from a state that is on the disk
            self.display.note(f"took the newer state of {event.donor}: round {self.outer.progress.round}")
            if event.apart:
                self.display.note(
                    f"what this device has learnt since {event.donor} was out of reach, from {event.apart:,} "
                    "sequences, goes into the next exchange"
                )
            if event.given_up:
                self.display.note(
                    f"what this device had learnt meanwhile, from {event.given_up:,} sequences, does not fit that "
                    "state and is given up"
                )
        elif isinstance(event, Reconnected):
            self.display.note(f"the network part of this device was started again, at {event.address}")
        elif event != self._setback:
            self.display.note(event.reason)
            self._setback = event  # which may repeat every second until it is overcome

    def _rests(self, line: RoundLine) -> bool:
        """A nap instead of a step, where the device is to be spared; the swarm is looked after all the same."""
        before, self._rest = self._rest, self.power.rest
        self.outer.paused = "" if self._rest is None else self._rest.why
        if self._rest is not None and (before is None or before.cause is not self._rest.cause):
            self.display.note(f"training rests: {self._rest.why}; it goes on {self._rest.until}")
        elif before is not None and self._rest is None:
            self.display.note("training goes on")
        if self._rest is not None:
            time.sleep(NAP_SECONDS)
            line.rested(NAP_SECONDS)
            return True
        left = self._breather.left(time.monotonic())
        time.sleep(min(NAP_SECONDS, left))
        return left > NAP_SECONDS

    def _step(self, left: int | None) -> tuple[float, int]:
        """An inner step of `left` sequences at most, and how long to rest after it."""
        if left is not None and self.settings.swarm.averaging == "background":  # else full rounds count
            if left < self.batches.batch_size:
                self.inner.uncompile()
            self.batches.shorten(left)
        started, training, factor = time.monotonic(), self.settings.training, self.outer.lr_factor
        own = self.inner.updates * self.batches.batch_size
        lr = learning_rate(training.lr * factor, self.outer.trained_by_all, own, training.warmup_sequences)
        result = step_within_memory(self.inner, lr, lr * factor, self.batches, self.display.note)
        self._breather.worked(started, time.monotonic())
        return result

    def _over(self, first_round: int) -> bool:
        return (
            self.stop.received
            or (self.deadline is not None and time.monotonic() > self.deadline)
            or (self.rounds is not None and self.outer.progress.round - first_round >= self.rounds)
            or self._epochs.over(self._trained, time.monotonic())
        )

    def _on_round(self, event: RoundClosed, line: RoundLine) -> None:
        progress, speed = self.outer.progress, line.tokens_per_second
        anchor = deepcopy(self.outer.anchor)
        if not self.outer.sharing or self.saver.is_due:
            self.saver.save(copy=anchor)
        entry: dict[str, object] = {
            "time": time.time(),
            "run_id": progress.run_id,
            "round": progress.round,
            "checkpoint": checkpoint.folder_name(replace(progress, step=self.inner.steps)),
            "tokens": progress.samples * self.settings.training.dataset.seq_len,
            "loss": line.loss,
            "learning_rate": self.inner.lr,
            "tokens_per_second": speed,
            "waited_seconds": line.waited_seconds,
            "longest_wait_seconds": line.longest_wait_seconds,
            "step_seconds": self.inner.step_seconds,
            "bytes_sent": self.outer.bytes_sent,
            "bytes_received": self.outer.bytes_received,
            "peers": event.peers,
            "share": event.share,
            "anchor": progress.anchor,
        }
        company = "alone" if len(event.peers) == 1 else "with " + ", ".join(event.peers[1:])
        evaluated = self._evaluator.begin(anchor)
        own_loss, own_speed = (f" · loss {line.loss:.3f}", f"{speed:,.0f} tokens/s · ") if line.tokens else ("", "")
        self._ended_rounds.append(
            EndedRound(entry, f"round {progress.round}{own_loss}", f"{own_speed}{company}", evaluated)
        )
        if not self._evaluator.busy:
            self._write_rounds(None)

    def _look_at_evaluation(self) -> None:
        verdict = self._evaluator.poll()
        if verdict is None:
            return
        if not any(ended.evaluated for ended in self._ended_rounds) and verdict.held_out is not None:
            nats, bits = verdict.held_out
            self.display.note(f"held-out loss at the start: {nats:.3f} ({bits:.3f} bits/byte)")
        self._write_rounds(verdict)

    def _write_rounds(self, verdict: Verdict | None) -> None:
        """The lines of the rounds that have ended; the verdict is of the one whose anchor was judged, if any was."""
        for ended in self._ended_rounds:
            known = verdict if ended.evaluated else None
            entry, held_out = ended.entry, ""
            if known is not None and known.held_out is not None:
                entry["valid_loss"], entry["valid_bits_per_byte"] = known.held_out
                held_out = f" · held-out {known.held_out[0]:.3f} ({known.held_out[1]:.3f} bits/byte)"
            try:
                if known is not None:
                    self.metrics.write_samples(entry, known.samples)
                self.metrics.write(entry)
            except OSError as error:
                self.display.note(f"metrics.jsonl was not written: {error.strerror}; training goes on")
            self.display.note(f"{ended.beginning}{held_out} · {ended.rest}")
        self._ended_rounds = []

    def _write_last_rounds(self) -> None:
        """Once training is over: what is still being measured is waited for, unless somebody wants the end now."""
        deadline = time.monotonic() + LAST_VERDICT_SECONDS
        while self._evaluator.busy and not self.stop.received and time.monotonic() < deadline:
            self._look_at_evaluation()
            time.sleep(0.05)
        self._write_rounds(None)

    def _show(self, line: RoundLine) -> None:
        names = ", ".join(notice.name for notice in self._others) or "alone"
        self.display.progress(
            self.outer.progress.round + 1,
            self.outer.round_progress,
            self.settings.swarm.samples_per_round,
            f"loss {line.loss:.3f} · {line.tokens_per_second:,.0f} tokens/s · {names}",
        )

    def _advise(self) -> None:
        """Say each thing once."""
        outer = self.outer
        for of, text in advice(outer.exchange_seconds, self.inner.step_seconds, outer.balance, outer.group):
            if of not in self._advised:
                self._advised.add(of)
                self.display.note(text)

    def _say_membership(self) -> None:
        came, left = came_and_left(self._others, self.outer.others)
        for notice in came:
            self.display.note(f"{notice.name} is here ({notice.address.split('/')[2]})")
        for notice in left:
            self.display.note(f"{notice.name} left")
        for notice in pauses_changed(self._others, self.outer.others):
            self.display.note(f"{notice.name} {f'rests: {notice.paused}' if notice.paused else 'trains again'}")
        self._others = self.outer.others
        if self.network.view.clock_shift != self._clock_shift:
            self._clock_shift = self.network.view.clock_shift
            self.display.note(clock.difference(self._clock_shift) or "this device's clock is right again")
        self._other_runs.update(self.network.view.notices)
