"""One Transformer layer, as in XLM: self-attention and feed-forward, layer norm after each (or before, by option)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_xling.models import small_layer
from fairseq_xling.models.dropout import Dropout, cheap_masks, dropout
from fairseq_xling.models.gelu import gelu
from fairseq_xling.models.linear import Linear

LAYER_NORM_EPS = 1e-12
"""XLM's value."""


class SelfAttention(nn.Module):
    """Multi-head self-attention with one product for queries, keys and values.

    Parameters
    ----------
    dim, heads : int
    dropout : float
        Probability of dropping an attention weight.
    """

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = Linear(dim, 3 * dim)
        self.out = Linear(dim, dim)

    def forward(self, x: Tensor, attend: Tensor | None, only: Tensor | None = None) -> Tensor:
        """Attend within each row.

        Parameters
        ----------
        x : (batch, length, dim)
        attend : (batch, 1, 1, length) bool, optional
            Positions that may be attended to; ``None`` allows all and permits flash attention.
        only : (n,) int64, optional
            Flat positions whose results are wanted.

        Returns
        -------
        (batch, length, dim), or (n, dim) with `only`
        """
        batch, length, dim = x.shape
        queries, keys, values = self.qkv(x).view(batch, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        probability = self.dropout if self.training else 0.0
        if probability and cheap_masks(x):  # no fast kernel there drops weights
            mixed = _attention(queries, keys, values, attend, probability)
        else:
            mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=attend, dropout_p=probability)
        return self.out(at_positions(mixed.transpose(1, 2).reshape(batch, length, dim), only))


def at_positions(x: Tensor, only: Tensor | None) -> Tensor:
    """The vectors at some flat positions of (batch, length, dim): (n, dim); all of `x` where `only` is ``None``."""
    return x if only is None else x.reshape(-1, x.shape[-1]).index_select(0, only)


def _attention(queries: Tensor, keys: Tensor, values: Tensor, attend: Tensor | None, probability: float) -> Tensor:
    """As `F.scaled_dot_product_attention`, on (batch, heads, length, width)."""
    batch, heads, length, width = queries.shape
    products = torch.baddbmm(
        queries.new_empty(1, 1, 1),
        queries.reshape(-1, length, width),
        keys.reshape(-1, length, width).transpose(1, 2),
        beta=0,
        alpha=width**-0.5,
    ).view(batch, heads, length, length)
    if attend is not None:
        products = products.masked_fill(~attend, -torch.inf)
    return dropout(products.softmax(-1), probability) @ values


class FeedForward(nn.Module):
    """Two linear maps with GELU between them: (..., dim) to (..., dim)."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.expand = Linear(dim, hidden)
        self.out = Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(gelu(self.expand(x)))


class TransformerLayer(nn.Module):
    """Self-attention and feed-forward with residual connections.

    Parameters
    ----------
    dim, heads, hidden : int
        Width, attention heads, width of the feed-forward layer.
    dropout, attention_dropout : float
    norm_before : bool
        Layer norm before each sublayer instead of after the residual sum (XLM: after).
    """

    def __init__(
        self, dim: int, heads: int, hidden: int, dropout: float, attention_dropout: float, norm_before: bool = False
    ):
        super().__init__()
        self.norm_before = norm_before
        self.attention = SelfAttention(dim, heads, attention_dropout)
        self.attention_norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.feed_forward = FeedForward(dim, hidden)
        self.feed_forward_norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.dropout = Dropout(dropout)

    def forward(
        self, x: Tensor, attend: Tensor | None = None, only: Tensor | None = None, seeds: Tensor | None = None
    ) -> Tensor:
        """(batch, length, dim) to the same shape, or to (n, dim); of the type of `x`.

        `attend` and `only` as in `SelfAttention`; `seeds`, (2, 2) int32, are those of the sublayers' dropout.
        """
        weights = small_layer.parameters(self, PARTS, x, attend, only)
        if weights is not None:
            return small_layer.layer(x, attend, only, self.attention.heads, self.norm_before, weights)
        stream, own = x.dtype, self.attention_norm.weight.dtype  # bfloat16 and float32 with --bf16-residual
        first, second = (None, None) if seeds is None else (seeds[0], seeds[1])
        if self.norm_before:
            added = self.dropout(self.attention(self.attention_norm(x), attend, only), first)
            x = (at_positions(x, only).to(own) + added).to(stream)
            return (x.to(own) + self.dropout(self.feed_forward(self.feed_forward_norm(x)), second)).to(stream)
        added = self.dropout(self.attention(x, attend, only), first)
        x = self.attention_norm(at_positions(x, only).to(own) + added).to(stream)
        return self.feed_forward_norm(x.to(own) + self.dropout(self.feed_forward(x), second)).to(stream)


def input_layer(
    tokens: Tensor,
    rows: Tensor | None,
    embeddings: nn.Module,
    vector: Tensor | None,
    norm: nn.LayerNorm,
    dropout: Dropout,
    seeds: Tensor | None,
    dtype: torch.dtype | None,
) -> Tensor:
    """L0: the embeddings of the tokens, with a language's vector where there are such, after norm and dropout.

    Parameters
    ----------
    tokens : (batch, length) int64
    rows : (batch, length, dim), optional
        Embeddings of the tokens, if they were looked up before.
    embeddings : encoder.Embeddings
    vector : (1, dim), optional
        Of the language.
    norm : nn.LayerNorm
    dropout : Dropout
    seeds : (2,) int32, optional
        Decide on what is dropped.
    dtype : torch.dtype, optional
        Of the result, if it is to be another.

    Returns
    -------
    (batch, length, dim)
    """
    x = embeddings(tokens, rows)
    if vector is not None:
        x = x + vector
    x = dropout(norm(x), seeds)
    return x if dtype is None else x.to(dtype)


PARTS = (SelfAttention, FeedForward, Dropout)
"""What a layer is made of, if nobody has put something else there."""


def scale_residual_outputs(layers: list[TransformerLayer], depth: int) -> None:
    """Divide the output maps of both sublayers by sqrt(2 depth): the residual sum does not grow with depth (GPT-2)."""
    with torch.no_grad():
        for layer in layers:
            layer.attention.out.weight /= (2 * depth) ** 0.5
            layer.feed_forward.out.weight /= (2 * depth) ** 0.5
