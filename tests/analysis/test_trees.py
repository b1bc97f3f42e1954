"""Spanning trees against enumeration of all trees, and against networkx."""

from __future__ import annotations

import itertools

import networkx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.analysis import is_tree, maximum_spanning_tree, maximum_spanning_trees


def reaches_root(heads: tuple[int, ...], word: int) -> bool:
    for _ in heads:
        word = heads[word - 1]
        if word == 0:
            return True
    return False


def all_trees(n: int) -> list[tuple[int, ...]]:
    every = itertools.product(range(n + 1), repeat=n)
    return [h for h in every if h.count(0) == 1 and all(reaches_root(h, word) for word in range(1, n + 1))]


TREES = {n: all_trees(n) for n in range(1, 6)}


def total(scores: np.ndarray, heads) -> float:
    return sum(scores[word, head] for word, head in enumerate(heads, start=1))


def by_networkx(scores: np.ndarray) -> float:
    """The best total over all choices of the one word that may hang on the root."""
    n, best = len(scores) - 1, -np.inf
    for root in np.flatnonzero(scores[1:, 0] > -np.inf) + 1:
        graph = networkx.DiGraph()
        graph.add_edge(0, root, weight=scores[root, 0])
        for word, head in itertools.permutations(range(1, n + 1), 2):
            if scores[word, head] > -np.inf:
                graph.add_edge(head, word, weight=scores[word, head])
        try:
            tree = networkx.maximum_spanning_arborescence(graph)
        except networkx.NetworkXException:
            continue
        best = max(best, sum(data["weight"] for _, _, data in tree.edges(data=True)))
    return best


def random_scores(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    scores = rng.normal(size=(n + 1, n + 1))
    if kind == "ties":
        scores = np.round(scores)
    elif kind == "tempting roots":
        scores[:, 0] += 5
    elif kind == "no word likes the root":
        scores[:, 0] -= 100
    elif kind == "cycles":
        # the best heads are long cycles
        order = rng.permutation(n) + 1
        scores[order, np.roll(order, 1)] += 5
    elif kind == "different sizes":
        scores *= 10.0 ** rng.integers(-3, 4, size=scores.shape)
    return scores


KINDS = ["noise", "ties", "tempting roots", "no word likes the root", "cycles", "different sizes"]


def test_there_are_n_to_the_n_minus_1_trees():
    assert [len(TREES[n]) for n in range(1, 6)] == [1, 2, 9, 64, 625]


@pytest.mark.parametrize("n", range(1, 6))
@pytest.mark.parametrize("kind", KINDS)
def test_no_tree_of_up_to_five_words_is_better(n, kind):
    rng = np.random.default_rng(n)
    for _ in range(40):
        scores = random_scores(kind, n, rng)
        heads = maximum_spanning_tree(scores)
        assert tuple(heads) in TREES[n]
        assert total(scores, heads) == pytest.approx(max(total(scores, tree) for tree in TREES[n]), abs=1e-11)


@given(st.integers(1, 4), st.integers(0, 10**6), st.floats(0, 0.7))
def test_forbidden_arcs(n, seed, share):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n + 1, n + 1))
    scores[rng.random(scores.shape) < share] = -np.inf
    best = max(total(scores, tree) for tree in TREES[n])
    if best == -np.inf:
        with pytest.raises(ValueError, match="no tree with exactly one root"):
            maximum_spanning_tree(scores)
    else:
        heads = maximum_spanning_tree(scores)
        assert tuple(heads) in TREES[n]
        assert total(scores, heads) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("n", [6, 9, 12])
@pytest.mark.parametrize("kind", KINDS)
def test_networkx_agrees_on_longer_sentences(n, kind):
    rng = np.random.default_rng(n)
    for _ in range(2):
        scores = random_scores(kind, n, rng)
        heads = maximum_spanning_tree(scores)
        assert is_tree(heads)
        assert total(scores, heads) == pytest.approx(by_networkx(scores), abs=1e-10)


def test_networkx_agrees_with_forbidden_arcs():
    rng = np.random.default_rng(0)
    for _ in range(10):
        scores = random_scores("noise", 10, rng)
        scores[rng.random(scores.shape) < 0.5] = -np.inf
        assert total(scores, maximum_spanning_tree(scores)) == pytest.approx(by_networkx(scores), abs=1e-10)


