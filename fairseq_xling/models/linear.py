"""Linear maps whose training in bfloat16 is fast on a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LARGE = 2**17
"""Weights from which on the function below pays."""

BLOCK = 64
"""Rows that are transposed at a time."""


def autocasts_to_bfloat16(device: str = "cpu") -> bool:
    """Whether products on a kind of device are to be computed in bfloat16."""
    return torch.amp.is_autocast_available(device) and (
        torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.bfloat16
    )


class _Product(torch.autograd.Function):
    """`F.linear` in bfloat16; the gradient of the weights comes in their own type."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        small, matrix = x.to(torch.bfloat16), weight.to(torch.bfloat16)
        ctx.save_for_backward(small, matrix)
        ctx.types = x.dtype, weight.dtype, bias.dtype
        return F.linear(small, matrix, bias.to(torch.bfloat16))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        needs, types = ctx.needs_input_grad, ctx.types
        grad = grad.to(torch.bfloat16)
        flat = grad.reshape(-1, grad.shape[-1])
        return (
            (grad @ weight).to(types[0]) if needs[0] else None,
            weight_gradient(x.reshape(-1, x.shape[-1]), flat, types[1]) if needs[1] else None,
            flat.sum(0).to(types[2]) if needs[2] else None,
        )


def weight_gradient(x: Tensor, grad: Tensor, dtype: torch.dtype) -> Tensor:
    """The gradient of a linear map's weights.

    oneDNN's product of bfloat16 takes twice as long when its first factor is a transposed view. So the narrower of the
    two is transposed in memory before.

    Parameters
    ----------
    x : (n, inputs)
    grad : (n, outputs)
    dtype : torch.dtype

    Returns
    -------
    (outputs, inputs) of `dtype`
    """
    if grad.shape[1] <= x.shape[1]:
        return (_transposed(grad) @ x).to(dtype)
    return (_transposed(x) @ grad).t().to(dtype, memory_format=torch.contiguous_format)


def _transposed(matrix: Tensor) -> Tensor:
    """(n, d) to (d, n), contiguous; in two steps, which torch spreads over its threads, where it can be."""
    n, dim = matrix.shape
    if n % BLOCK or not matrix.is_contiguous():
        return matrix.t().contiguous()
    blocks = matrix.view(n // BLOCK, BLOCK, dim).transpose(1, 2).contiguous()
    return blocks.transpose(0, 1).contiguous().view(dim, n)


class Linear(nn.Linear):
    """`nn.Linear`, with `weight_gradient` where bfloat16 is asked for by autocast on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        if self._fast(x):
            return _Product.apply(x, self.weight, self.bias)
        return F.linear(x, self.weight, self.bias)

    def _fast(self, x: Tensor) -> bool:
        return (
            x.device.type == "cpu"
            and self.bias is not None
            and self.weight.numel() >= LARGE
            and torch.is_grad_enabled()
            and autocasts_to_bfloat16()
        )
