"""Natural language inference: pairs of sentences with one label each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

from fairseq_xling.analysis import accuracy, chance, majority_baseline
from fairseq_xling.data.labelled import Item, pair_item
from fairseq_xling.data.labelled_task import Baselines, LabelledTask, Score, wrong_label_set
from fairseq_xling.data.vocabulary import Segmenter
from fairseq_xling.formats.nli import LABELS, Pair, read_nli, write_nli


class NLI(LabelledTask[Pair]):
    """XNLI's three labels, accuracy. Raw text is tokenised as the training text was."""

    name, head, metric = "nli", "classification", "accuracy"
    extensions = ("tsv",)

    def read(self, path: str | os.PathLike[str], language: str) -> list[Pair]:
        return list(read_nli(path, language))

    def labels(self, examples: Iterable[Pair]) -> list[str]:
        found = {pair.label for pair in examples}
        return [label for label in LABELS if label in found]

    def check_labels(self, examples: Sequence[Pair], labels: Sequence[str], path: str | os.PathLike[str]) -> int:
        if unknown := {pair.label for pair in examples} - set(labels):
            raise wrong_label_set("label", unknown, labels, path)
        return 0

    def item(self, example: Pair, segmenter: Segmenter, labels: dict[str, int], limit: int) -> Item:
        premise, hypothesis = (segmenter.encode(segmenter.tokenise(text)) for text in example[:2])
        return pair_item(premise, hypothesis, labels[example.label], limit)

    def prediction(self, output: int, labels: Sequence[str]) -> str:
        return labels[output]

    def score(self, examples: Sequence[Pair], predictions: Sequence[str]) -> list[Score]:
        return [Score("accuracy", accuracy([pair.label for pair in examples], predictions), len(examples), "accuracy")]

    def counts(self, examples: Sequence[Pair], predictions: Sequence[str]) -> dict[str, int]:
        right = int(np.sum([pair.label == guess for pair, guess in zip(examples, predictions, strict=True)]))
        return {"correct": right, "pairs": len(examples)}

    @staticmethod
    def metric_of_counts(counts: dict[str, float]) -> float:
        return counts["correct"] / max(counts["pairs"], 1)

    def baselines(self, examples: Sequence[Pair], train: Sequence[Pair]) -> Baselines:
        gold, seen = ([pair.label for pair in pairs] for pairs in (examples, train))
        return Baselines({"accuracy": chance(len(set(seen)))}, {"accuracy": majority_baseline(gold, seen)})

    def write(self, path: str | os.PathLike[str], examples: Sequence[Pair], predictions: Sequence[str]) -> None:
        write_nli(path, examples, predictions)
