"""BIO spans: the paper's repair rule and conlleval's, literally; seqeval where tags are valid."""

from __future__ import annotations

import numpy as np
import pytest
import seqeval.metrics
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from fairseq_xling.analysis import bio_spans, invalid_tags, repair_tags, span_f1

TAGS = ["O", "B-X", "I-X", "B-Y", "I-Y", "B-Z", "I-Z"]


@pytest.mark.parametrize(
    ("tags", "last_type", "conlleval"),
    [
        # valid tags: both rules agree
        ("", "", ""),
        ("O O", "O O", "O O"),
        ("B-X I-X O B-Y", "B-X I-X O B-Y", "B-X I-X O B-Y"),
        ("B-X B-X I-X", "B-X B-X I-X", "B-X B-X I-X"),
        # an I that starts a span becomes a B
        ("I-X", "B-X", "B-X"),
        ("O I-X I-X O", "O B-X I-X O", "O B-X I-X O"),
        ("B-X O I-X", "B-X O B-X", "B-X O B-X"),
        # the type changes inside: the paper gives the whole span the last type, conlleval starts a new one
        ("B-X I-Y I-Z", "B-Z I-Z I-Z", "B-X B-Y B-Z"),
        ("B-X I-Y I-X", "B-X I-X I-X", "B-X B-Y B-X"),
        ("B-X I-X I-Y I-Y", "B-Y I-Y I-Y I-Y", "B-X I-X B-Y I-Y"),
        # both at once
        ("O I-X I-Y", "O B-Y I-Y", "O B-X B-Y"),
        # a B always starts a span
        ("I-X B-X I-Y", "B-X B-Y I-Y", "B-X B-X B-Y"),
        ("B-X I-Y O I-Z", "B-Y I-Y O B-Z", "B-X B-Y O B-Z"),
        # a type may hold a dash
        ("B-geo-loc I-geo-loc", "B-geo-loc I-geo-loc", "B-geo-loc I-geo-loc"),
    ],
)
def test_repair(tags, last_type, conlleval):
    assert repair_tags(tags.split()) == last_type.split()
    assert repair_tags(tags.split(), "conlleval") == conlleval.split()


@given(st.lists(st.sampled_from(TAGS), max_size=12), st.sampled_from(["last_type", "conlleval"]))
def test_repaired_tags_are_valid_mean_the_same_and_stay(tags, rule):
    repaired = repair_tags(tags, rule)
    assert invalid_tags(repaired) == []
    assert bio_spans(repaired, rule) == bio_spans(tags, rule)
    assert repair_tags(repaired, "last_type") == repair_tags(repaired, "conlleval") == repaired
    if not invalid_tags(tags):
        assert repaired == tags


@given(st.lists(st.sampled_from(TAGS), max_size=12))
def test_conllevals_rule_is_seqevals_default_reading(tags):
    seqevals = [(start, end + 1, kind) for kind, start, end in get_entities(tags)]
    assert [tuple(span) for span in bio_spans(tags, "conlleval")] == seqevals


def test_spans_of_a_sentence():
    assert bio_spans(["B-PER", "I-PER", "O", "B-LOC"]) == [(0, 2, "PER"), (3, 4, "LOC")]


def test_invalid_tags():
    assert invalid_tags(["I-X", "I-X", "I-Y", "O", "I-Y", "B-X", "I-X"]) == [0, 2, 4]


def test_seqeval_agrees_on_valid_tags():
    rng = np.random.default_rng(0)
    gold = [repair_tags(rng.choice(TAGS, size=length).tolist()) for length in rng.integers(1, 20, size=300)]
    predicted = [repair_tags([tag if rng.random() < 0.7 else str(rng.choice(TAGS)) for tag in tags]) for tags in gold]
    for rule in ("last_type", "conlleval"):
        score = span_f1(gold, predicted, rule)
        assert 0.2 < score.f1 < 0.9
        assert score.invalid_gold == score.invalid_predicted == 0
        assert score.precision == pytest.approx(seqeval.metrics.precision_score(gold, predicted))
        assert score.recall == pytest.approx(seqeval.metrics.recall_score(gold, predicted))
        assert score.f1 == pytest.approx(seqeval.metrics.f1_score(gold, predicted))


def test_seqeval_agrees_on_invalid_tags_under_conllevals_rule():
    rng = np.random.default_rng(1)
    gold, predicted = ([rng.choice(TAGS, size=9).tolist() for _ in range(300)] for _ in range(2))
    assert span_f1(gold, predicted, "conlleval").f1 == pytest.approx(seqeval.metrics.f1_score(gold, predicted))


def test_counts():
    gold = [["B-X", "I-X", "O", "B-Y"], ["O", "B-X"]]
    predicted = [["B-X", "I-X", "O", "B-X"], ["I-X", "B-X"]]
    score = span_f1(gold, predicted)
    assert (score.gold, score.predicted, score.correct, score.invalid_predicted) == (3, 4, 2, 1)
    assert (score.precision, score.recall, score.f1) == (1 / 2, 2 / 3, 4 / 7)
    assert (score.rule, score.gold_rule) == ("last_type", "conlleval")


def test_the_rules_give_different_scores_where_a_type_changes():
    gold, predicted = [["B-Y", "I-Y", "I-Y"]], [["B-X", "I-Y", "I-Y"]]
    assert span_f1(gold, predicted).f1 == 1
    assert span_f1(gold, predicted, "conlleval").f1 == 0


def test_invalid_gold_is_read_as_conlleval_reads_it_and_counted():
    gold = [["O", "I-X", "I-Y"]]
    score = span_f1(gold, [["O", "B-X", "B-Y"]])
    assert (score.f1, score.gold, score.invalid_gold) == (1, 2, 2)
    assert span_f1(gold, [["O", "B-Y", "I-Y"]], gold_repair="last_type").f1 == 1
    with pytest.raises(ValueError, match="sentence 0, word 1: gold tag I-X starts no span"):
        span_f1(gold, gold, gold_repair=None)


def test_nothing_found_and_nothing_there():
    assert span_f1([["B-X"]], [["O"]]).f1 == 0
    assert span_f1([["O"]], [["O"]]).f1 == 0
    assert span_f1([[]], [[]]).precision == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: span_f1([], []), "at least one sentence"),
        (lambda: span_f1([["O"]], []), "got 0 for 1"),
        (lambda: span_f1([["O"], ["O"]], [["O"], ["O", "O"]]), "sentence 1: 1 gold tags but 2"),
        (lambda: bio_spans(["E-X"]), "'E-X'"),
        (lambda: bio_spans(["B"]), "'B'"),
        (lambda: bio_spans(["I-"]), "'I-'"),
        (lambda: bio_spans([""]), "expected a tag"),
        (lambda: bio_spans(["O"], "paper"), "last_type, conlleval"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
