"""Rows, windows and batches of labelled data."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq import utils
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.data.labelled import IGNORED, LabelledBatches, pair_item, sentence_item
from fairseq_xling.data.nli import NLI
from fairseq_xling.data.parsing import Parsing
from fairseq_xling.formats.conllu import read_conllu
from fairseq_xling.formats.nli import Pair

from . import world


def make_sentence(lengths, limit):
    """Words of the given numbers of subwords; every subword has an id of its own."""
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    ids = list(range(10, 10 + sum(lengths)))
    return ids, starts, sentence_item(ids, starts, np.zeros(len(lengths), np.int64), limit)


def test_a_sentence_that_fits_is_one_row_between_boundaries():
    _, _, item = make_sentence([1, 3, 2], 8)
    assert [row.tolist() for row in item.rows] == [[2, 10, 11, 12, 13, 14, 15, 2]]
    assert item.words.tolist() == [[0, 1], [0, 2], [0, 5]]
    assert item.cut == 0


def test_one_token_more_than_fits_makes_windows_that_overlap():
    _, _, item = make_sentence([1] * 7, 8)
    assert [row.tolist() for row in item.rows] == [[2, *range(10, 16), 2], [2, *range(13, 17), 2]]


def test_a_word_longer_than_a_row_is_counted_and_keeps_its_first_subword():
    ids, starts, item = make_sentence([2, 20, 1], 8)
    assert item.cut == 1
    assert [int(item.rows[row][column]) for row, column in item.words] == [ids[start] for start in starts]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(3, 20))
def test_every_word_is_read_where_it_has_most_context(lengths, limit):
    ids, starts, item = make_sentence(lengths, limit)
    last_row_end = ids[-1] if lengths[-1] <= limit - 2 else None
    for row in item.rows:
        assert 3 <= len(row) <= limit
        assert row[0] == row[-1] == 2
        assert np.all(np.diff(row[1:-1]) == 1)  # one stretch of the text
        assert int(row[1]) - 10 in starts  # begins with a whole word
    for (row, column), start in zip(item.words, starts):
        assert item.rows[row][column] == ids[start]

        def context(tokens, where):
            left = np.inf if tokens[1] == ids[0] else where - 1
            right = np.inf if tokens[-2] == last_row_end else len(tokens) - 2 - (where - 1)
            return min(left, right)

        if len(item.rows) > 1 and last_row_end:
            places = [(r, int(np.flatnonzero(tokens == ids[start])[0])) for r, tokens in enumerate(item.rows)
                      if ids[start] in tokens[1:-1]]  # fmt: skip
            whole = [(r, p) for r, p in places if r == row or _holds_start(item.rows[r], ids, starts, start)]
            assert context(item.rows[row], column) == max(context(item.rows[r], p) for r, p in whole)
    assert item.cut == sum(length > limit - 2 for length in lengths)


def _holds_start(row, ids, starts, start):
    """Whether the row holds the word that begins at `start` to its end (windows are of whole words)."""
    following = [other for other in starts if other > start]
    end = following[0] if following else len(ids)
    return ids[end - 1] in row[1:-1]


@pytest.mark.parametrize(
    ("sizes", "limit", "kept"),
    [
        ((2, 3), 8, (2, 3)),  # fits exactly
        ((3, 3), 8, (3, 2)),  # the first of equally long sides loses nothing where the room is odd
        ((9, 1), 8, (4, 1)),  # the longer side is cut
        ((1, 9), 8, (1, 4)),
        ((9, 9), 9, (3, 3)),
    ],
)
def test_pairs_lose_the_end_of_the_longer_side(sizes, limit, kept):
    premise, hypothesis = list(range(10, 10 + sizes[0])), list(range(50, 50 + sizes[1]))
    item = pair_item(premise, hypothesis, 1, limit)
    assert item.rows[0].tolist() == [2, *premise[: kept[0]], 2, *hypothesis[: kept[1]], 2]
    assert item.cut == (kept != sizes)
    assert item.target == 1


def test_words_of_a_batch_point_at_their_first_subwords():
    made = [make_sentence(lengths, 8) for lengths in ([1, 2], [1] * 20, [3], [1] * 8)]  # two take several rows
    batches = LabelledBatches([item for _, _, item in made], ["a", "b", "c", "d"], "en", 1)
    batches.lay_out(4)
    sample = batches[1, 0]
    tokens, words = sample["net_input"]["src_tokens"], sample["net_input"]["words"]
    assert tokens.shape[0] == sum(len(item.rows) for _, _, item in made) > 5
    assert sorted(sample["gold"].examples) == ["a", "b", "c", "d"]
    for index, line, target in zip(sample["id"].tolist(), words, sample["target"]):
        ids, starts, _ = made[index]
        there = line >= 0
        assert tokens.flatten()[line[there]].tolist() == [ids[start] for start in starts]
        assert torch.equal(target == IGNORED, ~there)
    assert sample["decisions"] == 31


def test_decisions_are_pairs_and_words_with_a_target():
    pairs = LabelledBatches([pair_item([5], [6], target, 64) for target in (0, 2, IGNORED)], "abc", "en", 1)
    assert pairs.sample(np.arange(3))["decisions"] == 2
    arcs = [
        sentence_item([5, 6], [0, 1], np.array(target), 64) for target in ([[2, 0], [0, IGNORED]], [[0, 1], [1, 3]])
    ]
    one = sentence_item([5], [0], np.array([[0, 1]]), 64)
    sample = LabelledBatches([*arcs, one], "abc", "en", 1).sample(np.arange(3))
    assert sample["target"].shape == (3, 2, 2)
    assert sample["decisions"] == 5  # a word whose relation is unknown has a head all the same


def test_gold_arrives_whole_on_a_gpu():
    """fairseq's way to the GPU makes plain tuples of named ones."""
    batches = LabelledBatches([pair_item([5], [6], 0, 64)], [Pair("a", "b", "neutral")], "en", 1)
    moved = utils.apply_to_sample(lambda tensor: tensor, batches.sample(np.array([0])))
    assert moved["gold"].examples[0].label == "neutral"


