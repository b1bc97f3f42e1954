"""Counting words for BPE in bounded memory."""

from collections import Counter

import pytest

from fairseq_xling.corpus import bpe as bpe_module
from fairseq_xling.corpus.bpe import count_words
from fairseq_xling.formats.text import read_blocks
from tests.corpus.worlds import sentences, write_lines


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(bpe_module, "read_blocks", lambda path: read_blocks(path, 500))


@pytest.mark.parametrize("workers", [1, 2])
def test_words_are_counted(tmp_path, workers):
    lines = sentences(1, 300, "abcde", ("ok",))
    paths = [write_lines(tmp_path / "a.txt", [*lines, "x" * 2000]), write_lines(tmp_path / "b.txt", ["ok  ok\tb"])]
    expected = Counter(word for line in [*lines, "ok ok b"] for word in line.encode().split())
    assert count_words(paths, workers) == expected


def test_the_most_frequent_stay_and_of_equals_the_first(tmp_path):
    path = write_lines(tmp_path / "a.txt", ["b c a b", "d a b e"])
    assert count_words([path], most=3) == {b"b": 3, b"a": 2, b"c": 1}
    assert count_words([path], most=4) == {b"b": 3, b"a": 2, b"c": 1, b"d": 1}
    assert count_words([path], most_bytes=2) == {b"b": 3, b"a": 2}


def test_frequent_words_are_counted_right_among_many_rare_ones(tmp_path):
    """Rare words are forgotten on the way, in the same way whatever the number of workers."""
    lines = [f"often common{i % 9} rare{i}" for i in range(3000)]
    path = write_lines(tmp_path / "a.txt", lines)
    counts = count_words([path], most=50)
    assert len(counts) == 50
    assert counts.most_common(1) == [(b"often", 3000)]
    assert {counts[b"common%d" % i] for i in range(9)} == {333, 334}
    assert list(count_words([path], 2, most=50).items()) == list(counts.items())


def test_text_without_spaces_is_bounded_by_its_bytes(tmp_path):
    """All words are different there; some stay all the same."""
    lines = [f"{i:04}" + "x" * 96 for i in range(500)]
    counts = count_words([write_lines(tmp_path / "a.txt", lines)], most_bytes=2000)
    assert list(counts) == [line.encode() for line in lines[:20]]
