"""Layers of a Transformer whose attention and residual sums are kernels of our own, for training on a GPU.

What remains between them, torch.compile fuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fairseq_xling.kernels.constants import HEAD, LENGTHS
from fairseq_xling.models.layers import TransformerLayer, at_positions, input_layer
from fairseq_xling.models.linear import autocasts_to_bfloat16
from fairseq_xling.models.shape import Shape

PARTS = 2**16
"""Probabilities are rounded to one part in so many."""


class FusedLayers:
    """The layers of an encoder in training.

    Parameters
    ----------
    options
        Of torch.compile.
    """

    def __init__(self, **options: Any):
        self._input = torch.compile(_input, **options)
        self._layer = torch.compile(fused_layer, **options)

    def __call__(
        self, first: tuple[Any, ...], layers: Sequence[TransformerLayer], seeds: Tensor, only: Tensor | None
    ) -> list[Tensor]:
        """Hidden states from L0 on.

        Parameters
        ----------
        first : tuple
            Arguments of `input_layer`.
        layers : sequence of TransformerLayer
        seeds : (layers, 4, 2) int32
            Of each layer's dropout.
        only : (n,) int64, optional
            Flat positions at which the last layer is wanted.
        """
        x, low = self._input(*first)
        states = [x]
        for layer, pairs in zip(layers, seeds, strict=False):
            x, low = self._layer(layer, x, low, only if layer is layers[-1] else None, pairs)
            states.append(x)
        return states


def fits(shape: Shape, tokens: Tensor) -> bool:
    """Whether the kernels are made for training a model of this shape, on tokens of (batch, length)."""
    return (
        not shape.norm_before
        and shape.dim == shape.heads * HEAD
        and tokens.shape[1] in LENGTHS
        and _parts(max(shape.dropout, shape.attention_dropout)) < PARTS
        and autocasts_to_bfloat16(tokens.device.type)
    )


def fused_layer(
    layer: TransformerLayer, x: Tensor, low: Tensor, only: Tensor | None, seeds: Tensor
) -> tuple[Tensor, Tensor]:
    """As `TransformerLayer.forward` of a layer with layer norm after its sublayers, in training.

    Parameters
    ----------
    layer : TransformerLayer
    x : (batch, length, dim)
        The residual stream.
    low : (batch, length, dim) bfloat16
        The same, for products; a tensor of its own, with a gradient of its own.
    only : (n,) int64, optional
        Flat positions that are wanted.
    seeds : (4, 2) int32
        Pairs of seeds, for the dropout of attention, for nothing, and for those of the sublayers.

    Returns
    -------
    x, low
        Of the layer's output.
    """
    attention = layer.attention
    mixed = torch.ops.fairseq_xling.attention(attention.qkv(low), seeds[0], attention.heads, _parts(attention.dropout))[
        0
    ]
    added, dropped = attention.out(at_positions(mixed, only)), _parts(layer.dropout.probability)
    x, low = _normed(at_positions(x, only), added, layer.attention_norm, seeds[2], dropped)
    return _normed(x, layer.feed_forward(low), layer.feed_forward_norm, seeds[3], dropped)


def _normed(x: Tensor, added: Tensor, norm: nn.LayerNorm, seeds: Tensor, dropped: int) -> tuple[Tensor, Tensor]:
    stream, low, _, _ = torch.ops.fairseq_xling.residual_norm(
        x, added, norm.weight, norm.bias, seeds, dropped, norm.eps
    )
    return stream, low


def _input(*arguments: Any) -> tuple[Tensor, Tensor]:
    """`input_layer`, and a tensor of its own for products."""
    x = input_layer(*arguments)
    return x, x.to(torch.bfloat16).clone()


def _parts(probability: float) -> int:
    return round(probability * PARTS)
