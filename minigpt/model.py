"""MiniGPT: a small decoder-only transformer in the shape of Llama, in one file.

RMSNorm, rotary positions (RoPE), SwiGLU, tied embeddings, no biases. The parameters carry the names that Hugging Face's
LlamaForCausalLM gives them, so a checkpoint needs no conversion. The guide's size (d_model 512, 8 heads, 6 layers,
vocabulary 8000) has 23.4 million parameters.

Shapes in the comments: B batch, T time (tokens), C d_model, nh heads, hs size of a head, V vocabulary.
"""

import math
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minigpt import END_OF_TEXT, PADDING, START
from minigpt.fused import ResidualDropout, RMSNorm, Rotation, attend, linear_cross_entropy, rotate
from minigpt.settings import ModelSettings

NORM_EPSILON = 1e-5
ROPE_THETA = 10_000.0


def swiglu_size(d_model: int) -> int:
    """Return the inner width of the feed-forward layer: 8/3 of d_model, rounded up to a multiple of 64.

    Three matrices of 8/3 have as many parameters as the two matrices of 4 in the original transformer.
    """
    return 64 * math.ceil(8 * d_model / (3 * 64))


def mask_between_texts(input_ids: Tensor) -> Tensor:
    """Return a mask (B, 1, T, T) bool in which each token sees itself and those before it in its own text only.

    Positions count on from text to text: RoPE knows only how far two tokens are from each other.
    """
    T = input_ids.shape[1]
    text = (input_ids == START).cumsum(dim=1)  # (B, T)
    same = text[:, None, :, None] == text[:, None, None, :]  # (B, 1, T, T)
    return same & torch.ones(T, T, dtype=torch.bool, device=input_ids.device).tril()


class Attention(nn.Module):
    """Causal self-attention with rotary positions.

    There is no dropout on the attention weights: with it PyTorch leaves its fused kernel, which costs more time than
    the regularisation is worth. Dropout sits on the residual branches instead.
    """

    def __init__(self, d_model: int, nhead: int) -> None:
        super().__init__()
        self.nhead = nhead
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, d_model, bias=False)
        self.v_proj = nn.Linear(d_model, d_model, bias=False)
        self.o_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x: Tensor, rotation: Rotation, mask: Tensor | None = None) -> Tensor:
        B, T, C = x.shape
        q, k, v = (
            projection(x).view(B, T, self.nhead, C // self.nhead).transpose(1, 2)  # (B, nh, T, hs)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        cos, sin = (part.to(q.dtype) for part in rotation)
        q, k = rotate(q, (cos, sin)), rotate(k, (cos, sin))
        y = attend(q, k, v, mask)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, C))


