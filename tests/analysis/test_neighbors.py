"""Blocked nearest neighbours against the dense scores, with tiles so small that every path is taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.analysis import cosine_scores, csls, nearest_neighbors, neighbors, precision_at_1
from fairseq_xling.analysis.running_topk import RunningTopK


@pytest.fixture(params=[64, 37, 2048])
def tile(request, monkeypatch):
    """Tiles that the short pieces of a row divide, that they do not, and one that holds everything."""
    monkeypatch.setattr(neighbors, "_TILE", request.param)
    monkeypatch.setattr(neighbors, "_PAIRS", 3 * request.param)
    return request.param


def vectors(kind: str, n: int = 300, m: int = 260, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    if kind == "hubs":
        X, Y = X * rng.random((n, 1)) + 1, Y * rng.random((m, 1)) ** 3 + 0.8
    elif kind == "clusters":
        X += 4 * rng.normal(size=(5, d))[rng.integers(5, size=n)]
        Y += 4 * rng.normal(size=(5, d))[rng.integers(5, size=m)]
    elif kind == "rising":
        # every tile is better than the ones before it
        Y = Y[np.argsort(Y[:, 0])]
        X = X[np.argsort(X[:, 0])] + [2, *[0] * (d - 1)]
    elif kind == "duplicates":
        X, Y = X[rng.integers(20, size=n)], np.vstack([X[:20], Y[:10]])[rng.integers(30, size=m)]
    elif kind == "zeros":
        X[::3], Y[::4] = 0, 0
    elif kind == "line":
        X, Y = X[:, :1], Y[:, :1]
    elif kind == "all equal":
        X[:], Y[:] = 1, 1
    return X, Y


KINDS = ["noise", "hubs", "clusters", "rising", "duplicates", "zeros", "line", "all equal"]


def assert_nearest(found, dense: np.ndarray, n_best: int) -> None:
    """Scores are the best ones, and belong to their indices; equal scores may be in any order."""
    best = -np.sort(-dense, axis=1)[:, :n_best]
    np.testing.assert_allclose(found.scores, best, atol=3e-6)
    np.testing.assert_allclose(np.take_along_axis(dense, found.indices, 1), best, atol=3e-6)
    assert all(len(set(row)) == n_best for row in found.indices.tolist())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "n_best"), [(10, 1), (3, 7), (400, 2)])
def test_csls_of_all_rows(kind, k, n_best, tile):
    X, Y = vectors(kind)
    assert_nearest(nearest_neighbors(X, Y, k=k, n_best=n_best), csls(X, Y, k), n_best)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_best", [1, 5])
def test_cosine(kind, n_best, tile):
    X, Y = vectors(kind)
    assert_nearest(nearest_neighbors(X, Y, "cosine", n_best=n_best), cosine_scores(X, Y), n_best)


@pytest.mark.parametrize("method", ["csls", "cosine"])
def test_some_queries_only(method, tile):
    X, Y = vectors("hubs")
    queries = np.random.default_rng(1).permutation(len(X))[:100]
    dense = csls(X, Y) if method == "csls" else cosine_scores(X, Y)
    assert_nearest(nearest_neighbors(X, Y, method, n_best=3, queries=queries), dense[queries], 3)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 50), (50, 1), (3, 2)])
def test_few_rows(n, m):
    X, Y = vectors("noise", n, m)
    assert_nearest(nearest_neighbors(X, Y, n_best=m), csls(X, Y), m)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(1, 4), st.integers(0, 10**6))
def test_csls_with_many_ties(n, m, k, n_best, seed):
    rng = np.random.default_rng(seed)
    X, Y = rng.integers(-1, 2, size=(n, 2)), rng.integers(-1, 2, size=(m, 2))
    n_best = min(n_best, m)
    # cosines of such vectors differ by much or by nothing, so a tolerance hides no error
    assert_nearest(nearest_neighbors(X, Y, k=k, n_best=n_best), csls(X, Y, k), n_best)


@pytest.mark.parametrize("scale", [1e-37, 1e-20, 1.0, 1e20, 1e37])
def test_rows_of_any_length_in_float32(scale):
    """Squares and inverses of such numbers leave float32; a zero row beside them stays zero."""
    X, Y = (side.astype(np.float32) for side in vectors("clusters"))
    Y[3] = 0
    found = nearest_neighbors(X, Y * np.float32(scale), k=3)
    assert_nearest(found, csls(X.astype(float), Y.astype(float), k=3), 1)


def test_the_second_comparison_is_needed_and_taken(monkeypatch):
    """Without it the answers are wrong on data with hubs: the test data do exercise it."""
    X, Y = vectors("hubs")
    right = -np.sort(-csls(X, Y), axis=1)[:, :3]
    assert np.abs(nearest_neighbors(X, Y, n_best=3).scores - right).max() < 3e-6
    monkeypatch.setattr(neighbors._Search, "_settle", lambda *_: None)
    assert np.abs(nearest_neighbors(X, Y, n_best=3).scores - right).max() > 0.01


def test_translations_are_found_and_kinds_are_kept():
    X = torch.randn(500, 16, generator=torch.Generator().manual_seed(0))
    found = nearest_neighbors(X, X * 3)
    assert isinstance(found.indices, torch.Tensor)
    assert found.indices.shape == (500, 1)
    assert precision_at_1(found.indices) == 1.0
    found = nearest_neighbors(X.numpy(), X.numpy())
    assert isinstance(found.scores, np.ndarray)
    assert found.scores.dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "l2"}, "csls or cosine"),
        ({"k": 0}, "k must be"),
        ({"n_best": 5}, "n_best between 1 and 4"),
        ({"n_best": 0}, "n_best"),
        ({"queries": [4]}, "from 0 to 3"),
        ({"queries": [-1]}, "from 0 to 3"),
        ({"queries": []}, "queries"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        nearest_neighbors(np.eye(4), np.eye(4), **arguments)


@pytest.mark.parametrize("keys", [0, 1])
@pytest.mark.parametrize("columns", [128, 100])
def test_running_top_k_is_the_top_k(keys, columns):
    """Tiles in any order, most of them with few better scores, one with many."""
    scores = torch.randn(64, columns * 30, generator=torch.Generator().manual_seed(0))
    scores[:, columns * 20 : columns * 21] += 3
    if keys:
        scores = scores.T.contiguous()
    best = RunningTopK(64, 5, scores.device)
    for number in torch.randperm(30, generator=torch.Generator().manual_seed(1)).tolist():
        partners = slice(number * columns, (number + 1) * columns)
        tile = (scores[partners] if keys else scores[:, partners]).contiguous()
        best.update(tile, 0, partners.start, keys)
    expected = (scores.T if keys else scores).topk(5, dim=1)
    assert torch.equal(best.values, expected.values)
    assert torch.equal(best.indices, expected.indices)


def test_one_key_with_very_many_partners_needs_no_table_of_all_keys_by_all_partners():
    n = 100_000
    best = RunningTopK(n, 2, torch.device("cpu"))
    keys = torch.cat([torch.zeros(n, dtype=torch.int64), torch.arange(1, n)])
    values = torch.arange(2 * n - 1).float()
    best.add(keys, torch.arange(2 * n - 1), values)
    assert best.indices[0].tolist() == [n - 1, n - 2]
    assert best.indices[n - 1].tolist() == [2 * n - 2, -1]


@pytest.mark.parametrize("method", ["csls", "cosine"])
@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_queries_are_row_numbers_of_any_integer_type_and_no_mask(method, kind):
    """A mask gave its rows' answers at 0, 1, ... and -1 for all others, without a word."""
    x = np.random.default_rng(0).normal(size=(6, 3))
    expected = nearest_neighbors(x, x[::-1].copy(), method, k=2).indices[[4, 1]]
    for dtype in ("uint8", "int32", "int64"):
        queries = kind(np.array([4, 1], dtype=dtype))
        assert (nearest_neighbors(x, x[::-1].copy(), method, k=2, queries=queries).indices == expected).all()
    for wrong in ([False, True, False, False, True, False], [4.0, 1.0], [[4, 1]], 4, []):
        with pytest.raises(ValueError, match="row numbers of X"):
            nearest_neighbors(x, x, method, queries=kind(wrong))
