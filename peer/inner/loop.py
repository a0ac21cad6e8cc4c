"""The inner loop: one device's own training steps, at its own speed, with no network in sight.

A step is `InnerLoop.step`. Its learning rates are from `lr_schedule.py`, its optimizer is from `optimizer.py`, and how
many sequences it takes is decided in `batch_size.py`.
"""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from itertools import islice

import torch
from torch import Tensor

from minigpt.checkpoint import moments_of
from minigpt.device import give_back_freed_memory, keep_freed_memory
from minigpt.model import MiniGPT, mask_between_texts
from peer.inner.optimizer import MuonAdamW, gradient_norm, parameter_groups
from peer.inner.regularization import Regularization, noised
from peer.inner.weight_average import WeightAverage

CLIP_NORM = 1.0
PASSES = 4  # of each kind, to tell which is faster: the first is slow, and one of the others may be disturbed
JUDGING_BATCHES = 2


class InnerLoop:
    """The model in training, its optimizer and its batches.

    :param batches: endless (input_ids, labels), each (B, T) int64 on the CPU; a copy goes on by itself
    :param autocast: number format for matrix products, or None for float32
    :param block_attention: no token sees another text of its sequence
    :param steps: made before, where a run goes on
    """

    clips = True  # gradients, to CLIP_NORM

    def __init__(
        self,
        model: MiniGPT,
        batches: Iterator[tuple[Tensor, Tensor]],
        device: torch.device,
        autocast: torch.dtype | None,
        block_attention: bool = False,
        steps: int = 0,
    ):
        keep_freed_memory()
        self.model, self.device, self.autocast = model.to(device).train(), device, autocast
        self.block_attention = block_attention
        self._batches = batches
        self.steps = steps
        self.step_seconds = 0.0  # smoothed
        self.waited_seconds = 0.0  # for the network, since it was last asked; only synchronous averaging waits
        self.parameters = list(self.model.parameters())
        self.optimizer: torch.optim.Optimizer = MuonAdamW(
            parameter_groups(self.model), number_format=self.autocast or torch.float32
        )
        self.average = WeightAverage(self.parameters)
        self.regularization = Regularization.after(0.0)  # of the next steps
        self.forward: Callable[..., Tensor] = self.model  # or what computes the same, faster or with others
        self._compiled_for: int | None = None  # sequences in a batch; those of another size would be compiled anew

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def updates(self) -> int:
        """The steps behind the moments."""
        # the matrices' count is that of their turns
        return max((int(state["step"]) for state in self.optimizer.state.values()), default=0)

    def step(self, lr: float) -> tuple[float, int]:
        """Make one step of the optimizer; return its loss in nats per token, and its sequences.

        A step whose loss or gradient is not finite changes nothing and returns a loss of NaN and no sequences.
        """
        started = time.perf_counter()
        loss, sequences = self.backward()
        norm = gradient_norm(self.parameters)
        value = loss if math.isfinite(loss) and math.isfinite(norm) else math.nan
        if not math.isnan(value):
            if norm > CLIP_NORM:
                torch.nn.utils.clip_grads_with_norm_(self.parameters, CLIP_NORM, torch.tensor(norm))
            self._set_groups(lr)
            self.optimizer.step()
        self.clear_gradients()
        self.stepped(time.perf_counter() - started)
        return value, 0 if math.isnan(value) else sequences

    def _set_groups(self, lr: float) -> None:
        """Tell the optimizer's groups the learning rate, and their weight decays."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.set_weight_decays()

    def set_weight_decays(self) -> None:
        """Tell the optimizer's groups how much their weights decay."""
        for group in self.optimizer.param_groups:
            if group["weight_decay"] or group["embedding"]:
                decay = self.regularization
                group["weight_decay"] = decay.embedding_decay if group["embedding"] else decay.weight_decay

    def stepped(self, seconds: float) -> None:
        """Count one more step, which took so long."""
        self.steps += 1
        self.step_seconds = seconds if not self.step_seconds else 0.9 * self.step_seconds + 0.1 * seconds

    def backward(self) -> tuple[float, int]:
        """Add the gradients of the next batch to the parameters'; return its loss and its sequences."""
        input_ids, labels = next(self._batches)
        forward = self.forward if self._compiled_for in (None, len(input_ids)) else self.model
        return self._pass(forward, noised(input_ids, self.regularization.noise), labels), len(input_ids)

    def clear_gradients(self) -> None:
        """Forget what backward passes have left, and free its memory."""
        self.optimizer.zero_grad(set_to_none=True)

    def take_waited_seconds(self) -> float:
        """Return the seconds that steps have waited for the network since this was last asked."""
        waited, self.waited_seconds = self.waited_seconds, 0.0
        return waited

    def _pass(self, forward: Callable[..., Tensor], input_ids: Tensor, labels: Tensor) -> float:
        loss = self._loss(forward, input_ids, labels)
        loss.backward()
        return loss.item()

    def _loss(self, forward: Callable[..., Tensor], input_ids: Tensor, labels: Tensor) -> Tensor:
        input_ids, labels = input_ids.to(self.device), labels.to(self.device)
        mask = mask_between_texts(input_ids) if self.block_attention else None
        with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            return forward(input_ids, labels, mask)

    @torch.no_grad()
    def losses_towards(self, there: Sequence[Tensor], shares: Sequence[float]) -> list[float]:
        """Return the losses, nats per token of the next batches, on the straight way from here to other parameters.

        :param shares: of that way, from 0 (here) to 1 (there)
        """
        here = [parameter.clone() for parameter in self.parameters]
        batches = list(islice(copy(self._batches), JUDGING_BATCHES))  # ours stay where they are
        losses = []
        for share in shares:
            with self.at([begin.lerp(end.to(begin.device), share) for begin, end in zip(here, there)]) as model:
                losses.append(sum(self._loss(model, *batch).item() for batch in batches) / len(batches))
        return losses

    @contextmanager
    def at(self, parameters: Sequence[Tensor]) -> Iterator[MiniGPT]:
        """Give the block the model with other parameters, as it answers; afterwards training goes on from its own."""
        with torch.no_grad():
            here = [parameter.clone() for parameter in self.parameters]
            self.model.eval()
            try:
                self.go_to(parameters)
                yield self.model
            finally:
                self.model.train()
                self.go_to(here)

    def gradient(self, tokens: int) -> tuple[Tensor, ...]:
        """Return the gradient of the first `tokens` tokens of the next batch; nothing of the training changes."""
        input_ids, labels = next(copy(self._batches))  # ours stay where they are
        self.model.eval()
        try:
            with torch.enable_grad():
                loss = self._loss(self.model, input_ids[:1, :tokens], labels[:1, :tokens])
                return torch.autograd.grad(loss, self.parameters)
        finally:
            self.model.train()

    @torch.no_grad()
    def reset(self, parameters: Sequence[Tensor]) -> None:
        """Go back to parameters that were sound, and forget the optimizer's moments."""
        self.go_to(parameters)
        self.optimizer.state.clear()
        self.average.begin()

    @torch.no_grad()
    def go_to(self, parameters: Sequence[Tensor]) -> None:
        """Train on from other parameters. The moments stay: without them the first hundred steps lead astray."""
        for parameter, other in zip(self.parameters, parameters):
            parameter.copy_(other)

    @torch.no_grad()
    def averaged_model(self) -> MiniGPT:
        """Return a model of its own, on the CPU, with the average of the parameters: what is to be judged and asked."""
        model = deepcopy(self.model).cpu().eval()
        for parameter, average in zip(model.parameters(), self.average.average):
            parameter.copy_(average)
        return model

    @torch.no_grad()
    def moments(self) -> dict[str, Tensor]:
        """Return the optimizer's moments as `exp_avg.NAME` and `exp_avg_sq.NAME`: bfloat16 copies on the CPU."""
        return {
            f"{moment}.{name}": self.optimizer.state[parameter][moment].to("cpu", torch.bfloat16, copy=True)
            for name, parameter in self.model.named_parameters()
            for moment in moments_of(name)
            if parameter in self.optimizer.state
        }

    @torch.no_grad()
    def load_moments(self, moments: Mapping[str, Tensor], updates: int) -> None:
        """Go on with moments of our own from before, or with a donor's, which cannot make steps of any size.

        Gradients are clipped: neither their mean nor the root of their mean square is larger than CLIP_NORM. And by
        BETAS the mean is at most 1.2 times that root.

        :param updates: steps behind them
        """
        for name, parameter in self.model.named_parameters():
            state = {moment: moments[f"{moment}.{name}"].to(parameter) for moment in moments_of(name)}
            mean = state["exp_avg"]
            mean.clamp_(-CLIP_NORM, CLIP_NORM).mul_(min(1.0, CLIP_NORM / max(CLIP_NORM, float(mean.norm()))))
            if (square := state.get("exp_avg_sq")) is not None:
                most = 2 * square.clamp_(0, CLIP_NORM**2).sqrt()
                mean.clamp_(-most, most)
            step = torch.tensor(float(max(1, updates)), device=parameter.device)
            self.optimizer.state[parameter] = {"step": step, **state}

    def compile(self, batch_size: int) -> None:
        """Compile the passes for such batches at once: all turns of `compile_in_turns`."""
        for _ in self.compile_in_turns(batch_size):
            pass

    def compile_in_turns(self, batch_size: int) -> Iterator[float]:
        """Compile the passes for batches of (batch_size, seq_len), and keep that for such batches if it is faster.

        A turn makes one pass of either kind and gives out how many times as fast the compiled ones have been so far, so
        that training can go on between two turns. Where PyTorch's compiler fails, its error is raised and nothing has
        changed.
        """
        ids = torch.randint(self.model.vocab_size, (batch_size, self.model.seq_len), device=self.device)

        def seconds(forward: Callable[..., Tensor]) -> float:
            started = time.perf_counter()
            self._pass(forward, ids, ids)
            took = time.perf_counter() - started
            self.clear_gradients()
            return took

        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # more are processes, of 200 MB each
        forward: Callable[..., Tensor] = torch.compile(self.forward, dynamic=False)
        before = after = math.inf
        try:
            for _ in range(PASSES):  # in turns, so that what else goes on here is no advantage to either
                before, after = min(before, seconds(self.forward)), min(after, seconds(forward))
                yield before / after
        finally:
            self.clear_gradients()
            gc.collect()
            give_back_freed_memory()
        if after < before:
            self.forward, self._compiled_for = forward, batch_size
