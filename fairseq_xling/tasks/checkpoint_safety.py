"""Checkpoint files that survive crashes: written whole or not at all, with the one before kept.

fairseq writes the first file of a save under a temporary name and renames it, but copies the others in place,
``checkpoint_last.pt`` among them: a crash in between leaves half a file under the final name. Here they become links to
the first file, which takes no time and no room.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils
from fairseq.distributed import utils as distributed_utils
from fairseq.file_io import PathManager
from omegaconf import open_dict

from fairseq_xling.formats.errors import InputError
from fairseq_xling.tasks import patience
from fairseq_xling.tasks.metrics_log import settle_epoch
from fairseq_xling.tasks.resumed_options import expect_same_options
from fairseq_xling.tasks.training_report import describe_disk

logger = logging.getLogger(__name__)

LAST, PREVIOUS = "checkpoint_last.pt", "checkpoint_previous.pt"
_save, _load = checkpoint_utils.save_checkpoint, checkpoint_utils.load_checkpoint


def put_in_place(source: str | os.PathLike[str], target: str | os.PathLike[str], overwrite: bool = True) -> bool:
    """Make `target` the same file as `source`, at once: a link, or a copy where the file system has none."""
    if os.path.realpath(source) == os.path.realpath(target):
        return True
    temporary = f"{os.fspath(target)}.{os.getpid()}.tmp"
    try:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return True


def is_whole(path: str | os.PathLike[str]) -> bool:
    """Whether a checkpoint file has its end and all its check sums are right."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError):
        return False


def fall_back(save_dir: str | os.PathLike[str]) -> str | None:
    """Put the checkpoint before in the place of a last one that is damaged.

    Returns
    -------
    str or None
        What was done, in one line; None where nothing is damaged, or nothing whole is left to go on from.
    """
    last, previous = Path(save_dir) / LAST, Path(save_dir) / PREVIOUS
    if not last.exists() or is_whole(last) or not is_whole(previous):
        return None
    os.replace(last, last.with_name(f"{LAST}.damaged"))
    put_in_place(previous, last)
    return f"{last} is damaged (kept as {LAST}.damaged); going on from {PREVIOUS}, the one before it"


def load_checkpoint(cfg: Any, trainer: Any, **options: Any) -> Any:
    """fairseq's `load_checkpoint`, after `fall_back` on the first worker."""
    _expect_metric(cfg, trainer)
    _expect_validation(trainer)
    if trainer.data_parallel_rank == 0 and cfg.restore_file == LAST:
        for rest in Path(cfg.save_dir).glob("*.tmp"):  # of a process that was killed while it saved
            rest.unlink(missing_ok=True)
        line = fall_back(cfg.save_dir)
        if line:
            logger.warning(line)
    wait_for_all(trainer)
    patience.begin(f"{cfg.best_checkpoint_metric} {'max' if cfg.maximize_best_checkpoint_metric else 'min'}")
    source = _source(cfg)
    expect_same_options(source, trainer.cfg.model, cfg.reset_optimizer or str(source) == cfg.finetune_from_model)
    try:
        loaded = _load(cfg, trainer, **options)
    except Exception as error:
        if isinstance(error, AssertionError) and "please reset the optimizer" in str(error):
            raise InputError(str(error), source) from None
        if "Cannot load model parameters" not in str(error):
            raise
        if isinstance(error.__context__, InputError):  # fairseq hides what the model says
            raise error.__context__ from None
        raise InputError(
            f"its weights are those of another architecture than the options say ({_mismatch(error.__context__)})",
            source,
        ) from error
    if cfg.reset_optimizer or cfg.reset_meters:
        patience.restore({})  # fairseq leaves the best value of the checkpoint as well
    trainer.saved_at = trainer.get_num_updates()
    if trainer.data_parallel_rank == 0:
        if source.parent == Path(cfg.save_dir):  # the epochs of another run are not of this one's log
            _log_last_epoch(cfg, trainer, *loaded)
        logger.info(describe_disk(cfg, trainer.model, cfg.save_dir))
    _end_where_nothing_is_left(cfg, trainer)
    return loaded


def _expect_metric(cfg: Any, trainer: Any) -> None:
    """Refuse a ``--best-checkpoint-metric`` that validation does not give, or with which the worst would be kept.

    fairseq notices a missing metric only after the first validation, and then ends with a traceback before it has saved
    the epoch. It does not know whether more is better: unless it is told, it keeps the checkpoint with the lowest
    value, of an accuracy too.
    """
    known, metric = getattr(trainer.task, "validation_metrics", None), cfg.best_checkpoint_metric
    if not known or trainer.cfg.dataset.disable_validation:
        return
    if metric not in known:
        raise InputError(f"--best-checkpoint-metric {metric}: validation gives {', '.join(known)}")
    rises, option = metric in getattr(trainer.task, "rising_metrics", ()), "--maximize-best-checkpoint-metric"
    if rises != bool(cfg.maximize_best_checkpoint_metric):
        raise InputError(f"--best-checkpoint-metric {metric} {'needs' if rises else 'must be without'} {option}")


