"""Cross-entropy of scores in bfloat16, without a copy of all of them in float32."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

ELEMENTS = 2**20
"""Scores that are in float32 at a time: they stay in the cache."""


def cross_entropy_sum(scores: Tensor, target: Tensor) -> Tensor:
    """Sum of the losses in nats, computed in float32 whatever the type of the scores.

    On a CPU, scores in bfloat16 are worked on row by row, and where a gradient is asked for, it takes their place, in
    bfloat16 as ever: the scores are gone then.

    Parameters
    ----------
    scores : (n, vocabulary)
    target : (n,) int64

    Returns
    -------
    scalar float32
    """
    if scores.dtype == torch.bfloat16 and scores.device.type == "cpu":
        return _CrossEntropy.apply(scores, target)
    return F.cross_entropy(scores.float(), target, reduction="sum")


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, target: Tensor) -> Tensor:
        ctx.gradient = scores.detach() if ctx.needs_input_grad[0] else None
        loss = torch.zeros((), dtype=torch.float32)
        rows = max(ELEMENTS // max(scores.shape[1], 1), 1)
        for start in range(0, len(scores), rows):
            part, wanted = scores[start : start + rows], target[start : start + rows, None]
            logs = part.float().log_softmax(-1)
            loss -= logs.gather(1, wanted).sum()
            if ctx.gradient is not None:
                part.detach().copy_(logs.exp_().scatter_add_(1, wanted, torch.full(wanted.shape, -1.0)))
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.gradient * grad.to(ctx.gradient.dtype) if grad != 1 else ctx.gradient, None
