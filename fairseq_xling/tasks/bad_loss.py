"""A loss that is no number, or has exploded: the batch is named, and training stops or leaves the update out.

fairseq answers such gradients with a checkpoint under another name, a second pass and a traceback, and does not say
which batch it was. Here the update is not made, so the model and the last checkpoint stay as they were.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import torch
from fairseq.trainer import Trainer
from torch import Tensor

from fairseq_xling.formats.errors import InputError

logger = logging.getLogger(__name__)

CHOICES = ("stop", "skip")
HELP = "where loss or gradient are not finite, or the loss is above 1,000 nats: stop, or leave the update out and go on"

MOST_NATS = 1e3
"""Of one decision; guessing among all words of a vocabulary costs about 11."""

MOST_SKIPPED = 100
"""Updates left out in a row; then training stops all the same."""

_train_step, _clip_grad_norm = Trainer.train_step, Trainer.clip_grad_norm


class BadUpdateError(Exception):
    """The gradient of the present update is not finite."""


class Batch(NamedTuple):
    """What is kept of a batch until the update is made; nothing here waits for the device.

    Attributes
    ----------
    language : str
    ids : int64 tensor
        Epoch and batch in pretraining, examples in fine-tuning.
    labelled : bool
        Whether it is one of fine-tuning.
    nats : scalar tensor
    """

    language: str
    ids: Tensor
    labelled: bool
    nats: Tensor

    def __str__(self) -> str:
        ids = self.ids.flatten().tolist()
        if not self.labelled:
            return f"language {self.language}, epoch {ids[0]}, batch {ids[1] + 1}"
        shown = ", ".join(str(number + 1) for number in ids[:8])
        return f"language {self.language}, examples {shown}{' ...' * (len(ids) > 8)}"


class Watch:
    """The losses of the present update's batches, and the updates left out in a row."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.skipped = 0

    def note(self, sample: Any, model: Any, loss: Tensor, size: int) -> None:
        """Remember a batch after its backward pass; an exploded loss makes the gradient NaN, for all workers."""
        nats = loss.detach().float() / max(size, 1)
        self.batches.append(Batch(sample["net_input"]["lang"], sample["id"], "gold" in sample, nats))
        gradients = (p.grad for p in model.parameters() if p.grad is not None)
        first = next(gradients, None)
        gradient = next((each for each in gradients if each.dim() == 1), first)  # a small one, not the embeddings'
        if gradient is not None:  # times 1 changes no bit; no wait for the device
            gradient.mul_(torch.where(nats <= MOST_NATS, 1.0, float("nan")).to(gradient))

    def worst(self) -> str:
        """The batches of this worker whose losses are bad."""
        bad = [f"{float(batch.nats):.4g} nats in {batch}" for batch in self.batches if not batch.nats <= MOST_NATS]
        if bad:
            return "loss " + ", ".join(bad)
        names = ", ".join(map(str, self.batches)) or "no batch"
        return f"the gradient is not finite; the losses of this worker are ({names})"


def _watched_clip(self: Trainer, clip_norm: float) -> Tensor:
    """fairseq's `clip_grad_norm`; its answer is the same for all workers, so all of them stop or none."""
    norm = _clip_grad_norm(self, clip_norm)
    if (
        getattr(self.task, "bad_losses", None) is not None
        and not self.cfg.common.amp
        and not torch.isfinite(norm).all()
    ):
        raise BadUpdateError
    return norm


def _watched_step(self: Trainer, samples: Any, raise_oom: bool = False) -> Any:
    """fairseq's `train_step`, which makes no update of a bad loss."""
    watch: Watch | None = getattr(self.task, "bad_losses", None)
    if watch is None:
        return _train_step(self, samples, raise_oom)
    watch.batches.clear()
    try:
        output = _train_step(self, samples, raise_oom)
    except BadUpdateError:
        self.zero_grad()
        update = self.get_num_updates() + 1
        line = f"update {update} was not made: {watch.worst()}"
        watch.skipped += 1
        if str(self.task.cfg.on_bad_loss) == "skip" and watch.skipped <= MOST_SKIPPED:
            logger.warning(f"{line}; left out (--on-bad-loss skip)")
            return None
        advice = "the last checkpoint is as it was; try a lower --lr, a --clip-norm, or --on-bad-loss skip"
        if watch.skipped > 1:
            advice = f"{watch.skipped - 1} updates before it were left out; try a lower --lr or a --clip-norm"
        raise InputError(f"{line}; {advice}", self.cfg.checkpoint.save_dir) from None
    watch.skipped = 0
    return output


def install() -> None:
    """Make fairseq's trainer ask tasks that have `bad_losses`; a second call does nothing."""
    Trainer.train_step, Trainer.clip_grad_norm = _watched_step, _watched_clip
