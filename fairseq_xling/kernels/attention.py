"""Self-attention of short rows as two Triton kernels, for layers that torch.compile makes for a GPU.

The fused kernels of torch are made for long rows. In rows of 256 tokens, all queries of a head, their gradients and the
statistics of the softmax fit into what one multiprocessor has, so the backward pass is one kernel without sums over
others' results, and it writes the gradients of queries, keys and values to where the next product reads them.

Importing this module needs Triton. It defines ``torch.ops.fairseq_xling.attention``.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fairseq_xling.kernels.constants import HEAD as WIDTH
from fairseq_xling.kernels.hashing import hashed

BLOCK = 64
"""Queries (forward), or keys, of a step."""

SHARED_MEMORY = 184_320
"""Bytes that the backward kernel needs at most."""

LOG2_E = tl.constexpr(1.4426950408889634)
SCALE = tl.constexpr(WIDTH**-0.5)
D = tl.constexpr(WIDTH)


def available() -> bool:
    """Whether the present GPU is one of those that the kernels are made for: NVIDIA's from the H100 on."""
    if not torch.cuda.is_available() or torch.version.hip or torch.cuda.get_device_capability() < (9, 0):
        return False
    properties: Any = torch.cuda.get_device_properties(torch.cuda.current_device())
    return properties.shared_memory_per_block_optin >= SHARED_MEMORY


