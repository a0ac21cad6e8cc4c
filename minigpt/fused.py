"""Parts of the training step that PyTorch takes in many passes over memory, in few: their gradients are written out.

On a CPU a step is matrix products and memory; what is here takes a third of what the plain formulas take (docs/log.md),
and the loss never holds more of the vocabulary in float32 than some rows. Tests compare each with its plain formula.
"""

from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from minigpt import IGNORED

SHORT = 512  # tokens
LOSS_ROWS = 512  # tokens whose logits are held at once; fewer make the matrix products slower

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes

Rotation: TypeAlias = tuple[Tensor, Tensor]  # cosines and sines, each (T, hs), the first half of the sines negative


class _Rotate(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return turn(x, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return turn(grad, cos, -sin), None, None  # back by the same angle


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return `rotate` without its gradient: x cos + swapped(x) sin, the first half of `sin` negative (`Rotation`)."""
    swapped = x.unflatten(-1, (2, -1)).flip(-2).flatten(-2)
    return torch.addcmul(x * cos, swapped, sin)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn each pair (x[i], x[i + hs/2]) by an angle that grows with the position (RoPE, arXiv 2104.09864).

    This is the layout of Hugging Face's `rotate_half`; the paper pairs neighbours instead. x is (B, nh, T, hs).
    """
    turned: Tensor = _Rotate.apply(x, *rotation)
    return turned


def product_format(x: Tensor) -> torch.dtype:
    """Return the number format in which matrix products of `x` are done."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class _Normalize(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = (norm.square() / x.shape[-1] + epsilon).rsqrt()
        normal = x * scale
        ctx.save_for_backward(normal, scale, weight)
        return (normal * weight).to(product_format(x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        normal, scale, weight = ctx.saved_tensors
        grad = grad.to(normal.dtype)
        along = grad * normal
        grad_weight = along.flatten(0, -2).sum(0)
        mean = (along @ weight)[..., None] / normal.shape[-1]
        return (grad * weight).addcmul_(normal, mean, value=-1).mul_(scale), grad_weight, None


class RMSNorm(nn.RMSNorm):
    """Division by the root of the mean square (arXiv 1910.07467), then times a weight each.

    Under autocast the result is in the format of the products that follow, which would otherwise convert it each.
    """

    def forward(self, x: Tensor) -> Tensor:
        normal: Tensor = _Normalize.apply(x, self.weight, self.eps)
        return normal


class _Attend(Function):
    """PyTorch's attention, and its gradient by matrix products: PyTorch's kernel takes half as long again for it."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        ctx.save_for_backward(q, k, v, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, y = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        future = torch.full((q.shape[-2], q.shape[-2]), -torch.inf, dtype=q.dtype).triu_(1)
        weights = torch.add(future, q @ k.transpose(-1, -2), alpha=scale).softmax(dim=-1)
        grad_v = weights.transpose(-1, -2) @ grad
        along = (grad * y).sum(dim=-1, keepdim=True)
        grad_scores = (grad @ v.transpose(-1, -2)).sub_(along).mul_(weights).mul_(scale)
        return grad_scores @ k, grad_scores.transpose(-1, -2) @ q, grad_v


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Return the attention of (B, nh, T, hs) to what comes before, or to what the mask (B, 1, T, T) lets it see."""
    short = q.shape[-2] <= SHORT  # in long texts much is in the future, which PyTorch's kernel leaves out
    if mask is None and short and q.dtype == torch.bfloat16 and q.device.type == "cpu":
        y: Tensor = _Attend.apply(q, k, v)
        return y
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)


class _AddDropped(Function):
    """Dropout by the sign of random integers, as masks of bits: mixed types cost PyTorch several passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, branch: Tensor, share: float) -> Tensor:
        bits = torch.empty(-(-branch.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        mask = bits[: branch.numel()].view(branch.shape)
        left_out = max(1, round(share * 2**15))  # of 2**15
        mask.bitwise_and_(2**15 - 1).sub_(2**15 - left_out).bitwise_right_shift_(15)  # all bits or none
        ctx.save_for_backward(mask)
        ctx.factor, ctx.number_format = 1 / (1 - share), branch.dtype
        return torch.add(x, masked(branch, mask).to(x.dtype), alpha=ctx.factor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        (mask,) = ctx.saved_tensors
        return grad, masked((grad * ctx.factor).to(ctx.number_format), mask), None


def masked(x: Tensor, mask: Tensor) -> Tensor:
    """Return `x` where the mask of int16 is -1, and 0 where it is 0."""
    integers = INTEGERS[x.element_size()]
    return (x.view(integers) & mask.to(integers)).view(x.dtype)


class ResidualDropout(nn.Dropout):
    """A branch added to the residual stream; in training a share `p` of its numbers is left out, the others grow."""

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:  # type: ignore[override]
        if not self.training or self.p == 0 or x.device.type != "cpu":
            return x + F.dropout(branch, self.p, self.training).to(x.dtype)
        total: Tensor = _AddDropped.apply(x, branch.contiguous(), self.p)
        return total


class _Loss(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, labels: Tensor, learn: bool) -> Tensor:
        number_format = product_format(x)
        words = weight.to(number_format)
        counts = labels != IGNORED
        total = counts.sum()
        nats = x.new_zeros((), dtype=torch.float32)
        grad_x, grad_weight = (torch.empty_like(x), torch.zeros_like(weight)) if learn else (None, None)
        for start in range(0, len(x), LOSS_ROWS):
            rows = slice(start, start + LOSS_ROWS)
            some = x[rows].to(number_format)
            scores = (some @ words.t()).float().log_softmax(dim=-1)  # (rows, V)
            right = labels[rows].clamp(min=0)[:, None]
            nats -= (scores.gather(1, right)[:, 0] * counts[rows]).sum()
            if grad_x is not None and grad_weight is not None:
                share = (counts[rows] / total)[:, None]
                grad = scores.exp_().mul_(share).scatter_add_(1, right, -share).to(number_format)
                grad_x[rows] = grad @ words
                grad_weight.addmm_(grad.t(), some) if number_format == weight.dtype else grad_weight.add_(
                    grad.t() @ some
                )
        ctx.gradients = grad_x, grad_weight
        return nats / total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        grad_x, grad_weight = ctx.gradients
        ctx.gradients = None  # changed in place, and so good for once
        return grad_x.mul_(grad), grad_weight.mul_(grad), None, None


def linear_cross_entropy(x: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss in nats of x (N, C) with the words' vectors (V, C), where labels (N,) are not -100.

    The gradients are computed with it, while the logits of some rows are at hand: they are never all there.
    """
    loss: Tensor = _Loss.apply(x, weight, labels, torch.is_grad_enabled())
    return loss