def test_a_given_tree_is_found_again_projective_or_not():
    heads = [3, 4, 0, 3, 2]  # 2 -> 5 and 3 -> 4 cross
    scores = np.zeros((6, 6))
    scores[np.arange(1, 6), heads] = 1
    assert maximum_spanning_tree(scores).tolist() == heads


def test_one_word():
    assert maximum_spanning_tree(np.array([[0.0, 9.0], [-3.0, 9.0]])).tolist() == [0]


def test_row_0_and_the_diagonal_are_not_read():
    scores = random_scores("noise", 6, np.random.default_rng(0))
    expected = maximum_spanning_tree(scores)
    np.fill_diagonal(scores, np.inf)
    scores[0] = np.nan
    assert (maximum_spanning_tree(scores) == expected).all()


def test_the_scores_are_not_changed():
    scores = random_scores("cycles", 6, np.random.default_rng(0))
    before = scores.copy()
    maximum_spanning_tree(scores)
    assert (scores == before).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tensors(dtype):
    scores = torch.randn(8, 8, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    heads = maximum_spanning_tree(scores)
    assert heads.dtype == torch.int64
    assert heads.tolist() == maximum_spanning_tree(scores.detach().double().numpy()).tolist()


def test_a_padded_batch_is_decoded_as_its_sentences():
    rng = np.random.default_rng(0)
    lengths = [1, 7, 4, 7]
    batch = np.full((4, 8, 8), np.nan)
    for scores, length in zip(batch, lengths, strict=True):
        scores[: length + 1, : length + 1] = rng.normal(size=(length + 1, length + 1))
    singly = [maximum_spanning_tree(scores[: n + 1, : n + 1]) for scores, n in zip(batch, lengths, strict=True)]
    heads = maximum_spanning_trees(batch, lengths)
    assert heads.shape == (4, 7)
    for row, expected in zip(heads, singly, strict=True):
        assert row.tolist() == expected.tolist() + [-1] * (7 - len(expected))
    tensor = maximum_spanning_trees(torch.tensor(batch), torch.tensor(lengths))
    assert torch.equal(tensor, torch.tensor(heads))
    listed = maximum_spanning_trees([scores[: n + 1, : n + 1] for scores, n in zip(batch, lengths, strict=True)])
    assert [each.tolist() for each in listed] == [each.tolist() for each in singly]


def test_a_long_sentence():
    scores = random_scores("noise", 200, np.random.default_rng(0))
    assert is_tree(maximum_spanning_tree(scores))


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros((1, 1)), r"\(n \+ 1, n \+ 1\)"),
        (np.zeros((3, 2)), "not \\(3, 2\\)"),
        (np.zeros(4), "expected scores"),
        (np.array([[0, 0], [np.nan, 0]]), "NaN"),
        (np.array([[0, 0, 0], [0, 0, np.nan], [5, 9, 0]]), "NaN"),
        (np.array([[0, 0], [np.inf, 0]]), "inf"),
        (np.array([[0, 0], [-np.inf, 0]]), "no tree"),
        (np.array([[0, 0, 0], [-np.inf, 0, 1], [-np.inf, 1, 0]]), "no tree"),
        (np.array([[0, 0, 0], [1, 0, -np.inf], [1, -np.inf, 0]]), "exactly one root"),
    ],
)
def test_bad_scores(scores, message):
    with pytest.raises(ValueError, match=message):
        maximum_spanning_tree(scores)


def test_bad_batches():
    batch = np.zeros((2, 4, 4))
    for lengths in ([3], [3, 4], [0, 3]):
        with pytest.raises(ValueError, match="2 lengths between 1 and 3"):
            maximum_spanning_trees(batch, lengths)
    with pytest.raises(ValueError, match="batch of square matrices"):
        maximum_spanning_trees(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="padded batch"):
        maximum_spanning_trees([np.zeros((4, 4))], [3])


@pytest.mark.parametrize("n", range(1, 5))
def test_is_tree_by_enumeration(n):
    for heads in itertools.product(range(-1, n + 2), repeat=n):
        assert is_tree(heads) == (heads in TREES[n])
