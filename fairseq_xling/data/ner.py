"""Named entities: a BIO tag for each word, scored by spans."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from fairseq_xling.analysis import SpanScore, span_f1
from fairseq_xling.data.labelled import IGNORED, Item, sentence_item
from fairseq_xling.data.labelled_task import Baselines, LabelledTask, Score, wrong_label_set
from fairseq_xling.data.vocabulary import Segmenter
from fairseq_xling.formats.bio import TaggedSentence, read_bio, write_bio


class NER(LabelledTask[TaggedSentence]):
    """BIO columns; span F1 after the paper's repair rule (a span takes its last type), conlleval's beside it."""

    name, head, metric = "ner", "tagging", "f1"
    extensions = ("tsv", "bio")

    def read(self, path: str | os.PathLike[str], language: str) -> list[TaggedSentence]:
        return list(read_bio(path))

    def labels(self, examples: Iterable[TaggedSentence]) -> list[str]:
        return sorted({tag for sentence in examples for tag in sentence.tags}, key=lambda tag: (tag != "O", tag))

    def check_labels(
        self, examples: Sequence[TaggedSentence], labels: Sequence[str], path: str | os.PathLike[str]
    ) -> int:
        types = {_type(tag) for tag in labels}
        found = Counter(tag for sentence in examples for tag in sentence.tags)
        if unknown := {_type(tag) for tag in found} - types:
            raise wrong_label_set("entity type", unknown, labels, path)
        return sum(count for tag, count in found.items() if tag not in labels)

    def item(self, example: TaggedSentence, segmenter: Segmenter, labels: dict[str, int], limit: int) -> Item:
        target = np.array([labels.get(tag, IGNORED) for tag in example.tags], dtype=np.int64)
        return sentence_item(*segmenter.encode_words(example.tokens), target, limit)

    def prediction(self, output: Sequence[int], labels: Sequence[str]) -> list[str]:
        return [labels[number] for number in output]

    def score(self, examples: Sequence[TaggedSentence], predictions: Sequence[Sequence[str]]) -> list[Score]:
        found, conlleval = (self._spans(examples, predictions, rule) for rule in ("last_type", "conlleval"))
        return [
            Score(metric, value, max(spans.gold, 1), f"spans,repair:{spans.rule},gold:{spans.gold_rule}")
            for metric, value, spans in (
                ("f1", found.f1, found),
                ("precision", found.precision, found),
                ("recall", found.recall, found),
                ("f1_conlleval", conlleval.f1, conlleval),
            )
        ]

    @staticmethod
    def _spans(
        examples: Sequence[TaggedSentence], predictions: Sequence[Sequence[str]], rule: str = "last_type"
    ) -> SpanScore:
        return span_f1([sentence.tags for sentence in examples], predictions, rule)

    def counts(self, examples: Sequence[TaggedSentence], predictions: Sequence[Sequence[str]]) -> dict[str, int]:
        found = self._spans(examples, predictions)
        return {"gold": found.gold, "predicted": found.predicted, "correct": found.correct}

    @staticmethod
    def metric_of_counts(counts: dict[str, float]) -> float:
        return 2 * counts["correct"] / max(counts["gold"] + counts["predicted"], 1)

    def baselines(self, examples: Sequence[TaggedSentence], train: Sequence[TaggedSentence]) -> Baselines:
        """Chance: tags drawn from the training set's distribution (seeded). Majority: the most frequent tag."""
        seen = Counter(tag for sentence in train for tag in sentence.tags)
        tags, share = list(seen), np.array(list(seen.values())) / seen.total()
        generator = np.random.default_rng(0)
        drawn = [[tags[i] for i in generator.choice(len(tags), len(s.tokens), p=share)] for s in examples]
        most = seen.most_common(1)[0][0]
        constant = [[most] * len(sentence.tokens) for sentence in examples]
        return Baselines({"f1": self._spans(examples, drawn).f1}, {"f1": self._spans(examples, constant).f1})

    def write(
        self, path: str | os.PathLike[str], examples: Sequence[TaggedSentence], predictions: Sequence[Sequence[str]]
    ) -> None:
        write_bio(path, zip((sentence.tokens for sentence in examples), predictions, strict=True))


def _type(tag: str) -> str:
    return tag.partition("-")[2]
