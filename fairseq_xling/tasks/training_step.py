"""Steps of training and validation as fairseq makes them, but in the precision that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from fairseq.optim.amp_optimizer import AMPOptimizer
from fairseq.tasks import FairseqTask
from torch import Tensor

from fairseq_xling.command import runs_fairseq, show_input_errors_in_one_line
from fairseq_xling.tasks import (
    bad_loss,
    patience,
    precision,
    preemption,
    process_group,
    seeding,
    unread_log,
    weight_average,
)

Step = tuple[Tensor, int, dict[str, Any]]
"""Loss (scalar), sample size, what is logged."""


def change_fairseq() -> None:
    """Make fairseq's training in this process do what each of these modules says; a second call does nothing."""
    if runs_fairseq():
        show_input_errors_in_one_line()
    for module in (precision, preemption, bad_loss, unread_log, weight_average, seeding, process_group):
        module.install()


class AutocastTask(FairseqTask):
    """A task that computes in bfloat16 where ``--bf16-autocast`` says so, and takes note of its losses."""

    numbers_stay_unread = True

    def __init__(self, cfg: Any):
        super().__init__(cfg)
        self.bad_losses = bad_loss.LossWatch()

    def get_checkpoint_dict(self) -> dict[str, Any]:
        """What fairseq puts into a checkpoint for this task."""
        return {type(self).__name__: {"patience": patience.state()}}

    def set_checkpoint_dict(self, state: Mapping[str, Any]) -> None:
        """Take it from there, when a run goes on."""
        patience.restore(state.get("patience", {}))

    def train_step(
        self, sample: Mapping[str, Any], model: Any, criterion: Any, optimizer: Any, update_num: int, **kwargs: Any
    ) -> Step:
        """fairseq's step, in bfloat16 where asked for."""
        if isinstance(optimizer, AMPOptimizer):
            loss, size, log = super().train_step(sample, model, criterion, optimizer, update_num, **kwargs)
        else:
            loss, size, log = self._forward_and_backward(sample, model, criterion, optimizer, **kwargs)
        self.bad_losses.note(sample, model, loss, size)
        return loss, size, log

    def _forward_and_backward(
        self, sample: Mapping[str, Any], model: Any, criterion: Any, optimizer: Any, ignore_grad: bool = False
    ) -> Step:
        return forward_and_backward(sample, model, criterion, optimizer, self._autocast(sample), ignore_grad)

    def valid_step(self, sample: Mapping[str, Any], model: Any, criterion: Any, **kwargs: Any) -> Any:
        """fairseq's step, in bfloat16 where asked for."""
        with self._autocast(sample):
            return super().valid_step(sample, model, criterion, **kwargs)

    def _autocast(self, sample: Mapping[str, Any]) -> torch.autocast:
        device = sample["net_input"]["src_tokens"].device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.cfg.bf16_autocast)


def forward_and_backward(
    sample: Mapping[str, Any],
    model: Any,
    criterion: Any,
    optimizer: Any,
    autocast: torch.autocast,
    ignore_grad: bool = False,
) -> Step:
    """fairseq's `FairseqTask.train_step`, with the forward pass inside `autocast`.

    fairseq's own opens ``torch.cuda.amp.autocast(enabled=False)`` around the forward pass, which on a GPU would undo
    any around it. It also walks through all modules, which costs a small model more than its products.

    Parameters
    ----------
    sample : mapping
    model, criterion, optimizer : fairseq's
        Not `AMPOptimizer`, which needs fairseq's own step.
    autocast : torch.autocast
    ignore_grad : bool
        The batch is a dummy: its loss counts nothing.

    Returns
    -------
    loss : scalar tensor
    sample_size : int
    logging_output : dict
    """
    model.train()
    with autocast:
        loss, size, log = criterion(model, sample)
    if not ignore_grad:
        optimizer.backward(loss)
        return loss, size, log
    loss *= 0
    without = [parameter for parameter in model.parameters() if parameter.grad is None]
    optimizer.backward(loss)
    if hasattr(model, "all_reduce_grads"):  # others have reduced by now what other processes have
        for parameter in without:
            parameter.grad = None  # zeros would count as a gradient of the dummy's language
    return loss, size, log
