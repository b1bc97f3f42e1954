"""fairseq's running average of weights (``--store-ema``) for models with buffers that are no weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fairseq.models.ema.ema import EMA
from torch import nn

_init = EMA.__init__


def _init_beside_buffers(
    self: EMA, model: nn.Module, config: Any, device: Any = None, skip_keys: Iterable[str] | None = None
) -> None:
    """fairseq's, which would multiply whole numbers, such as the vocabulary's hash, by the decay."""
    whole = (name for name, value in model.state_dict().items() if not value.is_floating_point())
    _init(self, model, config, device, {*(skip_keys or ()), *whole})


def install() -> None:
    """Make fairseq copy such buffers; a second call does nothing."""
    EMA.__init__ = _init_beside_buffers
