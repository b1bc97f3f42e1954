"""The schedule of single-language batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_xling.data.schedule import BlockOrder, LanguageSchedule, plan_epoch, sampling_probabilities


def test_probabilities_by_hand():
    # shares 0.9 and 0.1; to the power 0.7: 0.92887, 0.19953
    probabilities = sampling_probabilities({"en": 900, "fr": 100}, 0.7)
    assert probabilities["en"] == pytest.approx(0.9**0.7 / (0.9**0.7 + 0.1**0.7))
    assert probabilities["en"] == pytest.approx(0.82320, abs=1e-4)
    assert sampling_probabilities({"en": 900, "fr": 100}, 0.0) == {"en": 0.5, "fr": 0.5}
    assert sampling_probabilities({"en": 7}, 0.7) == {"en": 1.0}


def test_languages_are_drawn_as_often_as_said():
    probabilities = {"en": 0.5, "fr": 0.3, "zh": 0.2}
    drawn = np.concatenate([LanguageSchedule(probabilities, 5000, seed=1).draw(epoch) for epoch in range(1, 11)])
    assert np.bincount(drawn) / len(drawn) == pytest.approx([0.5, 0.3, 0.2], abs=0.01)


def test_epochs_and_seeds_differ_and_repeat():
    schedule = LanguageSchedule({"en": 0.5, "fr": 0.5}, 200, seed=1)
    assert np.array_equal(schedule.draw(3), LanguageSchedule({"en": 0.5, "fr": 0.5}, 200, seed=1).draw(3))
    assert not np.array_equal(schedule.draw(3), schedule.draw(4))
    assert not np.array_equal(schedule.draw(3), LanguageSchedule({"en": 0.5, "fr": 0.5}, 200, seed=2).draw(3))


def test_batches_before_counts_by_brute_force():
    schedule = LanguageSchedule({"en": 0.7, "fr": 0.3}, 50, seed=4)
    for epoch in (5, 1, 3, 2):  # in any order
        brute = sum((np.bincount(schedule.draw(e), minlength=2) for e in range(1, epoch)), np.zeros(2, dtype=int))
        assert np.array_equal(schedule.batches_before(epoch), brute)


def test_a_language_is_read_without_gap_or_repeat_across_epochs():
    schedule = LanguageSchedule({"en": 0.6, "fr": 0.4}, 30, seed=9)
    order = BlockOrder(17, seed=9, language_number=0)
    seen = []
    for epoch in range(1, 8):
        plan = plan_epoch(schedule, epoch, batch_size=3)
        for start in plan.starts[plan.languages == 0]:
            seen.append(order.take(int(start), 3))
    seen = np.concatenate(seen)
    passes = len(seen) // 17
    assert passes >= 3
    for number in range(passes):  # every pass holds every block once
        assert sorted(seen[number * 17 : (number + 1) * 17]) == list(range(17))
    assert not np.array_equal(seen[:17], seen[17:34])


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(0, 100), st.integers(0, 50), st.integers(0, 3))
def test_taking_equals_slicing_the_endless_order(blocks, start, count, seed):
    endless = np.concatenate(
        [np.random.default_rng([seed, 1, number]).permutation(blocks) for number in range(200 // blocks + 2)]
    )
    taken = BlockOrder(blocks, seed, language_number=1).take(start, count)
    assert np.array_equal(taken, endless[start : start + count])


def test_bucketing_keeps_every_block_and_little_padding():
    lengths = np.random.default_rng(0).integers(3, 40, size=1003)
    order = BlockOrder(1003, seed=1, language_number=0, lengths=lengths, group=8).take(0, 1003)
    assert sorted(order) == list(range(1003))
    groups = lengths[order[:1000]].reshape(-1, 8)
    waste = 1 - groups.sum() / (groups.max(1) * 8).sum()
    assert waste < 0.1
    random_groups = lengths[:1000].reshape(-1, 8)
    assert 1 - random_groups.sum() / (random_groups.max(1) * 8).sum() > 0.3  # without it


def test_batches_of_later_passes_have_as_little_padding():
    """1003 is no multiple of 8, so every pass begins within a batch."""
    lengths = np.random.default_rng(0).integers(3, 40, size=1003)
    order = BlockOrder(1003, seed=1, language_number=0, lengths=lengths, group=8)
    taken = np.concatenate([order.take(start, 8) for start in range(0, 8 * 1003, 8)])
    for number in range(8):
        assert sorted(taken[number * 1003 : (number + 1) * 1003]) == list(range(1003))
        batches = lengths[taken.reshape(-1, 8)[number * 125 : (number + 1) * 125]]
        assert 1 - batches.sum() / (batches.max(1) * 8).sum() < 0.1


@pytest.mark.parametrize("blocks", [1, 5, 8, 9])
def test_fewer_blocks_than_a_batch_or_hardly_more(blocks):
    order = BlockOrder(blocks, seed=1, language_number=0, lengths=np.arange(blocks) + 3, group=8)
    taken = np.concatenate([order.take(start, 8) for start in range(0, 8 * blocks, 8)])
    for number in range(8):
        assert sorted(taken[number * blocks : (number + 1) * blocks]) == list(range(blocks))
