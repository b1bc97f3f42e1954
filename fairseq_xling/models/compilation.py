"""torch.compile of the layers, which on a GPU makes few passes over memory of many small operations."""

from __future__ import annotations

import importlib.util
import logging
import shutil
from typing import Any

import torch
from torch import nn

from fairseq_xling.models.c_library import COMPILERS
from fairseq_xling.models.encoder import XlingEncoder, input_layer
from fairseq_xling.models.layers import TransformerLayer

logger = logging.getLogger(__name__)


def can_compile() -> bool:
    """Whether torch.compile has what it needs for a GPU; a warning where it has not."""
    if importlib.util.find_spec("triton") is None or not any(map(shutil.which, COMPILERS)):
        logger.warning("--torch-compile needs Triton and a C compiler; training goes on without it")
        return False
    return True


def compile_layers(model: nn.Module, **options: Any) -> None:
    """Compile every layer of a model and what makes their input; all layers of a kind share one compilation.

    `options` are those of torch.compile.
    """
    fused = _has_fused_attention()
    for module in model.modules():
        if isinstance(module, TransformerLayer):
            module.attention.fused = fused
            module.compile(**options)
        elif isinstance(module, XlingEncoder):
            module.input_layer = torch.compile(input_layer, **options)
            module.wants_seeds = True


def _has_fused_attention() -> bool:
    """Define ``torch.ops.fairseq_xling.attention`` if Triton and the GPU are there for it."""
    if not torch.cuda.is_available() or importlib.util.find_spec("triton") is None:
        return False
    from fairseq_xling.kernels import attention

    return attention.available()
