"""On SIGUSR1 or SIGTERM a training run saves after the current update and ends with a status of its own.

Slurm sends such a signal before it takes a machine away; a person does by Ctrl-C in ``train_scripts/run.sh``. The same
command then goes on where the run was, and its parameters become those of an undisturbed run, bit for bit.

fairseq has no hook between updates, so this wraps the function that it calls there.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from fairseq import checkpoint_utils
from fairseq.distributed import utils as distributed_utils
from omegaconf import open_dict

from fairseq_xling.command import STOPPED
from fairseq_xling.tasks import bad_loss, checkpoint_safety

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGUSR1, signal.SIGTERM)


@contextlib.contextmanager
def unheard_by_children() -> Iterator[None]:
    """Inside, processes that are started never hear `SIGNALS`.

    A signal to all processes of a job would end those that compile for torch.compile, and training, which goes on to
    the end of its update, would wait for them forever.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class SignalWatch:
    """Notes signals for one trainer; as soon as that is gone, they have their old effect again."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._trainer: Callable[[], Any] = lambda: None
        self._before: dict[int, Any] = {}

    def start(self, trainer: Any) -> None:
        """Begin to watch, if this is the main thread (others get no signals)."""
        self.signal, self._trainer = None, weakref.ref(trainer)
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.signal(number, self._note)
                self._before.setdefault(number, before)
        atexit.unregister(_end_loaders)
        atexit.register(_end_loaders)

    def stop(self) -> None:
        """Give the signals their old effect."""
        if threading.current_thread() is threading.main_thread():
            for number, before in self._before.items():
                signal.signal(number, before)
            self._before.clear()

    def is_on(self) -> bool:
        """Whether a training run is under way in this process."""
        return self._trainer() is not None and bool(self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._trainer() is None:
            self.stop()
            os.kill(os.getpid(), number)
        self.signal = number

    def asked(self, trainer: Any) -> bool:
        """Whether any worker has got a signal: all of them must stop after the same update."""
        if trainer.data_parallel_world_size == 1:
            return self.signal is not None
        token = torch.tensor([float(self.signal is not None)], device=trainer.device)
        distributed_utils.all_reduce(token, group=trainer.data_parallel_process_group)
        return bool(token.item())


_watch = SignalWatch()


def _watched_load(cfg: Any, trainer: Any, **options: Any) -> Any:
    """fairseq's `load_checkpoint`, after which training begins."""
    loaded = checkpoint_safety.load_checkpoint(cfg, trainer, **options)
    if not checkpoint_safety.is_finished(trainer):
        _watch.start(trainer)
    return loaded


def _between_updates(original: Callable[..., Any]) -> Callable[..., Any]:
    """fairseq's `validate_and_save`, after which the run may stop.

    At the end of an epoch it goes on, and stops after the next update: so a stop changes neither the validations nor
    the choice of the best checkpoint.
    """

    def validate_and_save(cfg: Any, trainer: Any, task: Any, epoch_itr: Any, subsets: Any, end_of_epoch: bool) -> Any:
        losses, ends = original(cfg, trainer, task, epoch_itr, subsets, end_of_epoch)
        if ends:
            _watch.stop()
            bad_loss.settle(trainer)
            _renew_last(cfg, trainer, epoch_itr)
        elif _watch.asked(trainer) and not end_of_epoch:
            _stop(cfg, trainer, epoch_itr)
        return losses, ends

    validate_and_save.wraps_fairseq = True  # type: ignore[attr-defined]
    return validate_and_save


def _stop(cfg: Any, trainer: Any, epoch_itr: Any) -> None:
    updates, saves = trainer.get_num_updates(), not cfg.checkpoint.no_save
    with open_dict(cfg.checkpoint):  # a run can only go on from a last checkpoint that has the optimiser's state
        lacks = cfg.checkpoint.no_last_checkpoints or cfg.checkpoint.no_save_optimizer_state
        cfg.checkpoint.no_last_checkpoints = cfg.checkpoint.no_save_optimizer_state = False
    if saves and (lacks or trainer.saved_at != updates):
        checkpoint_utils.save_checkpoint(cfg.checkpoint, trainer, epoch_itr, None)
    checkpoint_safety.wait_for_all(trainer)  # a worker that ended earlier would make the launcher end the others
    what = "which is saved; the same command goes on from there" if saves else "and --no-save: nothing of it is saved"
    logger.info(f"stopped by a signal after update {updates}, {what}")
    sys.stdout.flush()
    sys.exit(STOPPED)


def _renew_last(cfg: Any, trainer: Any, epoch_itr: Any) -> None:
    """At the end of a run with ``--no-last-checkpoints``: a stop left a last checkpoint, which is out of date now.

    Whoever evaluates it would read weights of half a training, and the same command would make the rest once more.
    """
    last = Path(cfg.checkpoint.save_dir) / checkpoint_safety.LAST
    if cfg.checkpoint.no_last_checkpoints and not cfg.checkpoint.no_save and last.exists():
        with open_dict(cfg.checkpoint):
            cfg.checkpoint.no_last_checkpoints = False
        checkpoint_utils.save_checkpoint(cfg.checkpoint, trainer, epoch_itr, None)


def _end_loaders() -> None:
    """At the end of the program: loaders do not hear SIGTERM (below), by which multiprocessing would end them."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would call it a failure
    for loader in multiprocessing.active_children():
        loader.kill()


def _leave_signals_to_the_parent() -> None:
    """In a forked data loader: the training process stops it; a signal to the whole group must not."""
    if _watch.is_on():
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def install() -> None:
    """Make training runs of this process stop in this way; a second call does nothing."""
    checkpoint_safety.install()
    if checkpoint_utils.load_checkpoint is not _watched_load:
        checkpoint_utils.load_checkpoint = _watched_load
        os.register_at_fork(after_in_child=_leave_signals_to_the_parent)
    for name in ("fairseq_cli.train", "__main__"):
        module = sys.modules.get(name)
        original = getattr(module, "validate_and_save", None)
        if original is not None and not hasattr(original, "wraps_fairseq"):
            module.validate_and_save = _between_updates(original)  # type: ignore[union-attr]


def exit_when_told() -> None:
    """Let a command that is not a training run clean up and end with the status `STOPPED` on these signals."""
    for number in SIGNALS:
        signal.signal(number, lambda *_: sys.exit(STOPPED))
