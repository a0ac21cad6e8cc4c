"""The model as `minigpt.generate` asks it: what it has read stays as keys and values; only new tokens are computed.

The same arithmetic as in `minigpt/model.py`, without what training needs: for a token there are 23 M parameters to read
from memory and little to compute, so every call that is not a matrix product shows. Tests compare it with the model.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.fused import Rotation, turn
from minigpt.model import NORM_EPSILON, MiniGPT


class Decoding:
    """Reads on from what it has read before: `used` tokens so far, and room for the model's seq_len.

    Whoever sets `used` to less has it forget the last ones.
    """

    def __init__(self, model: MiniGPT) -> None:
        words = model.model.embed_tokens.weight
        head_size = model.d_model // model.nhead
        self._model = model
        self._layers = [weights(layer) for layer in model.model.layers]
        self._kept = words.detach().new_empty(len(self._layers), 2, 1, model.nhead, model.seq_len, head_size)
        self.used = 0

    @torch.inference_mode()
    def read(self, ids: Sequence[int], count: int) -> Tensor:
        """Read `ids`, which follow all that came before; logits (count, V) in float32 of what follows the last ones."""
        model, T, start, last = self._model, len(ids), self.used, len(self._layers) - 1
        self.used = end = start + T
        words, rotation = model.model.embed_tokens.weight, (model.cosines[start:end], model.sines[start:end])
        # a single token sees all that there are; several see what came before them, and of themselves no later one
        mask = torch.ones(T, end, dtype=torch.bool, device=words.device).tril(start) if T > 1 else None
        x = F.embedding(torch.tensor([ids], device=words.device), words)  # (1, T, C)
        for number in range(len(self._layers)):
            x = self._layer(number, x, count if number == last else T, rotation, mask)
        return F.linear(F.rms_norm(x[0], (model.d_model,), model.model.norm.weight, NORM_EPSILON), words).float()

    def _layer(self, number: int, x: Tensor, count: int, rotation: Rotation, mask: Tensor | None) -> Tensor:
        """What a layer makes (1, count, C) of the last ones of x (1, T, C), all of which later tokens will see."""
        norm, query, key, value, out, second_norm, gate, up, down = self._layers[number]
        keys, values = self._kept[number]
        nhead, width, (cos, sin) = self._model.nhead, (self._model.d_model,), rotation
        T, end = x.shape[1], self.used
        start = end - T

        def heads(h: Tensor, weight: Tensor) -> Tensor:
            return F.linear(h, weight).view(1, -1, nhead, keys.shape[-1]).transpose(1, 2)  # (1, nh, T, hs)

        h = F.rms_norm(x, width, norm, NORM_EPSILON)
        keys[:, :, start:end] = turn(heads(h, key), cos, sin)
        values[:, :, start:end] = heads(h, value)
        if count < T:
            x, h, cos, sin = x[:, -count:], h[:, -count:], cos[-count:], sin[-count:]
        q = turn(heads(h, query), cos, sin)
        is_causal = count == T > 1 and not start
        mask = None if mask is None or count == 1 or is_causal else mask[-count:]
        y = F.scaled_dot_product_attention(q, keys[:, :, :end], values[:, :, :end], attn_mask=mask, is_causal=is_causal)
        x += F.linear(y.transpose(1, 2).reshape(1, count, -1), out)
        h = F.rms_norm(x, width, second_norm, NORM_EPSILON)
        x += F.linear(F.silu(F.linear(h, gate)).mul_(F.linear(h, up)), down)
        return x


def weights(layer: Any) -> tuple[Tensor, ...]:
    """A layer's parameters in the order in which they are used."""
    attention, mlp = layer.self_attn, layer.mlp
    before = attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj
    after = mlp.gate_proj, mlp.up_proj, mlp.down_proj
    modules = layer.input_layernorm, *before, layer.post_attention_layernorm, *after
    return tuple(module.weight for module in modules)
