"""AdamW in one fused kernel for all parameters, on CPU and GPU."""

import ast
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.optim import FairseqOptimizer, register_optimizer
from omegaconf import II

from fairseq_xling.formats.errors import InputError


@dataclass
class XlingAdamConfig(FairseqDataclass):
    """Options of `xling_adam`; the names are those of fairseq's `adam`."""

    adam_betas: str = field(default="(0.9, 0.999)", metadata={"help": "betas, as '(0.9, 0.999)'"})
    adam_eps: float = field(default=1e-8, metadata={"help": "epsilon"})
    weight_decay: float = field(default=0.0, metadata={"help": "decoupled weight decay"})
    lr: Any = II("optimization.lr")


@register_optimizer("xling_adam", dataclass=XlingAdamConfig)
class XlingAdam(FairseqOptimizer):
    """fairseq's `adam` (decoupled weight decay) through torch's fused kernel: the same update up to epsilon.

    fairseq adds epsilon before the bias correction of the second moment, torch after it.

    fairseq's own loops over parameters in Python, and needs apex to be fused on a GPU.

    Parameters
    ----------
    cfg : XlingAdamConfig
    params : iterable of parameters, or of parameter groups
    """

    def __init__(self, cfg: XlingAdamConfig, params: Any):
        super().__init__(cfg)
        self._optimizer = torch.optim.AdamW(params, fused=True, **self.optimizer_config)

    @property
    def optimizer_config(self) -> dict[str, Any]:
        """Settings that override those of a checkpoint."""
        lr = self.cfg.lr[0] if not isinstance(self.cfg.lr, float | int) else self.cfg.lr
        return {
            "lr": lr,
            "betas": _betas(self.cfg.adam_betas),
            "eps": self.cfg.adam_eps,
            "weight_decay": self.cfg.weight_decay,
        }

    @property
    def supports_flat_params(self) -> bool:
        """Elementwise, so parameters may be flattened."""
        return True

    @property
    def supports_memory_efficient_fp16(self) -> bool:
        """No: the fused kernel needs parameters and state of one type."""
        return False


def _betas(text: str) -> tuple[float, float]:
    try:
        first, second = (float(value) for value in ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError):
        raise InputError(f"--adam-betas {text!r}: expected two numbers, as '(0.9, 0.999)'") from None
    return first, second
