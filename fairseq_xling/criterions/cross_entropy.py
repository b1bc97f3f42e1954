"""Cross-entropy of scores in bfloat16, without a copy of all of them in float32."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from fairseq_xling.data.labelled import IGNORED

ELEMENTS = {"cpu": 2**20, "cuda": 2**25}
"""Scores that are in float32 at a time, by kind of device: they stay in the cache, and keep the device busy."""


def cross_entropy_sum(scores: Tensor, target: Tensor) -> Tensor:
    """Sum of the losses in nats, computed in float32 whatever the type of the scores.

    Scores in bfloat16 are worked on in parts, and where a gradient is asked for, it takes their place, in bfloat16 as
    ever: the scores are gone then.

    Parameters
    ----------
    scores : (n, vocabulary)
    target : (n,) int64
        `IGNORED` where a row counts nothing.

    Returns
    -------
    scalar float32
    """
    if scores.dtype == torch.bfloat16 and scores.device.type in ELEMENTS:
        return _CrossEntropy.apply(scores, target)
    return plain_cross_entropy_sum(scores, target)


def plain_cross_entropy_sum(scores: Tensor, target: Tensor) -> Tensor:
    """As `cross_entropy_sum`, with torch's operations; torch.compile makes few passes of them."""
    return F.cross_entropy(scores.float(), target, reduction="sum", ignore_index=IGNORED)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, target: Tensor) -> Tensor:
        ctx.gradient = scores.detach() if ctx.needs_input_grad[0] else None
        losses = scores.new_empty(len(scores), dtype=torch.float32)
        rows = max(ELEMENTS[scores.device.type] // max(scores.shape[1], 1), 1)
        for start in range(0, len(scores), rows):
            part, wanted = scores.detach()[start : start + rows], target[start : start + rows, None]
            counted, wanted = wanted != IGNORED, wanted.clamp(min=0)
            logs = part.log_softmax(-1, dtype=torch.float32)
            of_wanted = logs.gather(1, wanted)
            losses[start : start + rows] = torch.where(counted, -of_wanted, 0)[:, 0]
            if ctx.gradient is not None:
                part.copy_(logs.exp_())
                part.scatter_(1, wanted, (of_wanted.exp() - 1).to(part.dtype))
                if part.device.type != "cpu" or not counted.all():  # elsewhere the question would wait
                    part.masked_fill_(~counted, 0)
        return losses.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        if grad.device.type == "cpu" and grad == 1:
            return ctx.gradient, None
        torch._foreach_mul_([ctx.gradient], grad.to(ctx.gradient.dtype))  # one fast pass over memory; `mul_` takes four
        return ctx.gradient, None
