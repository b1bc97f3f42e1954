"""A narrow Transformer layer on a CPU as one C function each for its forward and its backward pass.

In a layer of width 64 torch's products, attention and norms are so short that most of the time goes into what lies
between them. `small_layer.c` has no such gaps. It is compiled when it is first needed (`c_library.py`). Where that
fails, torch's kernels do the same in about twice the time; the log says so. ``XLING_NO_KERNEL=1`` switches it off.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.module import _has_any_global_hook

from fairseq_xling import kernels
from fairseq_xling.models import c_library
from fairseq_xling.models.linear import Linear

logger = logging.getLogger(__name__)

SOURCES = tuple(map(Path(__file__).with_suffix, (".c", ".h")))
"""The first is compiled, and includes the others."""

WIDEST = 128
"""Width up to which the kernel is used: at 128 it is still a tenth faster than torch with one thread."""

LONGEST = 256
"""Positions up to which the kernel is used: it keeps all attention weights."""

SHARED_WORK = 2**25
"""Positions times weights up to which the kernel, which has one thread, is faster than several of torch's."""

STEP = 16
"""All widths are multiples of this."""

KINDS = (Linear, Linear, nn.LayerNorm, Linear, Linear, nn.LayerNorm)
"""The parts of a layer that have parameters."""

PLAIN = (nn.Parameter, Tensor)

ADDRESSES = ctypes.c_void_p * (2 * len(KINDS))


# ---- the compiled library


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernel; ``None`` where there is none."""
    if not kernels.wanted():
        return None
    try:
        return _declared(ctypes.CDLL(str(c_library.compiled(SOURCES))))
    except (OSError, subprocess.SubprocessError, AttributeError) as error:
        logger.info("narrow layers run with torch's kernels, which are slower: %s", error)
        return None


def _declared(loaded: ctypes.CDLL) -> ctypes.CDLL:
    """With the types of the arguments, all of them addresses."""
    for name, count, result in (
        ("layer_sizes", 2, None),
        ("layer_forward", 8, ctypes.c_int),
        ("layer_backward", 8, None),
    ):
        function = getattr(loaded, name)
        function.argtypes, function.restype = [ctypes.c_void_p] * count, result
    return loaded


# ---- whether it applies


def parameters(
    layer: Any, kinds: tuple[type, ...], x: Tensor, attend: Tensor | None, only: Tensor | None
) -> list[Tensor] | None:
    """The parameters of a `TransformerLayer` in the kernel's order, or ``None`` where the kernel is not to be used.

    It is used on a CPU, in float32, without dropout, where nobody looks at or changes what parts of the layer do.
    `kinds` are the classes of the layer's attention, feed-forward part and dropout.
    """
    if (
        torch.compiler.is_compiling()
        or type(x) is not Tensor
        or not x.is_cpu
        or x.dtype is not torch.float32
        or torch.is_autocast_enabled("cpu")
        or torch._C._len_torch_dispatch_stack()
        or torch._C._are_functorch_transforms_active()
        or _has_any_global_hook()
        or not _fitting(x.shape, attend, only)
        or library() is None
    ):
        return None
    found = _plain_parameters(layer, kinds)
    return found if found is not None and _regular(found, x.shape, layer._modules["attention"].heads) else None


def _fitting(shape: torch.Size, attend: Tensor | None, only: Tensor | None) -> bool:
    """Whether the input is one that the kernel takes and is fast for."""
    if len(shape) != 3 or not 0 < shape[1] <= LONGEST or not 0 < shape[2] <= WIDEST or not shape[0]:
        return False
    if only is not None and not (only.dtype is torch.int64 and only.is_cpu and only.dim() == 1 and len(only)):
        return False
    return attend is None or (
        attend.dtype is torch.bool and attend.is_cpu and attend.shape == (shape[0], 1, 1, shape[1])
    )


def _plain_parameters(layer: Any, kinds: tuple[type, ...]) -> list[Tensor] | None:
    """See `parameters`; looked up in dictionaries, as attributes of modules are slow."""
    parts = layer._modules
    attention, feed_forward, dropout = parts["attention"], parts["feed_forward"], parts["dropout"]
    if (type(attention), type(feed_forward), type(dropout)) != kinds:
        return None
    if (dropout.training and dropout.probability) or (attention.training and attention.dropout):
        return None
    inner, outer = attention._modules, feed_forward._modules
    norms = parts["attention_norm"], parts["feed_forward_norm"]
    maps = inner["qkv"], inner["out"], norms[0], outer["expand"], outer["out"], norms[1]
    if tuple(map(type, maps)) != KINDS:
        return None
    for part in (attention, feed_forward, dropout, *maps):  # written out: this is done for every layer of every update
        if part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks:
            return None
    return [parameter for part in maps for parameter in part._parameters.values()]  # weight, bias


def _regular(found: list[Any], shape: torch.Size, heads: int) -> bool:
    """Whether parameters, of which a bias may be ``None``, are as the kernel takes them, and it is fast for them."""
    for parameter in found:
        if type(parameter) not in PLAIN or parameter.dtype is not torch.float32:
            return False
        if not parameter.is_cpu or not parameter.is_contiguous():
            return False
    batch, length, dim = shape
    hidden = found[6].shape[0]
    if torch.get_num_threads() > 1 and batch * length * dim * (4 * dim + 2 * hidden) > SHARED_WORK:
        return False
    if dim % STEP or hidden % STEP or dim % heads or dim // heads % STEP:
        return False
    return [parameter.shape for parameter in found] == _shapes(dim, hidden)


@functools.lru_cache
def _shapes(dim: int, hidden: int) -> list[tuple[int, ...]]:
    """Of the parameters."""
    maps = (3 * dim, dim), (dim, dim), (dim,), (hidden, dim), (dim, hidden), (dim,)
    return [shape for weight in maps for shape in (weight, weight[:1])]


# ---- the layer


class _Shape(ctypes.Structure):
    """As in the C file."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("sentences", "length", "dim", "heads", "hidden", "wanted", "norm_before", "keep")
    ]


