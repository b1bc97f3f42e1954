"""Fine-tune over a grid, select on the source language's development set, report the target language.

The rule of the paper: the mean of the two settings that are best on English dev. Within a setting the epoch that is
best there counts. A setting has a folder; what is done is skipped, what was interrupted goes on, and what was made from
other inputs is made again.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from fairseq_xling.analysis import best_two, mean_of_best_two
from fairseq_xling.data.labelled_task import LabelledTask
from fairseq_xling.data.split_files import find_split, parse_given
from fairseq_xling.data.vocabulary import known_languages
from fairseq_xling.evaluation.grid_file import Grid, Setting
from fairseq_xling.evaluation.grid_inputs import agrees, hashes_of
from fairseq_xling.evaluation.processes import Job
from fairseq_xling.evaluation.zero_shot import FineTuned, results_of, write_predictions
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.results import Result, Run, append_results, latest, parse_signature, read_results, signature
from fairseq_xling.models.transfer import read_pretrained
from fairseq_xling.tasks.classification import XlingClassificationTask
from fairseq_xling.tasks.parsing import XlingParsingTask
from fairseq_xling.tasks.tagging import XlingTaggingTask

TASKS: dict[str, tuple[LabelledTask, str]] = {
    task.labelled.name: (task.labelled, f"xling_{task.labelled.head}")
    for task in (XlingClassificationTask, XlingTaggingTask, XlingParsingTask)
}
"""What is labelled, and the name of fairseq's task, by the name of the task in ``results.jsonl``."""

FOLDERS = {"nli": ("nli", "xnli"), "ner": ("ner", "wikiann"), "parsing": ("ud", "parsing")}
"""Names of the folder of each task's data: the lab's first, then those of the public sets."""

USER_DIR = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Model:
    """What is fine-tuned, and on what.

    Attributes
    ----------
    checkpoint, vocabulary : Path
        Pretrained model, and the data-bin it was trained on.
    source, target : str
    test_split : str
        Split of the target language that is reported.
    run : Run
    files : str
        As ``--files`` of the task.
    """

    checkpoint: Path
    vocabulary: Path
    source: str
    target: str
    test_split: str
    run: Run
    files: str = ""


@dataclass(frozen=True)
class Attempt:
    """One setting of one task: its folder and its command."""

    model: Model
    task: str
    data: Path
    setting: Setting
    grid: Grid
    folder: Path
    extra: tuple[str, ...] = ()
    epochs: tuple[int, int] | None = None

    @property
    def checkpoints(self) -> Path:
        """Folder of fairseq's checkpoints."""
        return self.folder / "checkpoints"

    def file(self, language: str, split: str) -> Path:
        """The file of a split."""
        given = parse_given(self.model.files)
        return find_split(self.data, language, split, TASKS[self.task][0].extensions, given)

    @cached_property
    def arguments(self) -> list[str]:
        """Arguments of fairseq-train."""
        labelled, name = TASKS[self.task]
        grid, setting, model = self.grid, self.setting, self.model
        examples = _count(self.task, self.file(model.source, "train"), model.source)
        head = [] if setting.head_lr is None else ["--head-lr", f"{setting.head_lr:g}"]
        return [
            *(str(self.data), "--user-dir", str(USER_DIR), "--task", name, "--criterion", name),
            *("--arch", "xling_transfer", "--pretrained", str(model.checkpoint)),
            *(
                "--vocabulary",
                str(model.vocabulary),
                "--source-lang",
                model.source,
                "--save-dir",
                str(self.checkpoints),
            ),
            *("--optimizer", "xling_two_rates", "--lr", f"{setting.lr:g}", *head),
            *("--batch-size", str(setting.batch_size), "--max-epoch", str(grid.epochs)),
            *grid.schedule_options(examples, setting.batch_size),
            *(("--epoch-examples", str(grid.epoch_examples)) if grid.epoch_examples else ()),
            *(("--files", model.files) if model.files else ()),
            *("--best-checkpoint-metric", labelled.metric, "--maximize-best-checkpoint-metric"),
            *(() if self.epochs else ("--no-epoch-checkpoints",)),
            *("--seed", str(model.run.seed), "--num-workers", "0", "--log-format", "simple", "--log-interval", "100"),
            *grid.options,
            *self.extra,
        ]

    @property
    def command(self) -> str:
        """The command, as it can be pasted."""
        return shlex.join(["fairseq-train", *self.arguments])

    @cached_property
    def training_inputs(self) -> dict[str, object]:
        """What the checkpoints depend on: the command, and hashes of the files."""
        model = self.model
        files = [model.checkpoint, model.vocabulary / "manifest.json"]
        files += [self.file(model.source, "train"), self.file(model.source, "dev")]
        return {"command": self.command, "files": hashes_of(files)}

    @cached_property
    def inputs(self) -> dict[str, object]:
        """What the result depends on: also what is evaluated, and which epochs are chosen from."""
        more = {"test_split": self.model.test_split, "epochs": self.epochs, "evaluated": hashes_of(self._evaluated())}
        return {**self.training_inputs, **more}

    def _evaluated(self) -> list[Path]:
        return [self.file(language, split) for language, split in wanted_splits(self)]

    @property
    def is_done(self) -> bool:
        """Whether the results are there and were made from the present inputs."""
        return (self.folder / "results.jsonl").is_file() and agrees(self._noted(), self.inputs)

    @property
    def is_trained(self) -> bool:
        """Whether training has ended and left checkpoints; `checkpoint_last.pt` may have been removed since."""
        return (self.folder / "trained").is_file() and any(self.checkpoints.glob("checkpoint*.pt"))

    def _noted(self) -> dict[str, Any]:
        path = self.folder / "inputs.json"
        noted: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if noted and "evaluated" not in noted:  # made before evaluated files were apart: only the target's was noted
            files = noted.get("files") or {}
            noted["evaluated"] = {path: files.get(path, now) for path, now in hashes_of(self._evaluated()).items()}
        return noted

    def prepare(self) -> None:
        """Remove what was made from other inputs, the checkpoints only if they were; note the present ones."""
        noted, results = self._noted(), self.folder / "results.jsonl"
        if not agrees(noted, self.training_inputs):
            for name in ("checkpoints", "predictions"):
                shutil.rmtree(self.folder / name, ignore_errors=True)
            for name in ("trained", "results.jsonl"):
                (self.folder / name).unlink(missing_ok=True)
        elif not agrees(noted, self.inputs):
            if results.is_file():
                (self.folder / "trained").touch()
            shutil.rmtree(self.folder / "predictions", ignore_errors=True)
            results.unlink(missing_ok=True)
        with atomic_write(self.folder / "inputs.json") as out:
            json.dump(self.inputs, out, indent=1)

    def job(self) -> Job:
        """Fine-tuning and evaluation, in a process of its own."""
        return Job(f"{self.task} {self.setting.name}", run_attempt, (self,), self.folder / "log.txt")


