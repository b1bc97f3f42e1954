"""Dependency parsing: a head and a relation for each word."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from fairseq_xling.analysis import AttachmentScore, Word, attachment_scores
from fairseq_xling.data.labelled import IGNORED, Item, sentence_item
from fairseq_xling.data.labelled_task import Baselines, LabelledTask, Score, wrong_label_set
from fairseq_xling.data.vocabulary import Segmenter
from fairseq_xling.formats.conllu import Sentence, read_conllu, write_conllu

UNSCORED = frozenset({"PUNCT", "SYM"})
"""Gold parts of speech that do not count, as in the second author's evaluation code."""

ROOT = "root"

Tree = Sequence[tuple[int, str]]
"""Head and relation of each word."""


class Parsing(LabelledTask[Sentence]):
    """CoNLL-U; LAS of universal relations (subtypes stripped) without PUNCT and SYM, and of all words beside it."""

    name, head, metric = "parsing", "parsing", "las"
    extensions = ("conllu",)

    def read(self, path: str | os.PathLike[str], language: str) -> list[Sentence]:
        return list(read_conllu(path))

    def labels(self, examples: Iterable[Sentence]) -> list[str]:
        return sorted({universal(word.deprel) for sentence in examples for word in sentence.words})

    def check_labels(self, examples: Sequence[Sentence], labels: Sequence[str], path: str | os.PathLike[str]) -> int:
        """Treebanks differ in rare relations: refused only where more than half of the words have unknown ones."""
        found = Counter(universal(word.deprel) for sentence in examples for word in sentence.words)
        unknown = {relation: count for relation, count in found.items() if relation not in labels}
        if sum(unknown.values()) * 2 > found.total():
            raise wrong_label_set("relation", unknown, labels, path)
        return sum(unknown.values())

    def item(self, example: Sentence, segmenter: Segmenter, labels: dict[str, int], limit: int) -> Item:
        target = [(word.head, labels.get(universal(word.deprel), IGNORED)) for word in example.words]
        return sentence_item(*segmenter.encode_words(example.forms), np.array(target, dtype=np.int64), limit)

    def prediction(self, output: Sequence[tuple[int, int]], labels: Sequence[str]) -> list[tuple[int, str]]:
        return [(head, labels[relation]) for head, relation in output]

    def score(self, examples: Sequence[Sentence], predictions: Sequence[Tree]) -> list[Score]:
        content, every = self._attachment(examples, predictions, UNSCORED), self._attachment(examples, predictions)
        return [
            Score("las", content.las, content.words, content.rule),
            Score("uas", content.uas, content.words, content.rule),
            Score("las_all_words", every.las, every.words, every.rule),
            Score("uas_all_words", every.uas, every.words, every.rule),
        ]

    @staticmethod
    def _attachment(
        examples: Sequence[Sentence], predictions: Sequence[Tree], ignore: frozenset[str] = frozenset()
    ) -> AttachmentScore:
        trees = [[Word(*arc) for arc in tree] for tree in predictions]
        return attachment_scores([sentence.words for sentence in examples], trees, ignore)

    def counts(self, examples: Sequence[Sentence], predictions: Sequence[Tree]) -> dict[str, int]:
        if all(word.upos in UNSCORED for sentence in examples for word in sentence.words):
            return {"words": 0, "heads": 0, "arcs": 0}
        found = self._attachment(examples, predictions, UNSCORED)
        return {"words": found.words, "heads": found.correct_heads, "arcs": found.correct_arcs}

    @staticmethod
    def metric_of_counts(counts: dict[str, float]) -> float:
        return counts["arcs"] / max(counts["words"], 1)

    def baselines(self, examples: Sequence[Sentence], train: Sequence[Sentence]) -> Baselines:
        """Chance: the expected value of an even draw of the head and of the relation as frequent as in training.

        Majority: every word hangs on the word at the training set's most frequent distance, with the relation most
        frequent there; where that leaves the sentence, on the root.
        """
        seen = [(word.head - place, universal(word.deprel)) for s in train for place, word in enumerate(s.words, 1)]
        share = Counter(relation for _, relation in seen)
        scored = [
            (len(s.words), universal(word.deprel)) for s in examples for word in s.words if word.upos not in UNSCORED
        ]
        chance = float(np.mean([share[relation] / share.total() / words for words, relation in scored]))
        hangs = [(place, word) for s in train for place, word in enumerate(s.words, 1) if word.head]
        offset = Counter(word.head - place for place, word in hangs).most_common(1)[0][0]
        relation = Counter(universal(w.deprel) for place, w in hangs if w.head - place == offset).most_common(1)[0][0]
        constant = [
            [_inside(place + offset, len(s.words), relation) for place in range(1, len(s.words) + 1)] for s in examples
        ]
        return Baselines({"las": chance}, {"las": self._attachment(examples, constant, UNSCORED).las})

    def write(self, path: str | os.PathLike[str], examples: Sequence[Sentence], predictions: Sequence[Tree]) -> None:
        write_conllu(path, examples, predictions)


def universal(relation: str) -> str:
    """A relation without its subtype: ``nsubj`` of ``nsubj:pass``."""
    return relation.partition(":")[0]


def _inside(head: int, words: int, relation: str) -> tuple[int, str]:
    return (head, relation) if 1 <= head <= words else (0, ROOT)
