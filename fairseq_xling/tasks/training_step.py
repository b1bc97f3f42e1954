"""One forward and backward pass as fairseq makes it, but in the precision that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def forward_and_backward(
    sample: Mapping[str, Any],
    model: Any,
    criterion: Any,
    optimizer: Any,
    autocast: torch.autocast,
    ignore_grad: bool = False,
) -> tuple[Tensor, int, dict[str, Any]]:
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
    if ignore_grad:
        loss *= 0
    optimizer.backward(loss)
    return loss, size, log
