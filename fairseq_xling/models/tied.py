"""Token embeddings that are the prediction layer's weights as well: one gradient for both uses, made for a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from fairseq_xling.models.linear import autocasts_to_bfloat16

STEP = 32
"""In bfloat16, the number of predicted tokens is rounded up to a multiple of this; see `TiedTable`."""

ROWS = 4096
"""Rows of the vocabulary whose gradients are made at a time, so that they are still in the cache when they are cast."""


class TiedTable:
    """One lookup in a matrix and one product with it, for one forward pass.

    The gradient of the product covers the whole vocabulary. torch would make it in bfloat16, cast it, make a second
    one for the tokens that were looked up, and add them: passes over the largest matrix of the model. Here there is
    one, written in parts, and the tokens' rows are added to it in place.

    Two things keep the process from growing at every update. All large memory is taken before the layers run, so that
    it gets the blocks that the last update has freed before smaller tensors are put there. And in bfloat16 there are
    few sizes of products, as oneDNN keeps about a megabyte of code for each size that it has met.

    Parameters
    ----------
    weight : (vocabulary, dim)
    tokens : (batch, length) int64
    padding : int
        Token whose row gets no gradient as an input.
    predicted : int
        Tokens that will be predicted.

    Attributes
    ----------
    rows : (batch, length, dim)
        The embeddings of the tokens.
    """

    def __init__(self, weight: Tensor, tokens: Tensor, padding: int, predicted: int):
        low = autocasts_to_bfloat16()
        self._gradient = [torch.empty_like(weight)]
        self._factor = weight.detach().to(torch.bfloat16) if low else weight.detach()
        self._predicted = predicted
        self._block = self._factor.new_empty(-(-predicted // STEP) * STEP if low else predicted, len(weight))
        self.rows, self._weight = Lookup.apply(weight, tokens, padding)

    def filled(self, positions: Tensor) -> Tensor:
        """The positions of the predicted tokens, filled up with position 0 to the number that is computed."""
        return F.pad(positions, (0, len(self._block) - len(positions)))

    def scores(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """Scores of the vocabulary; may be called once.

        Parameters
        ----------
        hidden : (n, dim) or (batch, length, dim)
            Of the predicted tokens, or of those that `filled` gives.
        bias : (vocabulary,)

        Returns
        -------
        (predicted, vocabulary) or (batch, length, vocabulary)
        """
        flat = hidden.reshape(-1, hidden.shape[-1])
        scores = _Scores.apply(flat, self._weight, bias, self._factor, self._gradient, self._block, self._predicted)
        return scores if hidden.dim() == 2 else scores.view(*hidden.shape[:-1], -1)


class Lookup(torch.autograd.Function):
    """Rows of a matrix, and the matrix for its second use, whose gradient takes up that of the rows."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, tokens: Tensor, padding: int) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(tokens)
        ctx.padding = padding
        return F.embedding(tokens, weight), weight.view_as(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, rows: Tensor, whole: Tensor) -> tuple[Tensor, None, None]:
        (tokens,) = ctx.saved_tensors
        of_padding = whole[ctx.padding].clone()
        whole.index_add_(0, tokens.reshape(-1), rows.reshape(-1, rows.shape[-1]).to(whole.dtype))  # nobody else has it
        whole[ctx.padding] = of_padding
        return whole, None, None


class _Scores(torch.autograd.Function):
    """The prediction layer's product, and its gradients, in memory taken before."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        factor: Tensor,
        gradient: list[Tensor],
        block: Tensor,
        predicted: int,
    ) -> Tensor:
        x = _filled(hidden.to(factor.dtype), len(block))
        ctx.save_for_backward(x, factor)
        ctx.gradient, ctx.block, ctx.count = gradient, block, len(hidden)
        ctx.types = hidden.dtype, bias.dtype, weight.dtype
        torch.addmm(bias.to(factor.dtype), x, factor.t(), out=block)
        # no view in autograd's eyes: the loss may write over it
        return block.new_empty(0).set_(block.untyped_storage(), 0, (predicted, block.shape[1]), block.stride())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None, None]:
        x, factor = ctx.saved_tensors
        block = ctx.block
        if grad.data_ptr() == block.data_ptr() and grad.is_contiguous():  # the loss wrote it over the scores
            block[len(grad) :] = 0
            grad = block
        else:
            grad = _filled(grad.to(factor.dtype), len(block))
        # the only reference, so that autograd takes it as it is; a graph that is kept may come by again
        gradient = ctx.gradient.pop() if ctx.gradient else torch.empty(*factor.shape, dtype=ctx.types[2])
        write_gradient(grad, x, gradient)
        hidden = (grad @ factor)[: ctx.count].to(ctx.types[0])
        return hidden, gradient, grad.sum(0).to(ctx.types[1]), None, None, None, None


def _filled(x: Tensor, count: int) -> Tensor:
    """With rows of zeros up to `count` rows."""
    return F.pad(x, (0, 0, 0, count - len(x))) if count > len(x) else x


def write_gradient(grad: Tensor, x: Tensor, out: Tensor) -> None:
    """Write the gradient of a linear map's weights.

    Parameters
    ----------
    grad : (n, outputs)
    x : (n, inputs), of the same type
    out : (outputs, inputs)
        Written to, in its own type.
    """
    if grad.dtype == out.dtype:
        torch.mm(grad.t(), x, out=out)
        return
    for start in range(0, len(out), ROWS):  # transposed in memory: see `linear.weight_gradient`
        out[start : start + ROWS] = grad[:, start : start + ROWS].t().contiguous() @ x
