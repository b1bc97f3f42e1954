"""Zero-shot transfer from one frozen layer: data of both languages, the head, and the scores (Figures 5 and 8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq_xling.data.labelled import LabelledBatches
from fairseq_xling.data.labelled_task import LabelledTask, Score
from fairseq_xling.data.ner import NER
from fairseq_xling.data.parsing import Parsing
from fairseq_xling.data.split_files import find_split, parse_given
from fairseq_xling.evaluation.contextual_alignment import LayerMap
from fairseq_xling.evaluation.frozen_transfer import (
    FrozenHead,
    HeadOptions,
    LayerFeatures,
    predict,
    train_head,
    unit_scale,
)
from fairseq_xling.evaluation.numbers import named
from fairseq_xling.evaluation.sides import Side, Sides

TASKS: dict[str, LabelledTask] = {"ner": NER(), "parsing": Parsing()}


@dataclass(frozen=True)
class TransferData:
    """A task's data for one pair of languages, encoded.

    Attributes
    ----------
    task : LabelledTask
    labels : list of str
        Of the source language's training data.
    train, dev : LabelledBatches
        Source language.
    test : LabelledBatches
        Target language.
    chance : float, optional
        On the target language.
    files : tuple of str
        Dev and test file, as a signature names them.
    """

    task: LabelledTask
    labels: list[str]
    train: LabelledBatches
    dev: LabelledBatches
    test: LabelledBatches
    chance: float | None
    files: tuple[str, str]


def read_labelled(name: str, folder: Path, files: str, sides: Sides, seed: int, split: str = "test") -> TransferData:
    """Read and encode what a task needs: train and dev of the source language, `split` of the target language.

    The seed is that of the head: it orders the training data. It has no default, so that nobody forgets it.

    Raises
    ------
    InputError
        A missing file, a malformed one, labels of the target that the source does not have.
    """
    task, given = TASKS[name], parse_given(files)

    def file(side: Side, part: str) -> Path:
        return find_split(folder, side.language, part, task.extensions, given)

    source, target = sides.source, sides.target
    train = task.read(file(source, "train"), source.language)
    dev = task.read(file(source, "dev"), source.language)
    test = task.read(file(target, split), target.language)
    labels = task.labels(train)
    task.check_labels(test, labels, file(target, split))
    return TransferData(
        task,
        labels,
        _encoded(task, train, source, labels, seed),
        _encoded(task, dev, source, labels),
        _encoded(task, test, target, labels),
        task.baselines(test, train).chance.get(task.metric),
        (named(file(source, "dev")), named(file(target, split))),
    )


def _encoded(
    task: LabelledTask, examples: list[Any], side: Side, labels: list[str], seed: int | None = None
) -> LabelledBatches:
    segmenter = side.model.segmenter(side.language)
    numbers = {label: number for number, label in enumerate(labels)}
    items = [task.item(example, segmenter, numbers, side.model.longest_row) for example in examples]
    pad = segmenter.vocabularies.dictionary(side.language).pad()
    return LabelledBatches(items, examples, side.language, pad, seed)


@dataclass(frozen=True)
class TransferScore:
    """A score of the target language, or on dev of the source language."""

    score: Score
    source: bool
    chance: float | None
    file: str


class LayerTransfer:
    """A head on one layer of the source model, scored through the same layer of the target model.

    Parameters
    ----------
    sides : Sides
    layer : int
        0: embeddings.
    layer_map : LayerMap, optional
        None: features are only brought to unit scale.
    data : TransferData
    options : HeadOptions
    """

    def __init__(self, sides: Sides, layer: int, layer_map: LayerMap | None, data: TransferData, options: HeadOptions):
        self.data, self.options = data, options
        source, target = sides.source.model, sides.target.model
        if layer_map is None:
            data.train.lay_out(options.batch_size)
            to_source = to_target = unit_scale(source, layer, data.train)
        else:
            to_source, to_target = layer_map.map_source, layer_map.map_target
        self.source = LayerFeatures(source, layer, to_source, options.bf16)
        self.target = LayerFeatures(target, layer, to_target, options.bf16)
        self.head: FrozenHead | None = None

    def train(self, progress: str | None = None) -> None:
        """Train the head on the source language."""
        data = self.data
        self.head, _ = train_head(self.source, data.task, data.labels, data.train, data.dev, self.options, progress)

    def scores(self) -> Iterator[TransferScore]:
        """The task's metric on the target language, then on the source language's dev set."""
        data = self.data
        assert self.head is not None, "train first"
        for features, batches, source in ((self.target, data.test, False), (self.source, data.dev, True)):
            predicted = predict(self.head, features, data.task, data.labels, batches)
            score = data.task.score(batches.gold, predicted)[0]
            yield TransferScore(score, source, None if source else data.chance, data.files[0 if source else 1])
