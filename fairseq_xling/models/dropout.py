"""Dropout whose masks are cheap: on a CPU, and in layers that torch.compile has made for a GPU."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_xling.kernels.constants import HASH_FACTORS

STEPS = 2**15
"""A probability is rounded to a multiple of one part in so many; what stays is scaled by the rounded one."""


def dropout(x: Tensor, probability: float) -> Tensor:
    """Elements are zero with `probability`, independently; the others are scaled so that the mean stays.

    On a CPU torch draws a random number of 32 bits and more for each element, which at the paper's shape takes a tenth
    of an update. Here 15 random bits decide on an element. On other devices: torch's own.
    """
    if probability == 0 or x.numel() == 0:  # empty: a small batch in which no token is predicted
        return x
    if cheap_masks(x):
        return x * _mask(x, probability)
    return F.dropout(x, probability)


def cheap_masks(x: Tensor) -> bool:
    """Whether `dropout` makes its own masks for `x`: on a CPU, outside of code that torch.compile is making."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def _mask(x: Tensor, probability: float) -> Tensor:
    """0 or 1 / (1 - probability), in the shape and type of `x`."""
    dropped = min(round(probability * STEPS), STEPS)
    if dropped == STEPS:
        return torch.zeros_like(x)
    kept, scale = _kept(x.numel(), dropped), STEPS / (STEPS - dropped)
    if x.dtype == torch.bfloat16:  # as wide as the lanes: the bits of the scale where it stays
        bits = torch.tensor(scale, dtype=x.dtype).view(torch.int16).item()
        return kept.bitwise_and_(bits).view(x.dtype).view(x.shape)
    return kept.to(x.dtype).mul_(-scale).view(x.shape)


def _kept(count: int, dropped: int) -> Tensor:
    """(count,) int16: 0 for `dropped` parts in `STEPS`, -1 for the others; whole vectors of integers in place."""
    lanes = _random_words((count + 3) // 4).view(torch.int16)
    lanes.bitwise_or_(-STEPS)  # -STEPS to -1, evenly
    lanes.sub_(dropped)  # the lowest wrap round and become positive
    return lanes.bitwise_right_shift_(15)[:count]  # the sign, in every bit


def _random_words(count: int) -> Tensor:
    """(count,) int64, every bit random: from a generator twice as fast as torch's, which torch's seeds every time."""
    seed = int(torch.empty((), dtype=torch.int64).random_())
    return torch.from_numpy(np.random.SFC64(seed).random_raw(count).view(np.int64))


def random_seeds(like: Tensor, *shape: int) -> Tensor:
    """int32 of a shape, every bit random, on the device of `like`."""
    return torch.empty(shape, dtype=torch.int32, device=like.device).random_(-(2**31), 2**31)


def dropout_by(x: Tensor, probability: float, seeds: Tensor) -> Tensor:
    """As `dropout`, in steps of 2^-16, where a hash of an element's number and of two seeds decides.

    torch.compile's dropout makes four random numbers for each element and uses one: on a GPU, that takes longer than
    all else that a fused kernel does with the element. A hash takes a dozen operations on integers and no memory.

    Parameters
    ----------
    x : any shape
    probability : float
    seeds : (2,) int32
        From `random_seeds`.
    """
    dropped = round(probability * 2**16)
    if dropped >= 2**16:
        return torch.zeros_like(x)
    number = torch.arange(x.numel(), dtype=torch.int32, device=x.device).view(x.shape)
    return torch.where((_hash(number, seeds) & 0xFFFF) < dropped, 0, x * (2**16 / (2**16 - dropped)))


def _hash(number: Tensor, seeds: Tensor) -> Tensor:
    """A hash of 32 bits for each number, as int32.

    The second seed comes in between the two multiplications; with both at the start, two masks could be the same one
    shifted.
    """
    spread, first, second = (factor - 2**32 if factor >= 2**31 else factor for factor in HASH_FACTORS)
    x = (number + seeds[0]) * spread  # in this order: torch.compile would multiply by the factor beyond 32 bits
    x = (x ^ _shifted(x, 16)) * first ^ seeds[1]
    x = (x ^ _shifted(x, 15)) * second
    return x ^ _shifted(x, 16)


def _shifted(x: Tensor, places: int) -> Tensor:
    """To the right, zeros coming in from the left, as if int32 had no sign."""
    return (x >> places) & (2 ** (32 - places) - 1)


class Dropout(nn.Module):
    """`dropout` in training, nothing otherwise.

    Parameters
    ----------
    probability : float
    """

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Any shape to the same; two `seeds` decide where they are given."""
        if not (self.training and self.probability):
            return x
        return dropout(x, self.probability) if seeds is None else dropout_by(x, self.probability, seeds)
