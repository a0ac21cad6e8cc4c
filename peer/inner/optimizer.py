"""The optimizer of the inner loop: Muon for the matrices of the layers, AdamW for the embedding and the norms.

One learning rate leads all of them. Each group of parameters takes so many times of it as it learns best by
(`parameter_groups`), and a step moves every number of the group by about as much (`movements_of_a_step`).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from minigpt.model import MiniGPT
from peer.inner.muon import from_blocks, into_blocks, orthogonal
from peer.inner.regularization import EMBEDDING_DECAY, WEIGHT_DECAY

BETAS = (0.9, 0.95)  # AdamW's
MOMENTUM, ROW_MOMENTUM = 0.9, 0.95  # Muon's, and of the squares of a matrix's rows
# The steps from one to the next of a matrix: it learns as much as from every one, at a quarter of the arithmetic.
TURNS = 4
BLOCK = 128  # rows or columns that are made orthogonal together, at most
# Times the learning rate of the settings (docs/log.md, "the recipe"). A matrix's is the larger because it is divided by
# the root of what the matrix reads from. The embedding's is divided by the width: it is the output layer as well.
# Anchors move in units that follow from these: whoever changes one raises PROTOCOL_VERSION (`peer/wire.py`).
MATRIX_RATE, EMBEDDING_RATE, MOST_EMBEDDING_RATE = 33.0, 5120.0, 25.0
EPSILON = 1e-8
FUSED = ("cpu", "cuda", "mps")  # kinds of devices for which PyTorch has AdamW in one kernel


def gradient_norm(parameters: Sequence[Tensor]) -> float:
    """Return the length of the whole gradient, in half the time that PyTorch's own norms take."""
    # each part's product with itself, where PyTorch would take the norm of each
    parts = [parameter.grad.flatten() for parameter in parameters if parameter.grad is not None]
    return math.sqrt(float(torch.stack([part.dot(part) for part in parts]).sum()))


def parameter_groups(model: MiniGPT) -> list[dict[str, Any]]:
    """Return the optimizer's groups: the embedding, the norms, and the matrices by how they are cut into blocks.

    `"blocks"` is what `into_blocks` cuts a group's matrices by, all of one shape; None where AdamW is used. A matrix
    moves in every fourth step, and the groups in turns (`"turn"`), so that all steps take about as long. The embedding
    is marked (`"embedding": True`) because its weights decay by another rule.
    """
    words = model.model.embed_tokens.weight
    norms = [parameter for parameter in model.parameters() if parameter.dim() < 2]

    def matrices(names: Sequence[str], turn: int, dim: int) -> dict[str, Any]:
        parameters = [p for name, p in model.named_parameters() if name.split(".")[-2] in names]
        blocks = (dim, block_size(parameters[0].shape[dim]))
        return {
            **{"params": parameters, "rate": MATRIX_RATE, "weight_decay": WEIGHT_DECAY[0], "embedding": False},
            **{"turn": turn, "blocks": blocks},
        }

    return [
        adamw_group([words], embedding_rate(model.d_model), EMBEDDING_DECAY[0], embedding=True),
        adamw_group(norms, 1.0, 0.0, embedding=False),
        matrices(("q_proj", "k_proj", "v_proj"), 0, 0),
        matrices(("o_proj",), 0, 1),
        matrices(("gate_proj",), 1, 0),
        matrices(("up_proj",), 2, 0),
        matrices(("down_proj",), 3, 1),
    ]


def embedding_rate(width: int) -> float:
    """Return how many times the learning rate of the settings the embedding of a model of that width takes."""
    return min(MOST_EMBEDDING_RATE, EMBEDDING_RATE / width)


def adamw_group(parameters: Sequence[Tensor], rate: float, weight_decay: float, *, embedding: bool) -> dict[str, Any]:
    """Return a group that AdamW moves."""
    return {
        "params": list(parameters),
        "rate": rate,
        "weight_decay": weight_decay,
        "embedding": embedding,
        "blocks": None,
    }


def block_size(length: int) -> int:
    """Return how many rows or columns of so many are made orthogonal together: as many as divide them, up to BLOCK."""
    size = max(size for size in range(1, BLOCK + 1) if length % size == 0)
    return size if size >= BLOCK // 4 else length  # of a few rows there is not much to be made orthogonal


