"""Jobs and what each waits for: data before pretraining before fine-tuning before tables."""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairseq_xling.formats.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
ROWS = (
    *("default", "wiki_cc", "no_anchors", "default_anchors", "extra_anchors"),
    *("sep_emb", "sep_l1-3", "sep_l1-6", "sep_emb_l1-3", "sep_emb_l1-6"),
)
"""The experiments of Table 1."""

KINDS = ("data", "pretrain", "finetune", "scores")


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes
    ----------
    name : str
    kind : str
        One of `KINDS`.
    command : tuple of str
        ``{part}`` in it becomes the number in the array.
    after : tuple of str
        Names of jobs that must have ended well.
    array : int
        Size of the array; 0: one job.
    """

    name: str
    kind: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    array: int = 0


@dataclass
class Plan:
    """Jobs in an order in which each comes after those that it waits for.

    Attributes
    ----------
    scale : str
    overrides : tuple of str
        Options for fairseq-train at pretraining.
    parts : int
        Size of the arrays of fine-tuning; 0: one job does the grids of a model.
    """

    scale: str
    overrides: tuple[str, ...] = ()
    parts: int = 0
    jobs: list[Job] = field(default_factory=list)
    _data: dict[str, str] = field(default_factory=dict)

    def add(self, job: Job) -> str:
        """Add a job, unless there is one of its name; its name."""
        if all(job.name != other.name for other in self.jobs):
            self.jobs.append(job)
        return job.name

    def model(self, experiment: str, pair: str, seed: int) -> str:
        """Data and pretraining of one model; the name of the last job."""
        name = f"pretrain.{experiment}.{pair}.seed{seed}"
        command = self._run(experiment, pair, seed, "pretrain", overrides=True)
        return self.add(Job(name, "pretrain", command, (self._data_job(experiment, pair),)))

    def scores(self, experiment: str, pair: str, seed: int) -> str:
        """One model, from data to transfer scores; the name of the last job."""
        after = self.model(experiment, pair, seed)
        label = f"{experiment}.{pair}.seed{seed}"
        command = self._run(experiment, pair, seed, "finetune")
        if not self.parts:
            return self.add(Job(f"finetune.{label}", "finetune", command, (after,)))
        part = (*command, "--part", f"{{part}}/{self.parts}")
        array = self.add(Job(f"finetune.{label}", "finetune", part, (after,), self.parts))
        return self.add(Job(f"scores.{label}", "scores", (*command, "--scores"), (array,)))

    def table(self, experiments: Sequence[str], pairs: Sequence[str], seeds: Sequence[int]) -> None:
        """Table 1 and Figure 3."""
        after = tuple(self.scores(e, pair, seed) for pair in pairs for e in experiments for seed in seeds)
        options = ["--pairs", " ".join(pairs), "--seeds", " ".join(map(str, seeds))]
        options += ["--experiments", " ".join(experiments), "--scale", self.scale, "--table-only"]
        self.add(Job("table1", "scores", ("bash", "train_scripts/table1.sh", *options), after))

    def figures(self, source: str, targets: Sequence[str], seeds: Sequence[int], bilingual: str) -> None:
        """Figures 4 to 8: models as jobs of their own, then the measures."""
        after = [self.model("mono", source, seed) for seed in sorted({*seeds, *(s + 1 for s in seeds)})]
        for target in targets:
            for seed in seeds:
                after += [self.model("mono", target, seed), self.model(bilingual, f"{source}-{target}", seed)]
        options = ("--source", source, "--targets", *targets, "--seeds", *map(str, seeds), "--bilingual", bilingual)
        command = ("bash", "train_scripts/figures.sh", "--scale", self.scale, *options)
        self.add(Job("figures", "finetune", (*command, *self._after_dashes()), tuple(after)))

    def _data_job(self, experiment: str, pair: str) -> str:
        """Text and vocabulary; experiments that have the same share the job."""
        dry = self._run(experiment, pair, 1, "vocabulary")
        shown = subprocess.run([*dry, "--dry-run"], capture_output=True, text=True, check=False, cwd=ROOT)
        if shown.returncode:
            raise InputError(shown.stderr.strip() or f"{' '.join(dry)} failed")
        name = self._data.setdefault(shown.stdout, f"data.{experiment}.{pair}")
        return self.add(Job(name, "data", (*self._run(experiment, pair, 1, "text"), "--stage", "vocabulary")))

    def _run(self, experiment: str, pair: str, seed: int, stage: str, overrides: bool = False) -> tuple[str, ...]:
        command = ("bash", "train_scripts/run.sh", experiment, pair, "--scale", self.scale, "--seed", str(seed))
        return (*command, "--stage", stage, *(self._after_dashes() if overrides else ()))

    def _after_dashes(self) -> tuple[str, ...]:
        return ("--", *self.overrides) if self.overrides else ()


@dataclass(frozen=True)
class Machine:
    """How jobs are sent: a file of `train_scripts/machines/`.

    Attributes
    ----------
    via : {"slurm", "local"}
    most_failures : int
        A job that dies is started again so many times.
    at_a_time : int
        Jobs at a time on this machine.
    sbatch : dict
        Options of sbatch by kind of job.
    """

    via: str
    most_failures: int = 3
    at_a_time: int = 1
    sbatch: dict[str, tuple[str, ...]] = field(default_factory=dict)


def read_machine(path: str | os.PathLike[str]) -> Machine:
    """Read a machine's file.

    Raises
    ------
    InputError
        Not TOML, an unknown entry, a value of another type.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a machine's file: {error}", path) from None
    if unknown := set(content) - {"via", "most_failures", "at_a_time", "sbatch"}:
        raise InputError(f"unknown entry '{min(unknown)}'; expected via, most_failures, at_a_time, [sbatch]", path)
    if content.get("via") not in ("slurm", "local"):
        raise InputError('expected via = "slurm" or via = "local"', path)
    for name, least in (("most_failures", 0), ("at_a_time", 1)):
        if name in content and (type(content[name]) is not int or content[name] < least):
            raise InputError(f"{name} = {content[name]!r}: expected a number from {least}", path)
    options = content.get("sbatch", {})
    for kind, words in options.items() if isinstance(options, dict) else [("sbatch", options)]:
        if kind not in KINDS or not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InputError(f"[sbatch] {kind}: expected one of {', '.join(KINDS)} and a list of options", path)
    return Machine(**{**content, "sbatch": {kind: tuple(words) for kind, words in options.items()}})
