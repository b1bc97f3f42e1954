"""Zero-shot transfer: a model fine-tuned on one language, applied to others (paper, section 3.2)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils, utils
from tqdm import tqdm

from fairseq_xling.data.labelled import LabelledBatches
from fairseq_xling.data.labelled_task import Baselines, Score
from fairseq_xling.evaluation.numbers import named
from fairseq_xling.evaluation.pretrained import default_device
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.manifest import read_manifest
from fairseq_xling.formats.results import Result, Run, signature
from fairseq_xling.models.transfer import XlingTransferModel
from fairseq_xling.tasks.transfer import TransferTask, describe_encoding


@dataclass(frozen=True)
class Evaluation:
    """What a model reached on one file.

    Attributes
    ----------
    examples, predictions : list
    scores : list of Score
        That of Table 1 first.
    baselines : Baselines
        Empty where the training data is not at hand.
    signature : dict of str to str
        How it was scored, beside the rule.
    report : str
        One line: how much was read and what was lost.
    """

    examples: list[Any]
    predictions: list[Any]
    scores: list[Score]
    baselines: Baselines
    signature: dict[str, str]
    report: str


class FineTuned:
    """A fine-tuned model and its task, ready for any language that the model has.

    Parameters
    ----------
    model : XlingTransferModel
    task : TransferTask
    """

    def __init__(self, model: XlingTransferModel, task: TransferTask):
        self.model, self.task = model.eval(), task
        assert task.description is not None
        self.description = task.description

    @classmethod
    def load(
        cls,
        checkpoint: str | os.PathLike[str],
        data: str | os.PathLike[str] | None = None,
        vocabulary: str | os.PathLike[str] | None = None,
        files: str = "",
        device: str | None = None,
    ) -> FineTuned:
        """Read a checkpoint of a fine-tuning task.

        Parameters
        ----------
        checkpoint : path-like
        data, vocabulary : path-like, optional
            Folder of labelled data, and data-bin; by default where they were at training.
        files : str
            As ``--files`` of the task.
        device : str, optional
            By default a GPU where there is one.
        """
        if not Path(checkpoint).is_file():
            raise InputError("no such checkpoint", checkpoint)
        overrides = {
            key: os.fspath(value)
            for key, value in {"data": data, "vocabulary": vocabulary, "files": files or None}.items()
            if value is not None
        }
        (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([os.fspath(checkpoint)], overrides)
        if not isinstance(model, XlingTransferModel):
            raise InputError("not a checkpoint of xling_classification, xling_tagging or xling_parsing", checkpoint)
        return cls(model.to(device or default_device()), task)

    def predict(self, batches: LabelledBatches, batch_size: int = 64, progress: str | None = None) -> list[Any]:
        """Predictions for all items, in their order."""
        cuda = next(self.model.parameters()).is_cuda
        batches.lay_out(batch_size)
        found: list[Any] = [None] * len(batches.items)
        for chosen in tqdm(batches.members(1), desc=progress, disable=progress is None, leave=False, delay=2):
            sample = batches.sample(chosen)
            made = self.task.predict(utils.move_to_cuda(sample) if cuda else sample, self.model)
            for index, prediction in zip(chosen.tolist(), made, strict=True):
                found[index] = prediction
        return found

    def evaluate(self, language: str, split: str, batch_size: int = 64, progress: bool = False) -> Evaluation:
        """Score the model on one split of a language.

        Raises
        ------
        InputError
            A language that the model does not have, no such data, labels that are not the model's.
        """
        task, labelled = self.task, self.task.labelled
        path = task.file(language, split)
        examples = task.read(language, split)
        unknown = labelled.check_labels(examples, self.description.labels, path)
        batches = task.encode(examples, language)
        predictions = self.predict(batches, batch_size, f"{language} {split}" if progress else None)
        parts = self._signature(path, language, split, batches, unknown)
        report = describe_encoding(batches, f"{language} {split}", unknown)
        return Evaluation(
            examples, predictions, labelled.score(examples, predictions), self._baselines(examples), parts, report
        )

    def _baselines(self, examples: list[Any]) -> Baselines:
        try:
            train = self.task.read(self.description.source, "train")
        except InputError:
            return Baselines()
        return self.task.labelled.baselines(examples, train)

    def _signature(
        self, path: Path, language: str, split: str, batches: LabelledBatches, unknown: int
    ) -> dict[str, str]:
        vocabulary = self.task.vocabulary_infos(self.description)[language].digest
        parts = {
            "data": named(path),
            "split": split,
            "language": language,
            "source": self.description.source,
            "casing": str(read_manifest(self.task.cfg.vocabulary)["casing"]),
            "vocabulary": vocabulary[:12],
            "cut": str(batches.num_cut),
            "in_several_rows": str(sum(len(item.rows) > 1 for item in batches.items)),
            "unknown_labels": str(unknown),
        }
        return {key: value for key, value in parts.items() if value != "0"}


def results_of(evaluation: Evaluation, run: Run, task: str, **more: str) -> list[Result]:
    """The lines of one evaluation for ``results.jsonl``.

    Names of metrics: ``f1`` on the target language's test set, ``f1_source`` on the language of fine-tuning, either
    with ``_dev`` behind it on development data and ``_train`` on training data, so that only test scores go into
    tables; ``f1_majority`` is the best constant answer on the same data.

    Parameters
    ----------
    more : str
        Further parts of the signature.
    """
    parts = evaluation.signature
    split = "dev" if parts["split"] == "valid" else parts["split"]
    suffix = ("_source" if parts["language"] == parts["source"] else "") + ("" if split == "test" else f"_{split}")
    results = []
    for score in evaluation.scores:
        for kind, value, chance in (
            ("", score.value, evaluation.baselines.chance.get(score.metric)),
            ("_majority", evaluation.baselines.majority.get(score.metric), None),
        ):
            if value is not None:
                results.append(
                    Result(
                        **vars(run),
                        task=task,
                        metric=score.metric + suffix + kind,
                        layer=None,
                        value=float(value),
                        chance=chance,
                        n=score.n,
                        signature=signature(**{**parts, "rule": score.rule, **more}),
                    )
                )
    return results


def write_predictions(evaluation: Evaluation, finetuned: FineTuned, folder: str | os.PathLike[str]) -> Path:
    """Write ``<language>.<split>.<extension>`` in the data's own format; the path."""
    labelled, parts = finetuned.task.labelled, evaluation.signature
    path = Path(folder) / f"{parts['language']}.{parts['split']}.{labelled.extensions[0]}"
    labelled.write(path, evaluation.examples, evaluation.predictions)
    return path