def movements_of_a_step(model: MiniGPT, lr: float) -> list[float]:
    """Return, for every parameter, by how much a step moves each of its numbers, about.

    :param lr: the learning rate of the settings
    """

    def movement(name: str, parameter: Tensor) -> float:
        if parameter.dim() < 2:
            return lr
        width = parameter.shape[1]
        return lr * (embedding_rate(width) if "embed_tokens" in name else MATRIX_RATE / math.sqrt(width))

    return [movement(name, parameter) for name, parameter in model.named_parameters()]


class MuonAdamW(torch.optim.Optimizer):
    """Muon for groups that are cut into blocks, and PyTorch's AdamW for the others.

    A parameter has an `exp_avg`, the moving average of its gradients. With AdamW it has an `exp_avg_sq` as well, and
    with Muon a `row_square`, the moving average of the squares in each row of its steps.

    :param number_format: for Muon's matrix products
    """

    # Without PyTorch's decorators, which load all of torch.compile with the first optimizer: a start takes 1.5 s of
    # processor time less, a third of all, and 65 MB less.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float = 0.0, number_format: torch.dtype = torch.float32):
        super().__init__(groups, {"lr": lr})
        self._number_format = number_format

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # nobody gives one
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in parameters:
                self._begin(parameter, is_muon=group["blocks"] is not None)
            if not parameters:
                continue
            if group["blocks"] is None:
                self._adamw_step(parameters, group["lr"] * group["rate"], group["weight_decay"])
            else:
                self._muon_step(parameters, group)

    def begin_as_after(self, steps: int) -> None:
        """Begin all averages; the matrices move in the same steps as those of a device that has made so many."""
        for group in self.param_groups:
            is_muon = group["blocks"] is not None
            for parameter in group["params"]:
                self._begin(parameter, is_muon=is_muon)
                if is_muon:
                    self.state[parameter]["step"].fill_(steps % TURNS)

    def _begin(self, parameter: Tensor, is_muon: bool) -> None:
        """Begin the averages of a parameter that it has not got, all at once: hivemind takes another device's for ours.

        They are told apart by their order alone there, so that all devices must have the same ones.
        """
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            if not is_muon:
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        if is_muon and "row_square" not in state:  # which no checkpoint keeps
            state["row_square"] = torch.zeros(len(parameter), 1, device=parameter.device)

    def _adamw_step(self, parameters: list[Tensor], lr: float, weight_decay: float) -> None:
        """Make a step of AdamW (arXiv 1711.05101)."""
        states = [self.state[parameter] for parameter in parameters]
        adamw(
            parameters,
            grads=[gradient(parameter) for parameter in parameters],
            exp_avgs=[state["exp_avg"] for state in states],
            exp_avg_sqs=[state["exp_avg_sq"] for state in states],
            max_exp_avg_sqs=[],
            state_steps=[state["step"] for state in states],
            fused=parameters[0].device.type in FUSED,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=lr,
            weight_decay=weight_decay,
            eps=EPSILON,
            maximize=False,
        )

    def _muon_step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Take the gradients in, and where it is the group's turn make a step of Muon, as far as TURNS steps go.

        Its numbers are, root mean square, the learning rate divided by the root of what a row reads from. Rows that
        moved far of late move as far as the others (NorMuon, arXiv 2510.05491).
        """
        for parameter in parameters:
            state = self.state[parameter]
            state["step"].add_(1).remainder_(TURNS)  # float32 would count to 2 ** 24, and no turn come any more
            state["exp_avg"].lerp_(gradient(parameter), 1 - MOMENTUM)
        if int(self.state[parameters[0]]["step"]) % TURNS != group["turn"]:
            return
        # Nesterov's momentum: the gradient of now counts twice
        directions = [gradient(parameter).lerp(self.state[parameter]["exp_avg"], MOMENTUM) for parameter in parameters]
        dim, size = group["blocks"]
        lr = TURNS * group["lr"] * group["rate"]
        blocks = orthogonal(into_blocks(directions, dim, size, self._number_format))
        length = lr * math.sqrt(parameters[0].shape[0])  # of all numbers of the step together
        for parameter, direction in zip(parameters, from_blocks(blocks, len(parameters), dim)):
            squares = direction.square().mean(dim=1, keepdim=True, dtype=torch.float32)  # of each row
            average = self.state[parameter]["row_square"]
            direction.div_(average.lerp_(squares, 1 - ROW_MOMENTUM).sqrt().clamp_(min=EPSILON))
            parameter.mul_(1 - lr * group["weight_decay"])
            parameter.add_(direction, alpha=-length / max(EPSILON, float(direction.norm())))


def gradient(parameter: Tensor) -> Tensor:
    """Return the gradient of a parameter that has one."""
    assert parameter.grad is not None
    return parameter.grad
