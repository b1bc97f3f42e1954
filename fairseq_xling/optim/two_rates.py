"""Adam with one learning rate for the encoder and another for the head, under any of fairseq's schedules."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.optim import register_optimizer

from fairseq_xling.formats.errors import InputError
from fairseq_xling.optim.adam import XlingAdam, XlingAdamConfig


@dataclass
class TwoRatesConfig(XlingAdamConfig):
    """Options of `xling_two_rates`."""

    head_lr: float = field(
        default=0.0, metadata={"help": "learning rate of the task's head (default: the encoder's, --lr)"}
    )


@register_optimizer("xling_two_rates", dataclass=TwoRatesConfig)
class TwoRates(XlingAdam):
    """`xling_adam` over two groups of parameters.

    fairseq's schedules set one rate; here each group has that rate times its own constant factor: 1, and
    ``head_lr / lr`` for parameters whose attribute `param_group` is ``head``. fairseq's `composite` optimiser could
    do as much, but cannot be set up from the command line.

    Parameters
    ----------
    cfg : TwoRatesConfig
    params : iterable of parameters
    """

    def __init__(self, cfg: TwoRatesConfig, params: Iterable[torch.nn.Parameter]):
        rate = cfg.lr[0] if not isinstance(cfg.lr, float | int) else cfg.lr
        if cfg.head_lr < 0 or not rate > 0:
            raise InputError(f"--lr {rate} --head-lr {cfg.head_lr}: expected positive learning rates")
        groups: dict[bool, list[torch.nn.Parameter]] = {False: [], True: []}
        for parameter in params:
            groups[getattr(parameter, "param_group", "") == "head"].append(parameter)
        factors = {False: 1.0, True: cfg.head_lr / rate if cfg.head_lr else 1.0}
        super().__init__(
            cfg, [{"params": members, "lr_factor": factors[head]} for head, members in groups.items() if members]
        )

    def load_state_dict(self, state_dict: dict[str, Any], optimizer_overrides: dict[str, Any] | None = None) -> None:
        """As ever, with the factors of this run: a checkpoint's would silently outlive another --head-lr or --lr."""
        factors = [group["lr_factor"] for group in self.param_groups]
        super().load_state_dict(state_dict, optimizer_overrides)
        for group, factor in zip(self.param_groups, factors, strict=True):
            group["lr_factor"] = factor

    def set_lr(self, lr: float) -> None:
        """Set the schedule's rate, which is the encoder's."""
        for group in self.param_groups:
            group["lr"] = lr * group["lr_factor"]

    def get_lr(self) -> float:
        """The schedule's rate."""
        group = self.param_groups[0]
        return group["lr"] / group["lr_factor"]
