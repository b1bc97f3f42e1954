"""torch.compile of the layers, which on a GPU makes few passes over memory of many small operations."""

from __future__ import annotations

import importlib.util
import logging
import shutil
from typing import Any

import torch
from torch import nn

from fairseq_xling import kernels
from fairseq_xling.models.c_library import COMPILERS
from fairseq_xling.models.encoder import XlingEncoder
from fairseq_xling.models.fused_layers import FusedLayers
from fairseq_xling.models.layers import TransformerLayer, input_layer

logger = logging.getLogger(__name__)


def can_compile() -> bool:
    """Whether torch.compile has what it needs for a GPU; a warning where it has not."""
    if importlib.util.find_spec("triton") is None or not any(map(shutil.which, COMPILERS)):
        logger.warning("--torch-compile needs Triton and a C compiler; training goes on without it")
        return False
    return True


def start_workers() -> None:
    """Start the processes that compile for torch.compile now; it would start them when they are first needed."""
    from torch._inductor.async_compile import AsyncCompile

    AsyncCompile.warm_pool()


def compile_layers(model: nn.Module, **options: Any) -> None:
    """Compile every layer of a model and what makes their input; all layers of a kind share one compilation.

    `options` are those of torch.compile.
    """
    fused = FusedLayers(**options) if _has_kernels() else None
    for module in model.modules():
        if isinstance(module, TransformerLayer):
            module.compile(**options)
        elif isinstance(module, XlingEncoder):
            module.input_layer = torch.compile(input_layer, **options)
            module.wants_seeds, module.fused = True, fused


def _has_kernels() -> bool:
    """Define ``torch.ops.fairseq_xling.attention`` and ``residual_norm``, if Triton and the GPU are there for them."""
    if not kernels.wanted() or not torch.cuda.is_available() or importlib.util.find_spec("triton") is None:
        return False
    from fairseq_xling.kernels import attention, residual_norm  # noqa: F401

    return attention.available()
