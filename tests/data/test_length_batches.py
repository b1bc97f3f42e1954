"""Batches of similar length: nothing lost, nothing too large, little padding."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.data.length_batches import FEW, MOST_PADDING, length_batches

LENGTHS = st.lists(st.integers(1, 300), max_size=200)


@given(LENGTHS, st.none() | st.integers(1, 5000), st.none() | st.integers(1, 70))
def test_all_items_once_in_order_of_length_within_the_limits(lengths, positions, items):
    batches = length_batches(lengths, positions, items)
    assert [i for batch in batches for i in batch.tolist()] == sorted(range(len(lengths)), key=lengths.__getitem__)
    for batch in batches:
        sizes = [lengths[i] for i in batch]
        wide = len(sizes) * max(sizes)
        assert items is None or len(sizes) <= items
        assert positions is None or wide <= positions or len(sizes) == 1
        assert wide <= FEW or wide - sum(sizes) <= MOST_PADDING * wide


@given(LENGTHS)
def test_a_batch_ends_only_where_the_next_item_would_not_do(lengths):
    batches = length_batches(lengths, positions=1000, items=20)
    for batch, after in itertools.pairwise(batches):
        sizes = [lengths[i] for i in [*batch, after[0]]]
        wide = len(sizes) * max(sizes)
        assert len(sizes) > 20 or wide > 1000 or (wide > FEW and wide - sum(sizes) > MOST_PADDING * wide)


@pytest.mark.parametrize(
    ("lengths", "options", "expected"),
    [
        ([], {}, []),
        ([5000], {"positions": 100}, [[0]]),
        ([3, 1, 2, 9], {}, [[1, 2, 0, 3]]),  # few positions: padding does not matter
        ([100, 100, 100, 120, 120], {}, [[0, 1, 2], [3, 4]]),  # 4 x 120 would have 60 of 480 empty
        ([7] * 5, {"items": 2}, [[0, 1], [2, 3], [4]]),
    ],
)
def test_literal_cases(lengths, options, expected):
    assert [batch.tolist() for batch in length_batches(lengths, **options)] == expected


def test_a_few_hundred_sentences_of_running_text_have_little_padding():
    lengths = np.exp(np.random.default_rng(5).normal(3.1, 0.6, 600)).astype(int) + 3
    batches = length_batches(lengths, positions=4096)
    assert 1 - lengths.sum() / sum(len(batch) * lengths[batch].max() for batch in batches) < 0.1
    assert len(batches) < 20
