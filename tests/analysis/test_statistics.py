"""Seeds, the paper's rule of selection, correlation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import pearsonr

from fairseq_xling.analysis import Setting, best_two, mean_and_sd, mean_of_best_two, pearson


def test_mean_and_sample_standard_deviation():
    mean, sd = mean_and_sd([1, 2, 3, 6])
    assert mean == 3
    assert sd == pytest.approx(math.sqrt(14 / 3))
    assert mean_and_sd([5.0]) == (5.0, None)


def test_the_best_two_by_dev_not_by_target():
    settings = [Setting(80, 10), Setting(82, 30), Setting(70, 99), Setting(81, 20)]
    assert mean_of_best_two(settings) == 25
    assert best_two([setting.dev for setting in settings]) == [1, 3]
    assert mean_of_best_two(iter([(0.5, 1.0), (0.4, 0.0)])) == 0.5


def test_of_equal_dev_scores_the_earlier_settings_count():
    assert mean_of_best_two([(80, 1), (81, 2), (80, 50), (80, 60)]) == 1.5


def test_pearson():
    x, y = np.random.default_rng(0).normal(size=(2, 30))
    assert pearson(x, y) == pytest.approx(pearsonr(x, y).statistic, abs=1e-14)
    assert pearson([1, 2, 3], [10, 20, 30]) == 1
    assert pearson([1e-200, 2e-200, 3e-200], [1, 2, 4]) == pytest.approx(pearson([1, 2, 3], [1, 2, 4]))
    assert pearson([0.1, 0.2], [7, 5]) == -1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_and_sd([]), "at least one number"),
        (lambda: mean_and_sd([1, math.nan]), "NaN"),
        (lambda: mean_of_best_two([(1, 2)]), "at least two settings, not 1"),
        (lambda: mean_of_best_two([(math.nan, 2), (1, 2), (2, 2)]), "NaN"),
        (lambda: pearson([1, 2], [1]), "two pairs"),
        (lambda: pearson([1], [1]), "two pairs"),
        (lambda: pearson([0.1, 0.1, 0.1], [1, 2, 3]), "constant"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
