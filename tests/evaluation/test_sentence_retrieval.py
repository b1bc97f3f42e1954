"""Sentence retrieval and similarity, layer by layer, on features whose relation is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from fairseq_xling.analysis import linear_cka
from fairseq_xling.evaluation.sentence_retrieval import (
    aligned_retrieval_by_layer,
    mapped,
    retrieval,
    retrieval_by_layer,
)
from fairseq_xling.evaluation.similarity import cka_by_layer

RNG = np.random.default_rng(7)


def test_both_directions_by_hand():
    x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.2]])
    y = np.array([[1.0, 0.1], [0.1, 1.0], [0.0, 2.0]])
    # x -> y: row 0 finds 0, row 1 finds 2 (wrong), row 2 finds 0 (wrong); y -> x: 0 finds 0 or 2?, cosine says 0 ~ 2
    there, back = retrieval(x, y)
    cosines = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (y / np.linalg.norm(y, axis=1, keepdims=True)).T
    assert there == pytest.approx(np.mean(cosines.argmax(1) == np.arange(3))) == pytest.approx(1 / 3)
    assert back == pytest.approx(np.mean(cosines.argmax(0) == np.arange(3)))


def test_centring_removes_what_all_sentences_of_a_language_share():
    meaning = RNG.normal(size=(2, 50, 10)).astype(np.float32)
    offset = np.full(10, 40.0, dtype=np.float32) * RNG.normal(size=10).astype(np.float32)
    assert retrieval_by_layer(meaning, meaning + offset) == [(1.0, 1.0)] * 2
    assert min(retrieval_by_layer(meaning, meaning + offset, centred=False)[0]) < 0.1


def test_one_map_a_layer_makes_models_trained_apart_alike():
    layers, dim = 3, 12
    x = RNG.normal(size=(layers, 150, dim)) + 2 * RNG.normal(size=(layers, 1, dim))  # each side has a mean of its own
    y = np.stack([layer @ ortho_group.rvs(dim, random_state=i) for i, layer in enumerate(x)])
    found = aligned_retrieval_by_layer(x[:, 100:], y[:, 100:], x[:, :100], y[:, :100])
    assert found == [(1.0, 1.0)] * layers
    np.testing.assert_allclose(*mapped(x[0, 100:], y[0, 100:], x[0, :100], y[0, :100]), atol=1e-9)
    assert max(max(pair) for pair in retrieval_by_layer(x, y)) < 0.2


def test_test_sentences_do_not_change_the_map():
    x, y = RNG.normal(size=(40, 6)), RNG.normal(size=(40, 6))
    one, _ = mapped(x[30:31], y[30:], x[:30], y[:30])
    many, _ = mapped(x[30:], y[30:], x[:30], y[:30])
    np.testing.assert_allclose(one[0], many[0])


def test_sides_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="not 3 and 4"):
        retrieval_by_layer(np.ones((2, 3, 5)), np.ones((2, 4, 5)))


@pytest.mark.parametrize("debiased", [False, True])
def test_cka_of_each_layer(debiased):
    x, y = RNG.normal(size=(3, 30, 6)), RNG.normal(size=(3, 30, 4))
    assert cka_by_layer(x, y, debiased=debiased) == pytest.approx([linear_cka(x[i], y[i], debiased) for i in range(3)])
