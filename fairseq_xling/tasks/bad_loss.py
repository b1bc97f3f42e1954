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
"""After so many updates left out in a row training stops, with ``--on-bad-loss skip`` too."""

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


class Update(NamedTuple):
    """An update whose norm is on its way from the device.

    Attributes
    ----------
    number : int
    batches : list of Batch
    norm : scalar tensor
        In memory of the host, valid once the event has happened.
    arrived : torch.cuda.Event, optional
        ``None``: it is there.
    """

    number: int
    batches: list[Batch]
    norm: Tensor
    arrived: torch.cuda.Event | None


class LossWatch:
    """The losses of the present update's batches, and the updates left out in a row."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.skipped = 0
        self._earlier: Update | None = None
        self._norm: Tensor | None = None

    def note(self, sample: Any, model: Any, loss: Tensor, size: int) -> None:
        """Remember a batch after its backward pass; an exploded loss makes the gradient NaN, for all workers."""
        nats = loss.detach().float() / max(size, 1)
        self.batches.append(Batch(sample["net_input"]["lang"], sample["id"], "gold" in sample, nats))
        gradients = (p.grad for p in model.parameters() if p.grad is not None)
        first = next(gradients, None)
        gradient = next((each for each in gradients if each.dim() == 1), first)  # a small one, not the embeddings'
        if gradient is not None:  # times 1 changes no bit; no wait for the device
            gradient.mul_(torch.where(nats <= MOST_NATS, 1.0, float("nan")).to(gradient))

    def worst(self, batches: list[Batch] | None = None) -> str:
        """The batches of this worker whose losses are bad, of the present update or of another."""
        batches = self.batches if batches is None else batches
        bad = [f"{float(batch.nats):.4g} nats in {batch}" for batch in batches if not batch.nats <= MOST_NATS]
        if bad:
            return "loss " + ", ".join(bad)
        names = ", ".join(map(str, batches)) or "no batch"
        return f"the gradient is not finite; the losses of this worker are ({names})"

    def ask_later(self, trainer: Trainer, norm: Tensor) -> Tensor:
        """Let the device decide whether this update is made, and find out what became of the update before it.

        Returns
        -------
        scalar tensor in the host's memory
            The last finite norm that is known: of the update before this one, or of an earlier one. Where there is none
            yet, the host waits for the norm of this update.
        """
        trainer.optimizer.leave_out_if(~torch.isfinite(norm))
        before, self._earlier = self._earlier, self._on_its_way(trainer.get_num_updates() + 1, norm)
        if before is not None:
            self._settle(trainer, before)
        elif self._norm is None:  # nothing to answer yet
            self.settle(trainer)
        return torch.zeros(()) if self._norm is None else self._norm

    def settle(self, trainer: Trainer) -> None:
        """Wait for the last answer."""
        earlier, self._earlier = self._earlier, None
        if earlier is not None:
            self._settle(trainer, earlier)

    def _on_its_way(self, number: int, norm: Tensor) -> Update:
        if not norm.is_cuda:
            return Update(number, list(self.batches), norm, None)
        host, arrived = torch.empty((), dtype=norm.dtype, pin_memory=True), torch.cuda.Event()
        host.copy_(norm.detach(), non_blocking=True)
        arrived.record()
        return Update(number, list(self.batches), host, arrived)

    def _settle(self, trainer: Trainer, update: Update) -> None:
        if update.arrived is not None:
            update.arrived.synchronize()
        if torch.isfinite(update.norm):
            self.skipped, self._norm = 0, update.norm
        else:
            self.left_out(trainer, update.number, update.batches)

    def left_out(self, trainer: Trainer, number: int, batches: list[Batch]) -> None:
        """An update was not made: say so, and stop or go on.

        Raises
        ------
        InputError
            Training stops.
        """
        line = f"update {number} was not made: {self.worst(batches)}"
        self.skipped += 1
        if str(trainer.task.cfg.on_bad_loss) == "skip" and self.skipped <= MOST_SKIPPED:
            logger.warning(f"{line}; left out (--on-bad-loss skip)")
            return
        advice = "the last checkpoint is as it was; try a lower --lr, a --clip-norm, or --on-bad-loss skip"
        if self.skipped > 1:
            advice = f"{self.skipped - 1} updates before it were left out; try a lower --lr or a --clip-norm"
        raise InputError(f"{line}; {advice}", trainer.cfg.checkpoint.save_dir) from None


def _can_wait(trainer: Trainer, norm: Tensor) -> bool:
    """Whether the answer may come an update later: one worker on a GPU, and an optimiser that leaves updates out."""
    return norm.is_cuda and trainer.data_parallel_world_size == 1 and hasattr(trainer.optimizer, "leave_out_if")


def _watched_clip(self: Trainer, clip_norm: float) -> Tensor:
    """fairseq's `clip_grad_norm`; its answer is the same for all workers, so all of them stop or none."""
    norm = _clip_grad_norm(self, clip_norm)
    watch: LossWatch | None = getattr(self.task, "bad_losses", None)
    if watch is None or self.cfg.common.amp:
        return norm
    if _can_wait(self, norm):
        return watch.ask_later(self, norm)
    if not torch.isfinite(norm).all():
        raise BadUpdateError
    watch.skipped = 0
    return norm


def _watched_step(self: Trainer, samples: Any, raise_oom: bool = False) -> Any:
    """fairseq's `train_step`, which makes no update of a bad loss."""
    watch: LossWatch | None = getattr(self.task, "bad_losses", None)
    if watch is None:
        return _train_step(self, samples, raise_oom)
    watch.batches.clear()
    # the last batches of an epoch, where other processes have one more: fairseq would take all samples for dummies,
    # and divide the gradient by too few predictions, if the last of them is one
    samples = [sample for sample in samples if sample] or samples
    try:
        return _train_step(self, samples, raise_oom)
    except BadUpdateError:
        self.zero_grad()
        watch.left_out(self, self.get_num_updates() + 1, watch.batches)
        return None


def settle(trainer: Trainer) -> None:
    """At the end of training: find out whether the last update was made."""
    watch: LossWatch | None = getattr(trainer.task, "bad_losses", None)
    if watch is not None:
        watch.settle(trainer)


def install() -> None:
    """Make fairseq's trainer ask tasks that have `bad_losses`; a second call does nothing."""
    Trainer.train_step, Trainer.clip_grad_norm = _watched_step, _watched_clip
