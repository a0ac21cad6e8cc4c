"""The fused parts of the training step give what the plain formulas give, gradients included."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt import IGNORED, fused
from minigpt.fused import ResidualDropout, RMSNorm, attend, linear_cross_entropy, rotate


def compare(ours: Callable[..., Tensor], plain: Callable[..., Tensor], *inputs: Tensor) -> None:
    """The same value, and the same gradient by every input."""
    results = []
    for function in (ours, plain):
        leaves = [value.clone().requires_grad_() for value in inputs]
        value = function(*leaves)
        weights = torch.arange(1.0, 1 + value.numel()).view(value.shape) / value.numel()
        (value * weights).sum().backward()
        results.append([value, *(leaf.grad for leaf in leaves)])
    for one, other in zip(*results):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_rotation() -> None:
    angles = torch.randn(5, 4)
    cos, sin = (part.repeat(1, 2) for part in (angles.cos(), angles.sin()))
    first_negative = torch.cat((-angles.sin(), angles.sin()), dim=-1)

    def plain(x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat((-second, first), dim=-1) * sin

    compare(lambda x: rotate(x, (cos, first_negative)), plain, torch.randn(2, 3, 5, 8))


def test_norm() -> None:
    norm, plain = RMSNorm(6, eps=1e-5), nn.RMSNorm(6, eps=1e-5)
    x, weight = torch.randn(2, 3, 6), torch.randn(6)
    compare(
        lambda x, weight: torch.func.functional_call(norm, {"weight": weight}, x),
        lambda x, weight: torch.func.functional_call(plain, {"weight": weight}, x),
        x,
        weight,
    )


@pytest.mark.parametrize("rows", [3, 7, 100])
def test_loss(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "LOSS_ROWS", rows)
    labels = torch.randint(0, 11, (20,))
    labels[[0, 5, 19]] = IGNORED
    x, words = 3 * torch.randn(20, 4), torch.randn(11, 4)
    compare(
        lambda x, words: linear_cross_entropy(x, words, labels),
        lambda x, words: F.cross_entropy(F.linear(x, words), labels, ignore_index=IGNORED),
        x,
        words,
    )
    with torch.no_grad():
        expected = F.cross_entropy(F.linear(x, words), labels, ignore_index=IGNORED)
        torch.testing.assert_close(linear_cross_entropy(x, words, labels), expected)


def test_loss_of_a_token_that_is_all_but_impossible_is_finite() -> None:
    x, words = torch.tensor([[300.0]]), torch.tensor([[1.0], [-1.0]])
    assert linear_cross_entropy(x, words, torch.tensor([1])).item() == pytest.approx(600)


def test_loss_in_bfloat16() -> None:
    x, words, labels = (
        torch.randn(20, 8, requires_grad=True),
        torch.randn(11, 8, requires_grad=True),
        torch.arange(20) % 11,
    )
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(x, words, labels)
    loss.backward()
    rough = x.grad, words.grad
    exact = torch.autograd.grad(F.cross_entropy(F.linear(x, words), labels), (x, words))
    assert loss.dtype == torch.float32
    for one, other in zip(rough, exact):
        assert one is not None and float((one - other).norm() / other.norm()) < 0.02


def test_attention_in_bfloat16() -> None:
    torch.manual_seed(0)
    exact = [torch.randn(2, 70, 3, 16).transpose(1, 2).requires_grad_() for _ in range(3)]
    rough = [part.detach().bfloat16().requires_grad_() for part in exact]
    weights = torch.randn(2, 3, 70, 16)
    for parts in (exact, rough):
        q, k, v = parts
        y = attend(q, k, v, None)
        (y * weights).sum().backward()
    for one, other in zip(rough, exact):
        assert one.grad is not None and other.grad is not None
        assert float((one.grad - other.grad).norm() / other.grad.norm()) < 0.02
    q, k, v = (part.detach() for part in rough)
    later = k.clone()
    later[:, :, 40:] = 5.0
    torch.testing.assert_close(attend(q, later, v, None)[:, :, :40], attend(q, k, v, None)[:, :, :40])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16])
def test_dropout_leaves_out_its_share_and_keeps_the_mean(share: float, number_format: torch.dtype) -> None:
    torch.manual_seed(0)
    add = ResidualDropout(share)
    x, branch = (torch.ones(1001, 333, dtype=f, requires_grad=True) for f in (torch.float32, number_format))
    y = add(x, branch)
    y.sum().backward()
    assert x.grad is not None and branch.grad is not None and y.dtype == torch.float32
    assert torch.equal(x.grad, torch.ones_like(x)), "the stream itself goes on whole"
    dropped = y.detach() - 1
    left_out = float((dropped == 0).float().mean())
    assert left_out == pytest.approx(share, abs=0.005)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.03)
    assert float(dropped.max()) == pytest.approx(1 / (1 - share))
    torch.testing.assert_close(branch.grad.float(), dropped, rtol=0.01, atol=0)  # 0 where left out, else the factor
    per_column = (dropped == 0).float().mean(0)
    assert float((per_column - share).abs().max()) < 0.1, "no place is left out more often than others"
    assert not torch.equal(add(x, branch), y)
    assert torch.equal(add.eval()(x, branch), x + branch)


def test_next_to_no_dropout() -> None:
    x, branch = torch.zeros(50, 50), torch.ones(50, 50)
    assert float((ResidualDropout(1e-6)(x, branch) == 0).float().mean()) < 0.01


def test_negative_numbers_go_through_dropout() -> None:
    x, branch = torch.zeros(50, 50), torch.randn(50, 50)
    y = ResidualDropout(0.5)(x, branch)
    torch.testing.assert_close(y[y != 0], 2 * branch[y != 0])


def test_norm_is_in_the_format_of_the_products_that_follow() -> None:
    norm, x = RMSNorm(6, eps=1e-5), torch.randn(2, 3, 6, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = norm(x)
    y.sum().backward()
    assert y.dtype == torch.bfloat16 and norm(x).dtype == torch.float32
    assert x.grad is not None and x.grad.dtype == torch.float32
