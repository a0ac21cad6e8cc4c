"""The model as `minigpt.generate` asks it: what it has read stays as keys and values; only new tokens are computed.

The same arithmetic as in `minigpt/model.py`, without what training needs: for a token there are 23 M parameters to read
from memory and little to compute, so every call that is not a matrix product shows. Tests compare it with the model.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.fused import Rotation, turn
from minigpt.model import NORM_EPSILON, MiniGPT

Product: TypeAlias = Callable[[Tensor], Tensor]
Layer: TypeAlias = tuple[Tensor, Product, Product, Tensor, Product, Product]


class InferenceModel:
    """A model that is only asked, and changes no more. Making it takes a quarter of a second for the guide's model."""

    def __init__(self, model: MiniGPT) -> None:
        self.seq_len, self.nhead, self.d_model = model.seq_len, model.nhead, model.d_model
        self.rotation = model.cosines[: self.seq_len], model.sines[: self.seq_len]
        self.words = model.model.embed_tokens.weight.detach()
        self.norm = model.model.norm.weight.detach()
        self.logits = product(self.words)
        self.layers = [prepared(layer) for layer in model.model.layers]


def prepared(layer: Any) -> Layer:
    """Return the weights and products that a layer takes a token through, in this order."""
    attention, mlp = layer.self_attn, layer.mlp
    return (
        layer.input_layernorm.weight.detach(),
        product(attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight),
        product(attention.o_proj.weight),
        layer.post_attention_layernorm.weight.detach(),
        product(mlp.gate_proj.weight, mlp.up_proj.weight),
        product(mlp.down_proj.weight),
    )


def product(*weights: Tensor) -> Product:
    """Return a function of x (..., in): its products with weights (out, in), side by side (..., sum of out).

    They take as long as the weights take to be read. An x86 processor reads them in half precision, as llama.cpp does
    from an f16 GGUF; x and the sums stay float32. FBGEMM does that three times as fast as float32 products of one row,
    and, other than PyTorch's own products in half precision, no slower for 200 rows.
    """
    weights = tuple(weight.detach() for weight in weights)
    if weights[0].is_cpu and torch.backends.quantized.engine in ("x86", "fbgemm"):
        packed = torch.ops.quantized.linear_prepack_fp16(torch.cat(weights).float(), None)
        return partial(torch.ops.quantized.linear_dynamic_fp16.default, W_prepack=packed)
    return lambda x: torch.cat([F.linear(x, weight) for weight in weights], dim=-1)


class Decoding:
    """The keys and values of what a model has read: of `used` tokens so far, with room for its seq_len.

    Whoever sets `used` to less has it forget the last ones. `read` is for one text. `read_rows` is for several, equally
    long, which share the reading of the weights.

    :param room: tokens of each text, seq_len at most and by default
    """

    def __init__(self, model: InferenceModel, rows: int = 1, room: int | None = None) -> None:
        self._model = model
        head_size, room = model.d_model // model.nhead, room or model.seq_len
        self._kept = model.words.new_empty(len(model.layers), 2, rows, model.nhead, room, head_size)
        self.used = 0

    def read(self, ids: Sequence[int], count: int) -> Tensor:
        """Read `ids`, which follow all that came before; return float32 logits (count, V) of what follows the last."""
        return self._read(torch.tensor([ids]), count)[0]

    def read_rows(self, ids: Sequence[int]) -> Tensor:
        """Read the next id of each text; return float32 logits (rows, V) of what follows."""
        return self._read(torch.tensor(ids)[:, None], 1)[:, 0]

    def keep_rows(self, rows: Sequence[int]) -> None:
        """Forget all texts but these, which are rows 0, 1, … from now on."""
        self._kept = self._kept[:, :, list(rows)]

    @torch.inference_mode()
    def _read(self, ids: Tensor, count: int) -> Tensor:
        """Read ids (B, T); return float32 logits (B, count, V)."""
        model, T, start, last = self._model, ids.shape[1], self.used, len(self._model.layers) - 1
        self.used = end = start + T
        cosines, sines = model.rotation
        rotation, device = (cosines[start:end], sines[start:end]), model.words.device
        # a single token sees all that there are; several see what came before them, and of themselves no later one
        mask = torch.ones(T, end, dtype=torch.bool, device=device).tril(start) if T > 1 else None
        x = F.embedding(ids.to(device), model.words)  # (B, T, C)
        for number in range(len(model.layers)):
            x = self._layer(number, x, count if number == last else T, rotation, mask)
        return model.logits(F.rms_norm(x, (model.d_model,), model.norm, NORM_EPSILON)).float()

    def _layer(self, number: int, x: Tensor, count: int, rotation: Rotation, mask: Tensor | None) -> Tensor:
        """Take x (B, T, C) through a layer; return the last (B, count, C). Later tokens will see all T of them."""
        model, (keys, values), (B, T, _), end = self._model, self._kept[number], x.shape, self.used
        norm, query_key_value, out, second_norm, gate_up, down = model.layers[number]
        start, width = end - T, (model.d_model,)
        h = query_key_value(F.rms_norm(x, width, norm, NORM_EPSILON)).view(B, T, 3 * model.nhead, -1).transpose(1, 2)
        turned, values[:, :, start:end] = turn(h[:, : 2 * model.nhead], *rotation), h[:, 2 * model.nhead :]
        q, keys[:, :, start:end] = turned.chunk(2, dim=1)  # (B, nh, T, hs)
        if count < T:
            x, q = x[:, -count:], q[:, :, -count:]
        is_causal = count == T > 1 and not start
        mask = None if mask is None or count == 1 or is_causal else mask[-count:]
        y = F.scaled_dot_product_attention(q, keys[:, :, :end], values[:, :, :end], attn_mask=mask, is_causal=is_causal)
        x += out(y.transpose(1, 2).reshape(B, count, -1))
        gate, up = gate_up(F.rms_norm(x, width, second_norm, NORM_EPSILON)).chunk(2, dim=-1)
        x += down(F.silu(gate).mul_(up))
        return x
