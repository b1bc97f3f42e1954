"""Cross-entropy of scores in bfloat16 as one Triton kernel, which writes the gradient over the scores.

A row is read twice, for the sum of its exponentials and for the gradient, by one block of threads. At the paper's shape
a row has 158 kB, and those that a GPU works on at a time stay in its cache until the second reading.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from fairseq_xling.data.labelled import IGNORED

BLOCK = 16_384
"""Scores that a block of threads has in its registers."""

WARPS = 32
"""Few rows are worked on at a time, so that they fit into the cache."""

LOG2_E = tl.constexpr(1.4426950408889634)
LEAST = tl.constexpr(-1e30)
"""Below every score; with -inf in its place, the difference to a word of probability 0 would be no number."""


def cross_entropy_sum(scores: Tensor, target: Tensor) -> Tensor:
    """As `cross_entropy.cross_entropy_sum`, on a GPU; rows must be contiguous."""
    return _CrossEntropy.apply(scores, target)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, target: Tensor) -> Tensor:
        ctx.gradient = scores.detach() if ctx.needs_input_grad[0] else None
        rows, words = scores.shape
        losses = scores.new_empty(rows, dtype=torch.float32)
        if rows:
            write = ctx.gradient is not None
            sizes = {"BLOCK": min(BLOCK, triton.next_power_of_2(words)), "num_warps": WARPS}
            _loss_rows[(rows,)](scores, target, losses, scores.stride(0), words, IGNORED, WRITE=write, **sizes)
        return losses.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        gradient = ctx.gradient
        rows, words = gradient.shape
        if rows:
            _scale_gradient[(rows,)](gradient, grad, gradient.stride(0), words, BLOCK=1024, num_warps=4)
        return gradient, None


@triton.jit
def _loss_rows(scores, target, losses, stride, words, ignored, WRITE: tl.constexpr, BLOCK: tl.constexpr):
    """Loss of one row in nats, and its gradient over its scores; exponentials to the base of 2, which a GPU has."""
    row = tl.program_id(0).to(tl.int64)
    scores += row * stride
    wanted = tl.load(target + row)
    counts = wanted != ignored
    columns = tl.arange(0, BLOCK)
    most = tl.full((), LEAST, tl.float32)
    sums = tl.zeros([BLOCK], tl.float32)
    for start in range(0, words, BLOCK):
        x = tl.load(scores + start + columns, start + columns < words, LEAST, eviction_policy="evict_last")
        x = x.to(tl.float32)
        above = tl.maximum(most, tl.max(x, 0))
        sums = sums * tl.exp2((most - above) * LOG2_E) + tl.exp2(x * LOG2_E - above * LOG2_E)
        most = above
    total = most * LOG2_E + tl.log2(tl.sum(sums, 0))
    of_wanted = tl.load(scores + wanted, counts, 0.0).to(tl.float32)
    tl.store(losses + row, tl.where(counts, total / LOG2_E - of_wanted, 0.0))
    if WRITE:
        total = tl.where(counts, total, float("inf"))  # then all gradients are 0
        tl.debug_barrier()  # the wanted score is read before it is written over
        for start in range(0, words, BLOCK):
            inside = start + columns < words
            x = tl.load(scores + start + columns, inside, LEAST, eviction_policy="evict_first")
            tl.store(scores + start + columns, tl.exp2(x.to(tl.float32) * LOG2_E - total).to(tl.bfloat16), inside)
        tl.debug_barrier()
        gradient = tl.exp2(of_wanted * LOG2_E - total) - 1.0
        tl.store(scores + wanted, gradient.to(tl.bfloat16), counts)


@triton.jit
def _scale_gradient(gradient, factor, stride, words, BLOCK: tl.constexpr):
    """One row times a factor on the device, which is 1 as a rule: then nothing is read."""
    by = tl.load(factor)
    if by != 1.0:
        gradient += tl.program_id(0).to(tl.int64) * stride
        for start in range(0, words, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            x = tl.load(gradient + columns, columns < words, 0.0)
            tl.store(gradient + columns, (x.to(tl.float32) * by).to(tl.bfloat16), columns < words)