class FeedForward(nn.Module):
    """SwiGLU (arXiv 2002.05202): one projection gates the other."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(d_model, swiglu_size(d_model), bias=False)
        self.up_proj = nn.Linear(d_model, swiglu_size(d_model), bias=False)
        self.down_proj = nn.Linear(swiglu_size(d_model), d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """One layer: attention, then feed-forward, each normalised before and added to the residual stream after."""

    def __init__(self, d_model: int, nhead: int, dropout: float) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(d_model, eps=NORM_EPSILON)
        self.self_attn = Attention(d_model, nhead)
        self.post_attention_layernorm = RMSNorm(d_model, eps=NORM_EPSILON)
        self.mlp = FeedForward(d_model)
        self.add = ResidualDropout(dropout)

    def forward(self, x: Tensor, rotation: Rotation, mask: Tensor | None = None) -> Tensor:
        x = self.add(x, self.self_attn(self.input_layernorm(x), rotation, mask))
        return self.add(x, self.mlp(self.post_attention_layernorm(x)))


class Embedding(nn.Embedding):
    """An embedding that stays unfilled in a model of shapes alone, for which torch would load its compiler."""

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()


class Decoder(nn.Module):
    """Embedding, layers and last norm; a module of its own because Hugging Face's names begin with `model.`."""

    def __init__(self, vocab_size: int, d_model: int, nhead: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.embed_tokens = Embedding(vocab_size, d_model)
        self.layers = nn.ModuleList(Block(d_model, nhead, dropout) for _ in range(num_layers))
        self.norm = RMSNorm(d_model, eps=NORM_EPSILON)

    def forward(self, input_ids: Tensor, rotation: Rotation, mask: Tensor | None = None) -> Tensor:
        x = self.embed_tokens(input_ids)  # (B, T, C)
        for layer in self.layers:
            x = layer(x, rotation, mask)
        return self.norm(x)


class MiniGPT(nn.Module):
    """The language model. `seq_len` is the length it is trained on; longer input works, but is not what it has seen."""

    cosines: Tensor
    sines: Tensor

    def __init__(
        self,
        *,
        vocab_size: int,
        d_model: int,
        nhead: int,
        num_layers: int,
        dropout: float = 0.0,
        seq_len: int = 256,
    ) -> None:
        super().__init__()
        self.vocab_size, self.d_model, self.nhead, self.num_layers = vocab_size, d_model, nhead, num_layers
        self.seq_len = seq_len
        self.model = Decoder(vocab_size, d_model, nhead, num_layers, dropout)
        cosines, sines = self.rotation(0 if self.model.embed_tokens.weight.is_meta else seq_len)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)
        self.initialize()

    @classmethod
    def from_settings(cls, settings: ModelSettings, vocab_size: int, seq_len: int) -> Self:
        """Return the model that `settings` describe; `vocab_size` is the tokenizer's own, which may be smaller."""
        return cls(
            vocab_size=vocab_size,
            d_model=settings.d_model,
            nhead=settings.nhead,
            num_layers=settings.num_layers,
            dropout=settings.dropout,
            seq_len=seq_len,
        )

    def initialize(self) -> None:
        """Draw all matrices with deviation 0.02, and less where the residual stream adds up 2 x num_layers of them."""
        for name, parameter in self.named_parameters():
            if parameter.is_meta:
                continue
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.num_layers))
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def rotation(self, length: int) -> Rotation:
        """Return RoPE's cosines and sines of positions 0 to length - 1, each (length, hs) float32; see `Rotation`."""
        head_size = self.d_model // self.nhead
        frequencies = ROPE_THETA ** (
            -torch.arange(0, head_size, 2, dtype=torch.float32, device="cpu") / head_size
        )  # (hs/2,)
        angles = torch.arange(length, dtype=torch.float32, device="cpu")[:, None] * frequencies  # (T, hs/2)
        cosines, sines = angles.cos(), angles.sin()
        return torch.cat((cosines, cosines), dim=-1), torch.cat((-sines, sines), dim=-1)

    def forward(self, input_ids: Tensor, labels: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return float32 logits (B, T, V) of input_ids (B, T), or with labels (B, T) the mean loss in nats per token.

        labels[b, t] is the token that follows input_ids[b, t] (already shifted), or -100 where none is to be learnt.
        Every token sees those before it, or what the mask lets it see (`mask_between_texts`), which is slower.
        """
        T = input_ids.shape[1]
        if self.cosines.shape[0] < T:
            self.cosines, self.sines = (part.to(self.cosines) for part in self.rotation(T))
        x = self.model(input_ids, (self.cosines[:T], self.sines[:T]), mask)  # (B, T, C)
        words = self.model.embed_tokens.weight
        if labels is None:
            return F.linear(x, words).float()  # (B, T, V)
        return linear_cross_entropy(x.flatten(0, 1), words, labels.flatten())

    def parameter_count(self) -> int:
        """Return how many numbers training changes; the tied embedding counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def hugging_face_config(self) -> dict[str, object]:
        """Return the `config.json` with which transformers' LlamaForCausalLM computes the same logits."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab_size,
            "hidden_size": self.d_model,
            "intermediate_size": swiglu_size(self.d_model),
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.nhead,
            "num_key_value_heads": self.nhead,
            "hidden_act": "silu",
            "max_position_embeddings": self.seq_len,
            "rms_norm_eps": NORM_EPSILON,
            "rope_theta": ROPE_THETA,
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "initializer_range": 0.02,
            "bos_token_id": START,
            "eos_token_id": END_OF_TEXT,
            "pad_token_id": PADDING,
            "torch_dtype": "float32",
        }
