"""The hash that decides on dropout, in Triton; `models/dropout.py` computes the same with torch."""

import triton
import triton.language as tl

from fairseq_xling.kernels.constants import HASH_FACTORS

SPREAD, FIRST, SECOND = (tl.constexpr(factor) for factor in HASH_FACTORS)


@triton.jit
def hashed(numbers, seeds):
    """uint32 of any shape to the same; `seeds` points to two int32."""
    x = (numbers + tl.load(seeds).to(tl.uint32, bitcast=True)) * SPREAD
    x = (x ^ (x >> 16)) * FIRST ^ tl.load(seeds + 1).to(tl.uint32, bitcast=True)
    x = (x ^ (x >> 15)) * SECOND
    return x ^ (x >> 16)