@torch.library.custom_op("fairseq_xling::attention", mutates_args=())
def attention(qkv: Tensor, seeds: Tensor, heads: int, dropped: int) -> tuple[Tensor, Tensor]:
    """Softmax attention with dropout of its weights.

    Parameters
    ----------
    qkv : (batch, length, 3 heads 64) bfloat16
        Queries, keys and values of each token, one after the other; contiguous. `length` as in `constants.LENGTHS`.
    seeds : (2,) int32
        Decide on what is dropped; see `dropout.dropout_by`. One hash decides on two keys.
    heads : int
    dropped : int
        Parts in 2^16 of the weights that are dropped.

    Returns
    -------
    out : (batch, length, heads 64) bfloat16
    lse : (batch heads, length) float32
        Logarithm, to the base of 2, of the sum that the weights are divided by; it has no gradient.
    """
    batch, length, _ = qkv.shape
    out = qkv.new_empty(batch, length, heads * WIDTH)
    lse = qkv.new_empty(batch * heads, length, dtype=torch.float32)
    sizes: dict[str, Any] = {"HEADS": heads, "LENGTH": length, "DROPPED": dropped, "BLOCK": BLOCK, "STAGES": 3}
    _attention_forward[(batch * heads * (length // BLOCK),)](qkv, out, lse, seeds, **sizes, num_warps=4)
    return out, lse


@torch.library.custom_op("fairseq_xling::attention_backward", mutates_args=())
def attention_backward(
    qkv: Tensor, seeds: Tensor, out: Tensor, lse: Tensor, grad: Tensor, heads: int, dropped: int
) -> Tensor:
    """The gradient of `qkv`, from that of `out`; the mask is drawn again."""
    batch, length, _ = qkv.shape
    result = torch.empty_like(qkv)
    stages, warps = (2, 4) if length == BLOCK else (2, 8) if length == 2 * BLOCK else (3, 8)
    sizes: dict[str, Any] = {"HEADS": heads, "LENGTH": length, "DROPPED": dropped, "BLOCK": BLOCK, "STAGES": stages}
    rows = triton.next_power_of_2(length)
    _attention_backward[(batch * heads,)](
        qkv, out, lse, seeds, grad.contiguous(), result, **sizes, ROWS=rows, num_warps=warps
    )
    return result


@attention.register_fake
def _(qkv: Tensor, seeds: Tensor, heads: int, dropped: int) -> tuple[Tensor, Tensor]:
    batch, length, width = qkv.shape
    return qkv.new_empty(batch, length, width // 3), qkv.new_empty(batch * heads, length, dtype=torch.float32)


@attention_backward.register_fake
def _(qkv: Tensor, seeds: Tensor, out: Tensor, lse: Tensor, grad: Tensor, heads: int, dropped: int) -> Tensor:
    return torch.empty_like(qkv)


def _keep_for_backward(ctx: Any, inputs: tuple[Tensor, Tensor, int, int], output: tuple[Tensor, Tensor]) -> None:
    qkv, seeds, ctx.heads, ctx.dropped = inputs
    ctx.save_for_backward(qkv, seeds, *output)
    ctx.set_materialize_grads(False)


def _gradient(ctx: Any, grad: Tensor, _: None) -> tuple[Tensor, None, None, None]:
    return attention_backward(*ctx.saved_tensors, grad, ctx.heads, ctx.dropped), None, None, None


attention.register_autograd(_gradient, setup_context=_keep_for_backward)


@triton.jit
def _kept(rows, start, seeds, LENGTH: tl.constexpr, BLOCK: tl.constexpr, DROPPED: tl.constexpr):
    """Whether weights stay, of query `rows` (counted over all heads) and BLOCK keys; a hash serves two neighbours."""
    pairs = (start // 2 + tl.arange(0, BLOCK // 2)).to(tl.uint32)
    x = hashed((rows * (LENGTH // 2)).to(tl.uint32)[:, None] + pairs[None, :], seeds)
    return tl.reshape(tl.join((x & 0xFFFF) >= DROPPED, (x >> 16) >= DROPPED), (rows.shape[0], BLOCK))


@triton.jit
def _attention_forward(
    qkv, out, lse, seeds,
    HEADS: tl.constexpr, LENGTH: tl.constexpr, DROPPED: tl.constexpr, BLOCK: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """BLOCK queries of a head, against as many keys at a time (Dao 2023, FlashAttention-2)."""
    BLOCKS: tl.constexpr = LENGTH // BLOCK
    STRIDE: tl.constexpr = 3 * HEADS * D
    head = tl.program_id(0) // BLOCKS
    rows = (tl.program_id(0) % BLOCKS) * BLOCK + tl.arange(0, BLOCK)
    across = tl.arange(0, D)
    start = (head // HEADS).to(tl.int64) * LENGTH
    base = qkv + start * STRIDE + (head % HEADS) * D
    queries = tl.load(base + rows[:, None] * STRIDE + across[None, :])
    most = tl.full((BLOCK,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    mixed = tl.zeros((BLOCK, D), tl.float32)
    # A zero that the compiler does not know to be one. With a constant it would apply the mask after rounding to 16
    # bits, where it has to unpack the values and pack them again.
    zero = tl.program_id(1).to(tl.float32)
    for n in tl.range(0, LENGTH, BLOCK, num_stages=STAGES):
        at = base + (n + tl.arange(0, BLOCK))[:, None] * STRIDE + across[None, :]
        keys = tl.load(at + HEADS * D)
        values = tl.load(at + 2 * HEADS * D)
        scores = tl.dot(queries, tl.trans(keys), input_precision="ieee")
        above = tl.maximum(most, tl.max(scores, 1) * (SCALE * LOG2_E))
        weights = tl.exp2(scores * (SCALE * LOG2_E) - above[:, None])
        shrink = tl.exp2(most - above)
        total = total * shrink + tl.sum(weights, 1)
        if DROPPED > 0:
            weights = tl.where(_kept(head * LENGTH + rows, n, seeds, LENGTH, BLOCK, DROPPED), weights, zero)
        mixed = tl.dot(weights.to(values.dtype), values, mixed * shrink[:, None], input_precision="ieee")
        most = above
    tl.store(lse + head * LENGTH + rows, most + tl.log2(total))
    mixed *= (65536 / (65536 - DROPPED) / total)[:, None]
    at = out + start * (HEADS * D) + (head % HEADS) * D + rows[:, None] * (HEADS * D) + across[None, :]
    tl.store(at, mixed.to(out.dtype.element_ty))


@triton.jit
def _attention_backward(
    qkv, out, lse, seeds, grad, result,
    HEADS: tl.constexpr, LENGTH: tl.constexpr, DROPPED: tl.constexpr, BLOCK: tl.constexpr, STAGES: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    """A head: all its queries against BLOCK keys at a time, whose gradients are then complete.

    Gradients of keys and values are computed transposed, so that products read what is in shared memory as it is.
    """
    STRIDE: tl.constexpr = 3 * HEADS * D
    FACTOR: tl.constexpr = 65536 / (65536 - DROPPED)
    head = tl.program_id(0)
    start = (head // HEADS).to(tl.int64) * LENGTH
    base = start * STRIDE + (head % HEADS) * D
    across = tl.arange(0, D)
    rows = tl.arange(0, ROWS)
    at_out = start * (HEADS * D) + (head % HEADS) * D + rows[:, None] * (HEADS * D) + across[None, :]
    at_queries = base + rows[:, None] * STRIDE + across[None, :]
    if ROWS == LENGTH:
        of_out = tl.load(grad + at_out)
        mixed = tl.load(out + at_out)
        queries = tl.load(qkv + at_queries)
        sums = tl.load(lse + head * LENGTH + rows)
    else:  # rows of zeros, which add nothing
        there = rows < LENGTH
        of_out = tl.load(grad + at_out, there[:, None], 0.0)
        mixed = tl.load(out + at_out, there[:, None], 0.0)
        queries = tl.load(qkv + at_queries, there[:, None], 0.0)
        sums = tl.load(lse + head * LENGTH + rows, there, 0.0)
    delta = tl.sum(of_out.to(tl.float32) * mixed.to(tl.float32), 1) * (1 / FACTOR)
    of_queries = tl.zeros((ROWS, D), tl.float32)
    for n in tl.range(0, LENGTH, BLOCK, num_stages=STAGES):
        at = base + (n + tl.arange(0, BLOCK))[:, None] * STRIDE + across[None, :]
        keys = tl.load(qkv + at + HEADS * D)
        values = tl.load(qkv + at + 2 * HEADS * D)
        scores = tl.dot(queries, tl.trans(keys), input_precision="ieee")
        weights = tl.exp2(scores * (SCALE * LOG2_E) - sums[:, None])
        of_weights = tl.dot(of_out, tl.trans(values), input_precision="ieee")
        kept = weights
        if DROPPED > 0:
            kept = tl.where(_kept(head * LENGTH + rows, n, seeds, LENGTH, BLOCK, DROPPED), weights, 0.0)
        of_scores = (kept * of_weights - weights * delta[:, None]).to(queries.dtype)
        of_values = tl.dot(tl.trans(of_out), kept.to(of_out.dtype), input_precision="ieee")
        tl.store(result + at + 2 * HEADS * D, tl.trans((of_values * FACTOR).to(result.dtype.element_ty)))
        of_keys = tl.dot(tl.trans(queries), of_scores, input_precision="ieee")
        of_queries = tl.dot(of_scores, keys, of_queries, input_precision="ieee")
        tl.store(result + at + HEADS * D, tl.trans((of_keys * (SCALE * FACTOR)).to(result.dtype.element_ty)))
    of_queries = (of_queries * (SCALE * FACTOR)).to(result.dtype.element_ty)
    if ROWS == LENGTH:
        tl.store(result + at_queries, of_queries)
    else:
        tl.store(result + at_queries, of_queries, (rows < LENGTH)[:, None])
