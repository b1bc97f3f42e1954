"""Masking by batch: every outcome counted, and the corners."""

import numpy as np
import pytest

from fairseq_xling.data.masked_lm_dataset import BatchMasker
from fairseq_xling.data.masking import ALWAYS_MASKED, MaskingRule, mask_batch

PAD, MASK = 1, 99
WORDS = np.arange(4, 99)
RULE = MaskingRule()


def run(tokens, rule=RULE, seed=(1, 2, 3), words=WORDS):
    return mask_batch(tokens, rule, seed, MASK, PAD, words)


def test_rates_of_all_outcomes():
    tokens = np.random.default_rng(0).integers(4, 99, size=(4000, 256))
    inputs, positions, targets = run(tokens)
    candidates = 4000 * 255
    assert len(positions) / candidates == pytest.approx(0.15, abs=0.002)
    new = inputs.reshape(-1)[positions]
    masked, kept = (new == MASK).mean(), (new == targets).mean()
    # a random word hits the original one time in 95
    assert masked == pytest.approx(0.8, abs=0.005)
    assert kept == pytest.approx(0.1 + 0.1 / len(WORDS), abs=0.004)
    assert 1 - masked - kept == pytest.approx(0.1 * (1 - 1 / len(WORDS)), abs=0.004)


def test_random_words_are_uniform_over_the_allowed_ones():
    tokens = np.full((2000, 256), 4)
    words = np.array([7, 8, 50])
    inputs, positions, _ = run(tokens, MaskingRule(masked=0.0, random=1.0), words=words)
    new, counts = np.unique(inputs.reshape(-1)[positions], return_counts=True)
    assert new.tolist() == [7, 8, 50]
    assert counts / counts.sum() == pytest.approx(1 / 3, abs=0.01)


def test_everything_else_stays():
    tokens = np.random.default_rng(1).integers(2, 99, size=(50, 64))
    tokens[:, 50:] = PAD
    before = tokens.copy()
    inputs, positions, targets = run(tokens)
    assert np.array_equal(tokens, before)
    untouched = np.ones(tokens.size, dtype=bool)
    untouched[positions] = False
    assert np.array_equal(inputs.reshape(-1)[untouched], tokens.reshape(-1)[untouched])
    assert np.array_equal(tokens.reshape(-1)[positions], targets)
    assert np.all(np.diff(positions) > 0)


def test_first_position_and_padding_are_never_chosen():
    tokens = np.full((100, 8), 5)
    tokens[:, 4:] = PAD
    _, positions, _ = run(tokens, MaskingRule(chosen=1.0))
    assert set(positions % 8) == {1, 2, 3}  # all others, and only they


def test_the_sentence_boundary_may_be_chosen():
    tokens = np.full((50, 4), 2)  # </s> throughout: XLM predicts it like any other token
    _, positions, targets = run(tokens)
    assert len(positions) > 0
    assert set(targets) == {2}


def test_validation_always_shows_the_mask_symbol():
    inputs, positions, _ = run(np.full((50, 64), 5), ALWAYS_MASKED)
    assert set(inputs.reshape(-1)[positions]) == {MASK}


def test_the_draw_depends_on_all_seeds_and_nothing_else():
    tokens = np.random.default_rng(2).integers(4, 99, size=(8, 64))
    np.random.seed(5)
    first = run(tokens, seed=(1, 1, 1))
    np.random.seed(6)
    again = run(tokens, seed=(1, 1, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    for other in [(2, 1, 1), (1, 2, 1), (1, 1, 2)]:
        assert not np.array_equal(run(tokens, seed=other)[1], first[1])


def test_masks_of_training_follow_from_seed_epoch_and_batch():
    blocks = list(np.random.default_rng(2).integers(4, 99, size=(8, 64)))

    def chosen(seed, *key):
        made = BatchMasker(RULE, seed, {"en": PAD}, {"en": MASK}, {"en": WORDS}).sample(blocks, "en", key)
        return tuple(made["net_input"]["masked"].tolist())

    assert chosen(1, 1, 1) == chosen(1, 1, 1)
    assert len({chosen(1, 1, 1), chosen(2, 1, 1), chosen(1, 2, 1), chosen(1, 1, 2)}) == 4


def test_a_batch_in_which_nothing_is_chosen():
    inputs, positions, targets = run(np.full((1, 1), 5))
    assert inputs.tolist() == [[5]]
    assert len(positions) == len(targets) == 0
