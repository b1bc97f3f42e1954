"""What the three transfer tasks have in common: reading, labels, encoding, scoring, writing; no fairseq model."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from fairseq_xling.data.labelled import Item
from fairseq_xling.data.vocabulary import Segmenter
from fairseq_xling.formats.errors import InputError

Example = TypeVar("Example")


@dataclass(frozen=True)
class Score:
    """One number about a set of predictions.

    Attributes
    ----------
    metric : str
    value : float
        Between 0 and 1.
    n : int
        Number of things the value is a share of: pairs, gold spans, words.
    rule : str
        How it was scored, for the signature.
    """

    metric: str
    value: float
    n: int
    rule: str


@dataclass(frozen=True)
class Baselines:
    """What needs no model, by metric: guesses by chance, and the best constant answer learnt from the training data."""

    chance: dict[str, float] = field(default_factory=dict)
    majority: dict[str, float] = field(default_factory=dict)


class LabelledTask(ABC, Generic[Example]):
    """A kind of labelled data: what fairseq's tasks and the evaluation need to know of it."""

    name: ClassVar[str]
    """As in ``results.jsonl``: ``nli``, ``ner``, ``parsing``."""

    head: ClassVar[str]
    """Which head scores it: ``classification``, ``tagging``, ``parsing``."""

    metric: ClassVar[str]
    """The metric of Table 1, by which models are selected too."""

    extensions: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, path: str | os.PathLike[str], language: str) -> list[Example]:
        """All examples of a file."""

    @abstractmethod
    def labels(self, examples: Iterable[Example]) -> list[str]:
        """The labels that occur, in the order of the model's outputs."""

    @abstractmethod
    def check_labels(self, examples: Sequence[Example], labels: Sequence[str], path: str | os.PathLike[str]) -> int:
        """How many gold labels the model does not know; these count as errors.

        Raises
        ------
        InputError
            The data's label set is not the one of the model.
        """

    @abstractmethod
    def item(self, example: Example, segmenter: Segmenter, labels: dict[str, int], limit: int) -> Item:
        """The example as rows of at most `limit` tokens, with its target."""

    @abstractmethod
    def prediction(self, output: Any, labels: Sequence[str]) -> Any:
        """What `score` and `write` take, from the label numbers that a head decoded."""

    @abstractmethod
    def score(self, examples: Sequence[Example], predictions: Sequence[Any]) -> list[Score]:
        """Scores, that of Table 1 first."""

    @abstractmethod
    def counts(self, examples: Sequence[Example], predictions: Sequence[Any]) -> dict[str, int]:
        """Numbers that can be summed over batches, from which `metric_of_counts` computes `metric`."""

    @staticmethod
    @abstractmethod
    def metric_of_counts(counts: dict[str, float]) -> float:
        """`metric` from summed counts."""

    @abstractmethod
    def baselines(self, examples: Sequence[Example], train: Sequence[Example]) -> Baselines:
        """Chance and majority on `examples`, knowing the training data."""

    @abstractmethod
    def write(self, path: str | os.PathLike[str], examples: Sequence[Example], predictions: Sequence[Any]) -> None:
        """Write the predictions in the data's own format."""


def wrong_label_set(
    kind: str, unknown: Iterable[str], labels: Sequence[str], path: str | os.PathLike[str]
) -> InputError:
    """The error for data whose labels are not those of the model."""
    shown = ", ".join(sorted(unknown)[:5])
    return InputError(f"{kind} {shown} unknown to the model, which was trained on {', '.join(labels)}", path)