@functools.lru_cache(maxsize=4096)
def _plan(kernel: ctypes.CDLL, *sizes: int) -> tuple[Any, int, int]:
    """The shape for the kernel, and how many floats it needs: kept for the backward pass, to work in."""
    shape, memory = _Shape(*sizes), (ctypes.c_int64 * 2)()
    kernel.layer_sizes(ctypes.byref(shape), memory)
    return shape, *memory


_own = threading.local()


def _workspace(count: int) -> int:
    """Address of memory for `count` floats, the same at every call of a thread, so that it stays in the cache."""
    memory = getattr(_own, "memory", None)
    if memory is None or len(memory) < count:
        memory = _own.memory = _floats(count)
    return memory.data_ptr()


def _floats(count: int) -> Tensor:
    return torch.empty(count, dtype=torch.float32, device="cpu")


def layer(
    x: Tensor, attend: Tensor | None, only: Tensor | None, heads: int, norm_before: bool, weights: list[Tensor]
) -> Tensor:
    """What `TransformerLayer.forward` gives, with `weights` from `parameters`.

    Raises
    ------
    IndexError
        A wanted position that does not exist.
    """
    if torch.is_grad_enabled() and (x.requires_grad or any(weight.requires_grad for weight in weights)):
        return _Layer.apply(x, attend, only, heads, norm_before, *weights)
    return _forward(x.contiguous(), attend, only, heads, norm_before, weights, False)[0]


def _forward(
    x: Tensor,
    attend: Tensor | None,
    only: Tensor | None,
    heads: int,
    norm_before: bool,
    weights: Sequence[Tensor],
    keep: bool,
) -> tuple[Tensor, Tensor | None, Any]:
    """The layer's result, what is kept for the backward pass, and the plan."""
    kernel = library()
    assert kernel is not None
    attend = None if attend is None else attend.contiguous()
    only = None if only is None else only.contiguous()
    batch, length, dim = x.shape
    wanted = -1 if only is None else len(only)
    plan = _plan(kernel, batch, length, dim, heads, len(weights[6]), wanted, norm_before, keep)
    shape, kept, needed = plan
    y = torch.empty_like(x) if only is None else x.new_empty(wanted, dim)
    saved = _floats(kept) if keep else None
    work = _workspace(needed if keep else needed + kept)
    done = kernel.layer_forward(
        ctypes.byref(shape),
        x.data_ptr(),
        None if attend is None else attend.data_ptr(),
        None if only is None else only.data_ptr(),
        ADDRESSES(*[weight.data_ptr() for weight in weights]),
        y.data_ptr(),
        work + 4 * needed if saved is None else saved.data_ptr(),
        work,
    )
    if not done:
        raise IndexError("a wanted position lies outside of the batch")
    return y, saved, plan


class _Layer(torch.autograd.Function):
    """The layer with its gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, attend: Tensor | None, only: Tensor | None, heads: int, norm_before: bool, *weights: Tensor
    ) -> Tensor:
        x = x.contiguous()
        y, saved, ctx.plan = _forward(x, attend, only, heads, norm_before, weights, True)
        ctx.save_for_backward(x, saved, *weights)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, saved, *weights = ctx.saved_tensors
        shape, _, needed = ctx.plan
        wants_x, _, _, _, _, *wanted = ctx.needs_input_grad
        x_grad = torch.empty_like(x) if wants_x else None
        grads = [torch.empty_like(weight) if want else None for weight, want in zip(weights, wanted)]
        grad, kernel = grad.contiguous(), library()
        assert kernel is not None
        kernel.layer_backward(
            ctypes.byref(shape),
            x.data_ptr(),
            ADDRESSES(*[weight.data_ptr() for weight in weights]),
            saved.data_ptr(),
            grad.data_ptr(),
            None if x_grad is None else x_grad.data_ptr(),
            ADDRESSES(*[None if made is None else made.data_ptr() for made in grads]),
            _workspace(needed),
        )
        return x_grad, None, None, None, None, *grads