@cache
def _count(task: str, path: Path, language: str) -> int:
    return len(TASKS[task][0].read(path, language))


def check_before_training(attempts: Sequence[Attempt]) -> None:
    """Refuse before training what would otherwise be refused after hours of it.

    Raises
    ------
    InputError
        A language that the model does not have, ``--epochs`` beyond those of the grid, malformed data, labels in a dev
        or test set that do not occur in the training data.
    """
    for attempt in {attempt.task: attempt for attempt in attempts}.values():
        model, labelled = attempt.model, TASKS[attempt.task][0]
        languages = read_pretrained(model.checkpoint).languages or tuple(known_languages(model.vocabulary))
        for language in (model.source, model.target):
            if language not in languages:
                raise InputError(f"the model knows no language '{language}'; it has {', '.join(languages)}")
        if attempt.epochs and attempt.epochs[0] > attempt.grid.epochs and "--max-epoch" not in attempt.extra:
            first, last = attempt.epochs
            raise InputError(f"--epochs {first}-{last}: the grid has {attempt.grid.epochs} epochs of {attempt.task}")
        labels = labelled.labels(labelled.read(attempt.file(model.source, "train"), model.source))
        for language, split in wanted_splits(attempt):
            path = attempt.file(language, split)
            labelled.check_labels(labelled.read(path, language), labels, path)


def run_attempt(attempt: Attempt) -> None:
    """Fine-tune, then evaluate on the source's dev and test and on the target."""
    attempt.prepare()
    print(attempt.command, flush=True)
    if not attempt.is_trained:
        train(attempt.arguments)
        (attempt.folder / "trained").touch()
    evaluate(attempt)
    if not attempt.epochs:
        (attempt.checkpoints / "checkpoint_last.pt").unlink(missing_ok=True)


def train(arguments: Sequence[str]) -> None:
    """fairseq-train in this process."""
    from fairseq import checkpoint_utils, options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq_cli.train import main

    vars(checkpoint_utils.save_checkpoint).pop("best", None)  # fairseq keeps it on the function
    parser = options.get_training_parser()
    main(convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, list(arguments))))


def evaluate(attempt: Attempt) -> None:
    """Write results and predictions of the epoch that is best on the source's dev."""
    model, folder = attempt.model, attempt.folder
    results: list[Result] = []
    finetuned = FineTuned.load(best_checkpoint(attempt), attempt.data, model.vocabulary, model.files)
    for language, split in wanted_splits(attempt, print):
        evaluation = finetuned.evaluate(language, split)
        print(evaluation.report)
        results += results_of(evaluation, model.run, attempt.task, setting=attempt.setting.name)
        if language == model.target:
            write_predictions(evaluation, finetuned, folder / "predictions")
    temporary = folder / "results.partial.jsonl"
    temporary.unlink(missing_ok=True)
    append_results(temporary, results)
    os.replace(temporary, folder / "results.jsonl")


