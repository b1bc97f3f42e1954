"""fairseq's own options of precision, where they do nothing or end in a traceback."""

from __future__ import annotations

from typing import Any

import torch
from fairseq.trainer import Trainer

from fairseq_xling.formats.errors import InputError

_init = Trainer.__init__


def expect_usable(common: Any, gpu: bool) -> None:
    """Refuse what cannot be computed with here.

    Parameters
    ----------
    common : fairseq's CommonConfig
    gpu : bool
        Whether training takes place on one.
    """
    if common.bf16 or common.memory_efficient_bf16:
        raise InputError("--bf16 is fairseq's option for TPUs; on CPU and GPU it is --bf16-autocast")
    for option in ("memory_efficient_fp16", "fp16", "amp"):
        if getattr(common, option) and not gpu:
            raise InputError(f"--{option.replace('_', '-')} needs a GPU; on a CPU there is --bf16-autocast")


def _checked_init(self: Trainer, cfg: Any, *arguments: Any, **options: Any) -> None:
    expect_usable(cfg.common, torch.cuda.is_available() and not cfg.common.cpu)
    _init(self, cfg, *arguments, **options)


def install() -> None:
    """Make fairseq's trainer check this first; a second call does nothing."""
    Trainer.__init__ = _checked_init