def _expect_validation(trainer: Any) -> None:
    """Refuse what cannot be validated on.

    The training text is one dataset with its batches, which validation would lay out anew: with another
    ``--batch-size-valid``, or in fine-tuning with any, training went on with other batches. In pretraining the first
    batches alone are all of the first language.
    """
    languages, options = getattr(trainer.task, "languages", ()), trainer.cfg.dataset
    if options.disable_validation:
        return
    if options.train_subset in [subset.strip() for subset in options.valid_subset.split(",")]:
        raise InputError(
            f"--valid-subset {options.valid_subset}: {options.train_subset} is trained on (--train-subset); for "
            "its loss give a copy of the files under another name"
        )
    if options.max_valid_steps is not None and len(languages) > 1:
        raise InputError(
            f"--max-valid-steps {options.max_valid_steps}: languages are validated one after the other, so the last "
            "ones would be left out; give a smaller text with --valid-subset, or validate less often"
        )


def _source(cfg: Any) -> Path:
    """The file that fairseq loads: the last checkpoint, where there is one, goes before ``--finetune-from-model``."""
    if cfg.restore_file != LAST:
        return Path(cfg.restore_file)
    last = Path(cfg.save_dir) / LAST
    return last if last.exists() or not cfg.finetune_from_model else Path(cfg.finetune_from_model)


def _mismatch(error: BaseException | None) -> str:
    """The first of the names that do not fit, from what torch says of them."""
    found = re.search(r'(Missing|Unexpected) key\(s\) in state_dict: "([^"]+)"|size mismatch for (\S+):', str(error))
    if found is None:
        return "names or sizes"
    if found[3]:
        return f"another size of {found[3]}"
    return f"it has {'no' if found[1] == 'Missing' else 'also'} {found[2]}"


def _log_last_epoch(cfg: Any, trainer: Any, extra_state: dict[str, Any] | None, batches: Any) -> None:
    """The line of the epoch that ended with this checkpoint, which a kill after its save prevents."""
    sums = ((extra_state or {}).get("metrics") or {}).get("train")
    within = batches.iterations_in_epoch > 0
    epoch = batches.epoch if within else batches.epoch - 1
    if sums and epoch > 0 and (not within or is_finished(trainer)):
        settle_epoch(Path(cfg.save_dir) / "metrics.jsonl", epoch, sums)


def is_finished(trainer: Any) -> bool:
    """Whether all of ``--max-update`` are made."""
    return 0 < trainer.cfg.optimization.max_update <= trainer.get_num_updates()


def _end_where_nothing_is_left(cfg: Any, trainer: Any) -> None:
    """End a run that has made all its updates before it makes another one.

    fairseq compares with ``--max-update`` only after an update. So a finished run that is started again, for instance
    because it was killed between its last save and its end, would make one update too many.
    """
    options, updates = trainer.cfg.optimization, trainer.get_num_updates()
    if is_finished(trainer):
        logger.info(f"update {updates} of --max-update {options.max_update} is saved already: nothing is left to do")
    elif patience.is_exhausted(cfg.patience):
        logger.info(f"--patience {cfg.patience} is exhausted after update {updates}: nothing is left to do")
    else:
        return
    with open_dict(options):
        options.stop_min_lr = math.inf  # the condition that fairseq looks at before an epoch
    if trainer.data_parallel_rank == 0:
        for pattern, keep in (
            (r"checkpoint_\d+_(\d+)\.pt", cfg.keep_interval_updates),
            (r"checkpoint(\d+)\.pt", cfg.keep_last_epochs),
        ):
            if keep > 0:  # what the end of the last save would have removed
                for old in checkpoint_utils.checkpoint_paths(cfg.save_dir, pattern=pattern)[keep:]:
                    Path(old).unlink(missing_ok=True)


def _save_checkpoint(cfg: Any, trainer: Any, epoch_itr: Any, val_loss: Any) -> Any:
    """fairseq's `save_checkpoint`, with the last checkpoint kept and a full disk answered in one line."""
    last = Path(cfg.save_dir) / LAST
    updates = trainer.get_num_updates()
    try:
        keep = trainer.data_parallel_rank == 0 and getattr(trainer.task, "keeps_previous_checkpoint", False)
        if keep and last.exists() and trainer.saved_at != updates:
            put_in_place(last, last.with_name(PREVIOUS))
        saved = _save(cfg, trainer, epoch_itr, val_loss)
    except (OSError, RuntimeError) as error:
        full = is_full(error, cfg.save_dir)
        for rest in Path(cfg.save_dir).glob("*.tmp"):
            rest.unlink(missing_ok=True)
        if not full:
            raise
        before = "the checkpoint before is whole" if last.exists() else "nothing was saved yet"
        raise InputError(
            f"the disk is full, so update {updates} was not saved; {before}: make room and run the same command again",
            cfg.save_dir,
        ) from error
    trainer.saved_at = updates
    return saved


def is_full(error: BaseException, folder: str | os.PathLike[str]) -> bool:
    """Whether an error of writing comes from a full disk or an exhausted quota (torch wraps the system's error)."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__ or cause.__context__
    return isinstance(error, RuntimeError) and shutil.disk_usage(folder).free < 1 << 20


def wait_for_all(trainer: Any) -> None:
    """Return when every worker has come here."""
    if trainer.data_parallel_world_size > 1:
        token = torch.zeros(1, device=trainer.device)
        distributed_utils.all_reduce(token, group=trainer.data_parallel_process_group)
        token.item()


def _no_traceback(record: logging.LogRecord) -> bool:
    """fairseq logs the traceback of a failed save and raises the error as well, which is enough."""
    return not str(record.msg).startswith("Traceback")


def install() -> None:
    """Make fairseq save in this way; a second call does nothing."""
    checkpoint_utils.save_checkpoint = _save_checkpoint
    checkpoint_utils.logger.addFilter(_no_traceback)
    PathManager.copy = staticmethod(put_in_place)
