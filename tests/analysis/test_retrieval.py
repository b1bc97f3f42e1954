"""Dense cosine and CSLS against loops, and precision@1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fairseq_xling.analysis import cosine_scores, csls, precision_at_1


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    lengths = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / lengths) if lengths else 0.0


def test_cosine_by_definition():
    X, Y = np.random.default_rng(0).normal(size=(5, 3)), np.random.default_rng(1).normal(size=(4, 3))
    X[2] = 0
    expected = [[cosine(x, y) for y in Y] for x in X]
    np.testing.assert_allclose(cosine_scores(X, Y), expected, atol=1e-15)


@pytest.mark.parametrize(("n", "m", "k"), [(30, 20, 10), (7, 30, 10), (30, 7, 10), (5, 4, 1)])
def test_csls_by_definition(n, m, k):
    X, Y = np.random.default_rng(0).normal(size=(n, 3)), np.random.default_rng(1).normal(size=(m, 3))
    X[0], Y[0], Y[1] = 0, 0, Y[2]
    similarity = [[cosine(x, y) for y in Y] for x in X]
    near_x = [np.mean(sorted(row, reverse=True)[:k]) for row in similarity]
    near_y = [np.mean(sorted(column, reverse=True)[:k]) for column in zip(*similarity, strict=True)]
    expected = [[2 * similarity[i][j] - near_x[i] - near_y[j] for j in range(m)] for i in range(n)]
    np.testing.assert_allclose(csls(X, Y, k), expected, atol=1e-14)


def test_csls_turns_away_from_a_hub():
    # the last target is nearest to every source by cosine, and so nobody's translation
    X = np.eye(4) + 0.8
    Y = np.vstack([np.eye(4) + 0.1, np.ones(4)])
    assert (cosine_scores(X, Y).argmax(1) == 4).all()
    assert (csls(X, Y, k=3).argmax(1) == np.arange(4)).all()


def test_k_must_be_positive():
    with pytest.raises(ValueError, match="k must be"):
        csls(np.ones((2, 2)), np.ones((2, 2)), k=0)


def test_precision_of_retrieval():
    assert precision_at_1([0, 1, 2, 0]) == 0.75
    assert precision_at_1(np.array([[0, 5], [5, 1]])) == 0.5
    assert precision_at_1(torch.tensor([[1], [0]])) == 0.0


def test_precision_with_one_answer_and_with_several_allowed():
    assert precision_at_1([3, 1], [3, 2]) == 0.5
    assert precision_at_1([3, 1], np.array([3, 1])) == 1.0
    assert precision_at_1([3, 1, 7], [{2, 3}, [1], ()]) == 2 / 3
    assert precision_at_1(np.array([[3, 1], [1, 3]]), [{1}, {1}]) == 0.5


@pytest.mark.parametrize(("found", "gold"), [([], None), ([1, 2], [1]), (np.zeros((2, 2, 2)), None), ([], [])])
def test_precision_of_nothing_or_of_unequal_lengths(found, gold):
    with pytest.raises(ValueError, match="quer"):
        precision_at_1(found, gold)


@pytest.mark.parametrize("gold", [None, [0, 1, 2]])
def test_scores_are_no_answers(gold):
    """They were cut to whole numbers, mostly 0: a precision of 0 or 1 / n whatever the scores."""
    scores = cosine_scores(np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match="argmax"):
        precision_at_1(scores, gold)
    with pytest.raises(ValueError, match="argmax"):
        precision_at_1(torch.from_numpy(scores), gold)
    assert precision_at_1(scores.argmax(1), gold) == 1
