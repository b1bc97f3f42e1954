"""Dropout, residual sum and layer norm as one Triton kernel, and their gradients as one more.

What torch.compile makes of them keeps normalised values in float32 for the backward pass, where several kernels read
them. These keep mean and deviation of each row alone. Results come twice, for the residual stream and for the next
product, so that the gradients of the two are added where they are read.

Importing this module needs Triton. It defines ``torch.ops.fairseq_xling.residual_norm``.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fairseq_xling.kernels.hashing import hashed

ROWS, WARPS = 2, 4
"""Rows that a block of threads works on at a time."""

PARTS = 528
"""Blocks of threads of the backward pass, each of which sums over its rows: four for each multiprocessor of an H100."""

Outputs = tuple[Tensor, Tensor, Tensor, Tensor]


@torch.library.custom_op("fairseq_xling::residual_norm", mutates_args=())
def residual_norm(
    x: Tensor, added: Tensor, weight: Tensor, bias: Tensor, seeds: Tensor, dropped: int, eps: float
) -> Outputs:
    """Layer norm of `x` and what is left of `added`.

    Parameters
    ----------
    x : (..., dim) float32 or bfloat16
    added : as `x`, bfloat16
    weight, bias : (dim,) float32
    seeds : (2,) int32
        Decide on what is dropped of `added`, as in `dropout.dropout_by`.
    dropped : int
        Parts in 2^16 that are dropped.
    eps : float

    Returns
    -------
    stream : as `x`
    low : as `added`
        The same values.
    mean, scale : (...) float32
        Of each sum, and the inverse of its deviation; they have no gradient.
    """
    out, low = torch.empty_like(x), torch.empty_like(added)
    mean, scale = (x.new_empty(x.shape[:-1], dtype=torch.float32) for _ in range(2))
    rows, dim = mean.numel(), x.shape[-1]
    _norm_forward[(triton.cdiv(rows, ROWS),)](
        x, added, weight, bias, seeds, out, low, mean, scale, rows, eps,
        DIM=dim, DROPPED=dropped, ROWS=ROWS, WIDTH=triton.next_power_of_2(dim), num_warps=WARPS,
    )  # fmt: skip
    return out, low, mean, scale


@torch.library.custom_op("fairseq_xling::residual_norm_backward", mutates_args=())
def residual_norm_backward(
    x: Tensor,
    added: Tensor,
    weight: Tensor,
    seeds: Tensor,
    mean: Tensor,
    scale: Tensor,
    of_stream: Tensor | None,
    of_low: Tensor | None,
    dropped: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `x` and of `added`, and parts of those of weight and bias: (`PARTS`, 2, dim) float32."""
    of_x, of_added = torch.empty_like(x), torch.empty_like(added)
    rows, dim = mean.numel(), x.shape[-1]
    parts = min(PARTS, triton.cdiv(rows, ROWS))
    sums = x.new_empty(parts, 2, dim, dtype=torch.float32)
    first, second = (None if grad is None else grad.contiguous() for grad in (of_stream, of_low))
    _norm_backward[(parts,)](
        x, added, weight, seeds, mean, scale,
        x if first is None else first, added if second is None else second, of_x, of_added, sums, rows,
        DIM=dim, DROPPED=dropped, ROWS=ROWS, WIDTH=triton.next_power_of_2(dim),
        HAS_STREAM=first is not None, HAS_LOW=second is not None, num_warps=WARPS,
    )  # fmt: skip
    return of_x, of_added, sums


@residual_norm.register_fake
def _(x: Tensor, added: Tensor, *_: Any) -> Outputs:
    mean, scale = (x.new_empty(x.shape[:-1], dtype=torch.float32) for _ in range(2))
    return torch.empty_like(x), torch.empty_like(added), mean, scale


