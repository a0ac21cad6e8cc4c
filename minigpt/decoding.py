"""The model as `minigpt.generate` asks it: what it has read stays as keys and values; only new tokens are computed.

The same arithmetic as in `minigpt/model.py`, without what training needs: for a token there are 23 M parameters to read
from memory and little to compute, so every call that is not a matrix product shows. Tests compare it with the model.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.fused import turn
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
        model, T, start = self._model, len(ids), self.used
        self.used = end = start + T
        words, nhead, width = model.model.embed_tokens.weight, model.nhead, (model.d_model,)
        cos, sin = model.cosines[start:end], model.sines[start:end]
        # a single new token sees all; several see what came before them, and of themselves no later one
        mask = torch.ones(T, end, dtype=torch.bool, device=words.device).tril(start) if T > 1 and start else None
        x = F.embedding(torch.tensor([ids], device=words.device), words)  # (1, T, C)
        for (norm, *qkv, out, second_norm, gate, up, down), (keys, values) in zip(self._layers, self._kept):
            h = F.rms_norm(x, width, norm, NORM_EPSILON)
            q, k, v = (F.linear(h, weight).view(1, T, nhead, -1).transpose(1, 2) for weight in qkv)  # (1, nh, T, hs)
            keys[:, :, start:end] = turn(k, cos, sin)
            values[:, :, start:end] = v
            y = F.scaled_dot_product_attention(
                turn(q, cos, sin), keys[:, :, :end], values[:, :, :end], attn_mask=mask, is_causal=T > 1 and not start
            )
            x += F.linear(y.transpose(1, 2).reshape(1, T, -1), out)
            h = F.rms_norm(x, width, second_norm, NORM_EPSILON)
            x += F.linear(F.silu(F.linear(h, gate)).mul_(F.linear(h, up)), down)
        return F.linear(F.rms_norm(x[0, -count:], width, model.model.norm.weight, NORM_EPSILON), words).float()


def weights(layer: Any) -> tuple[Tensor, ...]:
    """A layer's parameters in the order in which they are used."""
    attention, mlp = layer.self_attn, layer.mlp
    before = attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj
    after = mlp.gate_proj, mlp.up_proj, mlp.down_proj
    modules = layer.input_layernorm, *before, layer.post_attention_layernorm, *after
    return tuple(module.weight for module in modules)