def test_a_premise_stands_before_its_hypothesis():
    segmenter = SimpleNamespace(tokenise=str, encode=lambda text: [int(word) for word in text.split()])
    item = NLI().item(Pair("10 11", "12", "neutral"), segmenter, {"entailment": 0, "neutral": 1}, 64)
    assert item.rows[0].tolist() == [2, 10, 11, 2, 12, 2]
    assert item.target == 1


def test_relations_are_learnt_without_their_subtypes(tmp_path):
    (tmp_path / "x.conllu").write_text(world.conllu(["a", "b"], on_first=["b"]))  # nsubj:pass
    segmenter = SimpleNamespace(encode_words=lambda words: ([10, 11], [0, 1]))
    labels = {name: number for number, name in enumerate(Parsing().labels(read_conllu(tmp_path / "x.conllu")))}
    assert labels == {"nsubj": 0, "root": 1}
    (tree,) = read_conllu(tmp_path / "x.conllu")
    assert Parsing().item(tree, segmenter, labels, 64).target.tolist() == [[0, 1], [1, 0]]


def batches_of(count, seed=0, **options):
    items = [pair_item(list(range(4, 5 + number % 7)), [4], 0, 64) for number in range(count)]
    return LabelledBatches(items, [None] * count, "en", 1, seed, **options)


def test_an_epoch_holds_every_example_once_in_another_order_each_time():
    batches = batches_of(50)
    batches.lay_out(8)
    first, second = ([index for batch in batches.members(epoch) for index in batch] for epoch in (1, 2))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert len(batches) == len(batches.members(1)) == 7
    again = batches_of(50)
    again.lay_out(8)
    assert [b.tolist() for b in again.members(2)] == [b.tolist() for b in batches.members(2)]
    lengths = [batches.lengths[batch] for batch in batches.members(1)]
    assert np.mean([np.ptp(each) for each in lengths]) < np.ptp(batches.lengths) / 3  # alike in length


def test_short_epochs_go_on_where_the_one_before_stopped():
    batches = batches_of(10, epoch_examples=4)
    batches.lay_out(2)
    seen = [index for epoch in range(1, 6) for batch in batches.members(epoch) for index in batch.tolist()]
    assert len(batches) == 2
    assert sorted(seen) == sorted(list(range(10)) * 2)  # five epochs of four: two passes
    assert len(set(seen[:8])) == 8  # the first two epochs lie within the first pass
    batches = batches_of(10, seed=9, epoch_examples=4)
    assert set(np.concatenate(batches.members(1))) == set(np.random.default_rng([9, 0]).permutation(10)[:4])


def test_validation_takes_everything_once_whatever_the_epoch():
    batches = batches_of(10, seed=None)
    batches.lay_out(4)
    assert sorted(index for batch in batches.members(9) for index in batch.tolist()) == list(range(10))