@residual_norm_backward.register_fake
def _(x: Tensor, added: Tensor, weight: Tensor, seeds: Tensor, mean: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    parts = torch.sym_min(PARTS, (mean.numel() + ROWS - 1) // ROWS)
    return torch.empty_like(x), torch.empty_like(added), x.new_empty(parts, 2, x.shape[-1], dtype=torch.float32)


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Outputs) -> None:
    x, added, weight, _, seeds, ctx.dropped, _ = inputs
    ctx.save_for_backward(x, added, weight, seeds, *output[2:])
    ctx.set_materialize_grads(False)


def _gradient(ctx: Any, of_stream: Tensor | None, of_low: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    of_x, of_added, sums = residual_norm_backward(*ctx.saved_tensors, of_stream, of_low, ctx.dropped)
    of_weight, of_bias = sums.sum(0)
    return of_x, of_added, of_weight, of_bias, None, None, None


residual_norm.register_autograd(_gradient, setup_context=_keep_for_backward)


@triton.jit
def _sum(x, added, seeds, at, inside, DROPPED: tl.constexpr):
    """What is normalised, in float32, and what stays of `added`."""
    total = tl.load(x + at, inside, 0.0).to(tl.float32)
    more = tl.load(added + at, inside, 0.0).to(tl.float32)
    kept = (hashed(at.to(tl.uint32), seeds) & 0xFFFF) >= DROPPED  # as `dropout.dropout_by` decides
    return total + tl.where(kept, more * (65536 / (65536 - DROPPED)), 0.0), kept


@triton.jit
def _norm_forward(
    x, added, weight, bias, seeds, out, low, mean, scale, rows, eps,
    DIM: tl.constexpr, DROPPED: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    across = column < DIM
    inside = (row < rows)[:, None] & across[None, :]
    at = row[:, None] * DIM + column[None, :]
    total, _ = _sum(x, added, seeds, at, inside, DROPPED)
    middle = tl.sum(total, 1) / DIM
    centred = tl.where(across[None, :], total - middle[:, None], 0.0)
    inverse = tl.rsqrt(tl.sum(centred * centred, 1) / DIM + eps)
    by, plus = tl.load(weight + column, across, 0.0), tl.load(bias + column, across, 0.0)
    result = centred * inverse[:, None] * by[None, :] + plus[None, :]
    tl.store(out + at, result.to(out.dtype.element_ty), inside)
    tl.store(low + at, result.to(low.dtype.element_ty), inside)
    tl.store(mean + row, middle, row < rows)
    tl.store(scale + row, inverse, row < rows)


@triton.jit
def _norm_backward(
    x, added, weight, seeds, mean, scale, of_stream, of_low, of_x, of_added, sums, rows,
    DIM: tl.constexpr, DROPPED: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
    HAS_STREAM: tl.constexpr, HAS_LOW: tl.constexpr,
):  # fmt: skip
    column = tl.arange(0, WIDTH)
    across = column < DIM
    by = tl.load(weight + column, across, 0.0)[None, :]
    of_weight = tl.zeros((WIDTH,), tl.float32)
    of_bias = tl.zeros((WIDTH,), tl.float32)
    for start in range(tl.program_id(0) * ROWS, rows, tl.num_programs(0) * ROWS):
        row = (start + tl.arange(0, ROWS)).to(tl.int64)
        inside = (row < rows)[:, None] & across[None, :]
        at = row[:, None] * DIM + column[None, :]
        total, kept = _sum(x, added, seeds, at, inside, DROPPED)
        inverse = tl.load(scale + row, row < rows, 0.0)[:, None]
        normal = (total - tl.load(mean + row, row < rows, 0.0)[:, None]) * inverse
        grad = tl.zeros((ROWS, WIDTH), tl.float32)
        if HAS_STREAM:
            grad += tl.load(of_stream + at, inside, 0.0).to(tl.float32)
        if HAS_LOW:
            grad += tl.load(of_low + at, inside, 0.0).to(tl.float32)
        of_weight += tl.sum(grad * normal, 0)
        of_bias += tl.sum(grad, 0)
        grad *= by  # 0 outside, where `normal` is not
        along = tl.sum(grad * normal, 1) / DIM
        level = tl.sum(grad, 1) / DIM
        result = (grad - level[:, None] - normal * along[:, None]) * inverse
        tl.store(of_x + at, result.to(of_x.dtype.element_ty), inside)
        result = tl.where(kept, result * (65536 / (65536 - DROPPED)), 0.0)
        tl.store(of_added + at, result.to(of_added.dtype.element_ty), inside)
    tl.store(sums + tl.program_id(0) * (2 * DIM) + column, of_weight, across)
    tl.store(sums + tl.program_id(0) * (2 * DIM) + DIM + column, of_bias, across)
