"""Token embeddings that are the prediction layer's weights as well, in bfloat16 on a GPU; see `models/tied.py`."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fairseq_xling.models.tied import Lookup

ALIGNED = 8
"""Products in 16 bits are several times slower on a GPU where rows of the result are no multiple of 16 bytes long."""


class TiedTable:
    """As `tied.TiedTable`; the scores have words of probability 0 behind them, up to a multiple of `ALIGNED`."""

    def __init__(self, weight: Tensor, tokens: Tensor, padding: int):
        self.rows, self._weight = Lookup.apply(weight, tokens, padding)

    @staticmethod
    def filled(positions: Tensor) -> Tensor:
        """The positions of the predicted tokens as they are."""
        return positions

    def scores(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """(..., dim) to (..., vocabulary and some more); may be called once."""
        scores = _Scores.apply(hidden.reshape(-1, hidden.shape[-1]), self._weight, bias)
        return scores.view(*hidden.shape[:-1], -1)


def aligned(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The prediction layer in 16 bits, with words added that have probability 0; see `ALIGNED`.

    Parameters
    ----------
    weight : (vocabulary, dim)
    bias : (vocabulary,)
    dtype : torch.dtype

    Returns
    -------
    weight : (aligned vocabulary, dim) of `dtype`
        0 for the words added.
    bias : (aligned vocabulary,) of `dtype`
        -inf for the words added.
    """
    size = -(-len(bias) // ALIGNED) * ALIGNED
    factor, shift = weight.new_empty(size, weight.shape[1], dtype=dtype), bias.new_empty(size, dtype=dtype)
    for whole, part, fill in ((factor, weight, 0), (shift, bias, -torch.inf)):
        whole[: len(part)] = part
        whole[len(part) :] = fill
    return factor, shift


class _Scores(torch.autograd.Function):
    """The prediction layer's product; the gradient of its weights is made in their own type at once."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = hidden.to(torch.bfloat16)
        factor, shift = aligned(weight, bias, x.dtype)
        ctx.save_for_backward(x, factor)
        ctx.types, ctx.words = (hidden.dtype, weight.dtype, bias.dtype), len(bias)
        return torch.addmm(shift, x, factor.t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, factor = ctx.saved_tensors
        of_words = grad[:, : ctx.words]
        of_weight = _product(of_words.t(), x, ctx.types[1])
        return (grad @ factor).to(ctx.types[0]), of_weight, of_words.sum(0, dtype=ctx.types[2])


def _product(first: Tensor, second: Tensor, dtype: torch.dtype) -> Tensor:
    if first.is_cuda and hasattr(torch.ops.aten.mm, "dtype"):  # torch 2.8
        return torch.mm(first, second, out_dtype=dtype)
    return (first @ second).to(dtype)
