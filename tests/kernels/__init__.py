"""Kernels run on a GPU, or in Triton's interpreter (TRITON_INTERPRET=1) on a CPU."""

import os

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def triton_or_skip() -> str:
    """The device to test on; skips the module where there is none, or no Triton."""
    if not torch.cuda.is_available() and not INTERPRETED:
        pytest.skip("needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)
    pytest.importorskip("triton", reason="needs Triton")
    return "cpu" if INTERPRETED else "cuda"
