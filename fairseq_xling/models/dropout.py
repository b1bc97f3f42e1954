"""Dropout whose masks are cheap on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS = 2**16
"""A probability is rounded to a multiple of one part in so many; what stays is scaled by the rounded one."""


def dropout(x: Tensor, probability: float) -> Tensor:
    """Elements are zero with `probability`, independently; the others are scaled so that the mean stays.

    On a CPU torch draws a random number of 32 bits and more for each element, which at the paper's shape takes a tenth
    of an update. Here 16 bits of torch's generator decide on an element. On other devices: torch's own.
    """
    if probability == 0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, probability)
    return x * _mask(x, probability)


def _mask(x: Tensor, probability: float) -> Tensor:
    """0 or 1 / (1 - probability), in the shape and type of `x`."""
    dropped = min(round(probability * STEPS), STEPS)
    if dropped == STEPS:
        return torch.zeros_like(x)
    bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    kept = bits.view(torch.int16)[: x.numel()] >= dropped - STEPS // 2
    return kept.to(x.dtype).mul_(STEPS / (STEPS - dropped)).view(x.shape)


class Dropout(nn.Module):
    """`dropout` in training, nothing otherwise.

    Parameters
    ----------
    probability : float
    """

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return dropout(x, self.probability) if self.training else x