def wanted_splits(attempt: Attempt, say: Callable[[str], None] = lambda _: None) -> list[tuple[str, str]]:
    """Source dev, source test where there is one, and the target."""
    model = attempt.model
    wanted = [(model.source, "dev"), (model.target, model.test_split)]
    if model.test_split != "dev":
        try:
            attempt.file(model.source, model.test_split)
            wanted.insert(1, (model.source, model.test_split))
        except InputError as error:
            say(f"{model.source} {model.test_split} is left out: {error}")
    return wanted


def best_checkpoint(attempt: Attempt) -> Path:
    """The checkpoint of the epoch that is best on dev, among all or among `Attempt.epochs`."""
    if not attempt.epochs:
        return attempt.checkpoints / "checkpoint_best.pt"
    first, last = attempt.epochs
    metric = TASKS[attempt.task][0].metric
    reached: dict[int, float] = {}  # the last validation of an epoch is that of its checkpoint
    for line in (attempt.checkpoints / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["phase"] == "valid":
            reached[int(entry["epoch"])] = entry[metric]
    among = [epoch for epoch in reached if first <= epoch <= last]
    if not among:
        raise InputError(f"--epochs {first}-{last}: there are {len(reached)} epochs", attempt.checkpoints)
    number = max(among, key=lambda epoch: (reached[epoch], -epoch))
    return attempt.checkpoints / f"checkpoint{number}.pt"


def summarise(attempts: Sequence[Attempt]) -> list[Result]:
    """The lines of one task for the run's ``results.jsonl``: means of the two settings that are best on dev."""
    labelled, model = TASKS[attempts[0].task][0], attempts[0].model
    tables = [{result.metric: result for result in read_results(each.folder / "results.jsonl")} for each in attempts]
    dev = [table[f"{labelled.metric}_source_dev"].value for table in tables]
    chosen = best_two(dev)
    names = "+".join(attempts[place].setting.name for place in chosen)
    rule = f"mean_of_best_2_of_{len(tables)}_by_source_dev" if len(tables) > 1 else "only_setting"
    results = []
    for metric, first in tables[chosen[0]].items():
        values = [table[metric].value for table in tables]
        value = mean_of_best_two(zip(dev, values, strict=True)) if len(values) > 1 else values[0]
        parts = parse_signature(first.signature)
        for name in ("setting", "xling", "torch"):  # the versions are put in again
            parts.pop(name, None)
        name = metric
        if model.test_split == "dev" and "_source" not in metric:
            name = metric.replace("_dev", "", 1)  # of the target, dev is what is reported
        results.append(
            replace(
                first,
                **vars(model.run),  # an earlier call may have had another --experiment or --scale
                metric=name,
                value=value,
                signature=signature(**parts, select=rule, settings=names),
            )
        )
    return results


def at_chance(results: Sequence[Result]) -> str | None:
    """A warning where the source's dev accuracy is not clearly above the best constant answer; None where it is."""
    by_metric = {result.metric: result for result in results}
    reached, constant = by_metric.get("accuracy_source_dev"), by_metric.get("accuracy_source_dev_majority")
    if reached is None or constant is None:
        return None
    noise = 3 * math.sqrt(constant.value * (1 - constant.value) / reached.n)
    if reached.value > constant.value + noise:
        return None
    return (
        f"warning: NLI stays at chance on the source language itself: dev accuracy {reached.value:.3f}, and always "
        f"answering the same gives {constant.value:.3f} (n={reached.n}). Nothing was learnt: try a lower --lr for the "
        "encoder, a higher one for the head, more epochs, larger batches; zero-shot scores of this model mean nothing."
    )


def add_results(path: Path, results: Sequence[Result]) -> None:
    """Append results that the file does not say already."""
    known = set(latest(read_results(path))) if path.is_file() else set()
    append_results(path, [result for result in results if result not in known])


def data_folder(root: Path, task: str) -> Path:
    """The folder of a task's data under `root`."""
    found = [root / name for name in FOLDERS[task] if (root / name).is_dir()]
    if not found:
        raise InputError(f"no data of task {task}: expected a folder {' or '.join(FOLDERS[task])}", root)
    return found[0]


def show(results: Sequence[Result], stream=None) -> None:
    """One line a task: target, chance and majority beside it, source."""
    by_metric = {result.metric: result for result in results}
    labelled = TASKS[results[0].task][0]
    main = by_metric[labelled.metric]
    parts = [f"{main.experiment} {main.pair} seed {main.seed} {main.task} {labelled.metric} {100 * main.value:.1f}"]
    for name, label in (("", "majority"), ("_source", "source test"), ("_source_dev", "source dev")):
        other = by_metric.get(f"{labelled.metric}{name}{'_majority' if not name else ''}")
        if other is not None:
            parts.append(f"{label} {100 * other.value:.1f}")
    if main.chance is not None:
        parts.insert(1, f"chance {100 * main.chance:.1f}")
    print("; ".join(parts) + f" (n={main.n})", file=stream or sys.stdout)
