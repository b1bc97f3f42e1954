"""What a run states at its start, and its expected duration once its speed is known."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from fairseq_xling.data.blocks import SentenceBlocks, StreamBlocks
from fairseq_xling.data.masked_lm_dataset import ScheduledBatches
from fairseq_xling.models.language_modules import language_specific_parameters
from fairseq_xling.models.masked_lm import XlingModel


def count_parameters(model: XlingModel) -> str:
    """One line: parameters that all languages share, and those of each language."""
    own = language_specific_parameters(model)
    total = sum(parameter.numel() for parameter in model.parameters())
    per_language = {language: sum(p.numel() for p in parameters) for language, parameters in own.items()}
    shared = total - sum(per_language.values())
    languages = ", ".join(f"{language} {count:,}" for language, count in per_language.items())
    return f"parameters: {total:,} in all; shared {shared:,}; of one language alone: {languages}"


def describe_disk(checkpoints: Any, model: nn.Module, save_dir: str | os.PathLike[str]) -> str:
    """One line: what the checkpoints will take at most, and whether the disk has it.

    Parameters
    ----------
    checkpoints : CheckpointConfig
        fairseq's options of checkpoints.
    model : nn.Module
        Weights in float32, and for those that are trained Adam's two moments.
    save_dir : path-like
    """
    size = sum(4 * p.numel() * (3 if p.requires_grad else 1) for p in model.parameters())
    kept, without_bound = 4, []  # last, the one before, best, and one that is being written
    for option, every, keep in (
        ("--keep-interval-updates", checkpoints.save_interval_updates > 0, checkpoints.keep_interval_updates),
        ("--keep-last-epochs", not checkpoints.no_epoch_checkpoints, checkpoints.keep_last_epochs),
    ):
        if every and keep < 0:
            without_bound.append(option)
        kept += max(keep, 0) if every else 0
    kept += max(checkpoints.keep_best_checkpoints, 0)
    folder = next(path for path in (Path(save_dir).absolute(), *Path(save_dir).absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    line = f"checkpoints: about {_bytes(size)} each, at most {kept} at a time: {_bytes(kept * size)}"
    if without_bound:
        line = (
            f"checkpoints: about {_bytes(size)} each, and more and more of them: {', '.join(without_bound)} bounds them"
        )
    scarce = "; THAT IS NOT ENOUGH" if free < kept * size else ""
    return f"{line}; free in {folder}: {_bytes(free)}{scarce}"


def _bytes(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def describe_epoch(data: ScheduledBatches, tokens_per_sample: int, workers: int, update_freq: int) -> list[str]:
    """Lines: what an epoch is, and the table of languages."""
    sequences = len(data) * data.batch_size
    updates = -(-len(data) // (workers * update_freq))
    blocks: Mapping[str, StreamBlocks | SentenceBlocks] = data.blocks  # type: ignore[assignment]
    tokens = sum(
        data.probabilities[language] * sequences * _mean_length(corpus, tokens_per_sample)
        for language, corpus in blocks.items()
    )
    lines = [
        f"an epoch: {sequences:,} sequences, about {tokens:,.0f} tokens, {updates:,} updates of "
        f"{data.batch_size} x {workers} workers x {update_freq} accumulated",
        "language   sentences        tokens     blocks  drawn with  passes an epoch",
    ]
    for language, corpus in blocks.items():
        probability = data.probabilities[language]
        lines.append(
            f"{language:8} {len(corpus.corpus.sizes):11,} {len(corpus.corpus.tokens):13,} {corpus.num_blocks:10,}"
            f" {probability:11.4f} {probability * sequences / corpus.num_blocks:16.3f}"
        )
        if isinstance(corpus, SentenceBlocks) and corpus.num_cut:
            lines.append(f"{language}: {corpus.num_cut:,} sentences are longer than {corpus.length} tokens and are cut")
    return lines


def _mean_length(corpus: StreamBlocks | SentenceBlocks, tokens_per_sample: int) -> float:
    return tokens_per_sample if corpus.lengths is None else float(corpus.lengths.mean())


class Pace:
    """Says how long the run will take, after its first updates and ever more rarely later.

    Parameters
    ----------
    max_update : int
        Updates of the whole run; 0: unknown.
    """

    FIRST = 20
    """Updates after which the speed is known well enough: the first ones are slower."""

    def __init__(self, max_update: int):
        self.max_update = max_update
        self._begin: tuple[int, float] | None = None
        self._next = self.FIRST

    def tick(self, update: int) -> str | None:
        """Note that `update` begins; a line when there is something to say."""
        now = time.monotonic()
        if self._begin is None:
            self._begin = (update, now)
        done = update - self._begin[0]
        if done < self._next or not self.max_update:
            return None
        self._next *= 10
        rate = done / (now - self._begin[1])
        left = max(self.max_update - update, 0)
        return f"{rate:.2f} updates/s; the {left:,} updates left take about {left / rate / 3600:.2f} hours"
