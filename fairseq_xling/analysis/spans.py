"""Named entities in BIO tags: the paper's repair rule, conlleval's rule, and span F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

RULES = ("last_type", "conlleval")


class Span(NamedTuple):
    """Words `start` to `end` (counted from 0, `end` not included) of one type."""

    start: int
    end: int
    type: str


@dataclass(frozen=True)
class SpanScore:
    """Micro-averaged scores over all spans, between 0 and 1, and the counts behind them.

    Attributes
    ----------
    gold, predicted, correct : int
        Numbers of spans; correct means the same words and the same type.
    invalid_gold, invalid_predicted : int
        Numbers of tags that are not valid BIO (an I-X that does not continue a span of type X).
    rule, gold_rule : str
        How invalid tags were read.
    """

    gold: int
    predicted: int
    correct: int
    invalid_gold: int
    invalid_predicted: int
    rule: str
    gold_rule: str

    @property
    def precision(self) -> float:
        """Correct share of the predicted spans; 0 where there is none."""
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the gold spans that was found; 0 where there is none."""
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing is correct, as in conlleval."""
        return 2 * self.correct / (self.gold + self.predicted) if self.correct else 0.0


def bio_spans(tags: Sequence[str], rule: str = "last_type") -> list[Span]:
    """The spans of one sentence.

    Parameters
    ----------
    tags : sequence of str
        ``O``, ``B-TYPE``, ``I-TYPE``.
    rule : {"last_type", "conlleval"}
        What invalid tags mean; valid ones mean the same under both. In both, an I-X that starts a span counts as B-X.
        Where the type changes inside a span: ``last_type``, the paper's rule, gives the whole span the last type
        (B-X I-Y I-Z is one span of type Z); ``conlleval`` starts a new span (three spans: X, Y, Z).

    Raises
    ------
    ValueError
        At a tag of another form, or an unknown rule.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, not {rule!r}")
    found: list[Span] = []
    for position, tag in enumerate(tags):
        prefix, type_ = _split(tag)
        if prefix == "O":
            continue
        last = found[-1] if found else None
        goes_on = prefix == "I" and last is not None and last.end == position
        if last is not None and goes_on and (rule == "last_type" or last.type == type_):
            found[-1] = Span(last.start, position + 1, type_)
        else:
            found.append(Span(position, position + 1, type_))
    return found


def repair_tags(tags: Sequence[str], rule: str = "last_type") -> list[str]:
    """Valid BIO tags that hold the `bio_spans` of `tags` under `rule`; valid tags come back as they are."""
    repaired = ["O"] * len(tags)
    for span in bio_spans(tags, rule):
        repaired[span.start : span.end] = [f"B-{span.type}"] + [f"I-{span.type}"] * (span.end - span.start - 1)
    return repaired


def invalid_tags(tags: Sequence[str]) -> list[int]:
    """Positions (from 0) of tags that are not valid BIO: an I-X that follows neither B-X nor I-X."""
    parts = [_split(tag) for tag in tags]
    return [
        position
        for position, (prefix, type_) in enumerate(parts)
        if prefix == "I" and (position == 0 or parts[position - 1][0] == "O" or parts[position - 1][1] != type_)
    ]


def span_f1(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    repair: str = "last_type",
    gold_repair: str | None = "conlleval",
) -> SpanScore:
    """Precision, recall and F1 of predicted entity spans, micro-averaged over the sentences.

    On valid tags this is what conlleval and seqeval (default mode) compute.

    Parameters
    ----------
    gold, predicted : sequences of sentences, each a sequence of BIO tags
        Of the same lengths.
    repair : {"last_type", "conlleval"}
        How invalid predictions are read, see `bio_spans`. The default is the paper's rule.
    gold_repair : {"conlleval", "last_type", None}
        How invalid gold is read. Real sets hold some (the Chinese WikiAnn has an I-X after O once in 500 tokens), so
        that the default reads them as conlleval does and counts them in `SpanScore.invalid_gold`; the paper's change
        of types is not applied to gold unless asked for. None refuses invalid gold.

    Raises
    ------
    ValueError
        If lengths differ, there are no sentences, a tag is malformed, or `gold_repair` is None and gold is invalid.
    """
    if len(gold) != len(predicted) or not len(gold):
        raise ValueError(f"expected predictions for at least one sentence, got {len(predicted)} for {len(gold)}")
    counts = {"gold": 0, "predicted": 0, "correct": 0, "invalid_gold": 0, "invalid_predicted": 0}
    for number, (gold_tags, predicted_tags) in enumerate(zip(gold, predicted, strict=True)):
        if len(gold_tags) != len(predicted_tags):
            raise ValueError(f"sentence {number}: {len(gold_tags)} gold tags but {len(predicted_tags)} predicted ones")
        invalid = invalid_tags(gold_tags)
        if invalid and gold_repair is None:
            raise ValueError(f"sentence {number}, word {invalid[0]}: gold tag {gold_tags[invalid[0]]} starts no span")
        gold_spans = set(bio_spans(gold_tags, gold_repair or "conlleval"))
        predicted_spans = set(bio_spans(predicted_tags, repair))
        counts["gold"] += len(gold_spans)
        counts["predicted"] += len(predicted_spans)
        counts["correct"] += len(gold_spans & predicted_spans)
        counts["invalid_gold"] += len(invalid)
        counts["invalid_predicted"] += len(invalid_tags(predicted_tags))
    return SpanScore(**counts, rule=repair, gold_rule=gold_repair or "refused")


def _split(tag: str) -> tuple[str, str]:
    if tag == "O":
        return "O", ""
    prefix, dash, type_ = tag.partition("-")
    if prefix not in ("B", "I") or not dash or not type_:
        raise ValueError(f"expected a tag O, B-TYPE or I-TYPE, not {tag!r}")
    return prefix, type_
