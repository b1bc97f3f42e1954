"""Arrays on the disk: what is no array, and a disk without room."""

import errno
import os
import pickle

import numpy as np
import pytest

from fairseq_xling.evaluation.feature_files import map_array, memory_mapped
from fairseq_xling.evaluation.word_means import WordMeans
from fairseq_xling.evaluation.word_vectors import read_vectors
from fairseq_xling.formats.errors import InputError


def test_an_array_comes_back(tmp_path):
    with memory_mapped(tmp_path / "a.npy") as make:
        make((2, 3))[:] = np.arange(6).reshape(2, 3)
    assert map_array(tmp_path / "a.npy").tolist() == [[0, 1, 2], [3, 4, 5]]
    with memory_mapped(tmp_path / "none.npy") as make:
        make((0, 3))
    assert np.load(tmp_path / "none.npy").shape == (0, 3)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"hello", pickle.dumps([1]), b"\x93NUMPY\x01\x00\x05\x00{[()"])
def test_what_is_no_array(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npy: a damaged or truncated"):
        map_array(tmp_path / "a.npy")


def test_other_arrays_and_no_file(tmp_path):
    np.save(tmp_path / "ints.npy", np.arange(3))
    with pytest.raises(InputError, match="expected an array of float32"):
        map_array(tmp_path / "ints.npy")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match="damaged"):
        map_array(tmp_path / "objects.npy")
    with pytest.raises(InputError, match="no such file"):
        map_array(tmp_path / "missing.npy")


def test_room_is_taken_before_anything_is_written(tmp_path, monkeypatch):
    """Else a full disk would be a bus error in the middle of the work."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"), memory_mapped(tmp_path / "a.npy") as make:
        make((2, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["ab", "ab\tx", "ab\t²", "ab\t-1", "ab\t" + "9" * 5000, "cd\t1\ncd\t1"])
def test_damaged_word_counts(tmp_path, line):
    WordMeans({"ab": 0}, np.ones(1, dtype=np.int64), np.zeros((1, 2, 3), dtype=np.float32)).save(tmp_path)
    (tmp_path / "words.tsv").write_text(line + "\n")
    with pytest.raises(InputError, match=r"words\.tsv:\d: expected a new word"):
        WordMeans.load(tmp_path)


@pytest.mark.parametrize("text", ["1 ²\na 1\n", "1 2\na 1 nan\n", "1 2\na inf 1\n", "1 " + "9" * 5000 + "\na 1\n"])
def test_vectors_that_are_no_numbers(tmp_path, text):
    (tmp_path / "x.vec").write_text(text)
    with pytest.raises(InputError, match=r"x\.vec:[12]: expected"):
        read_vectors(tmp_path / "x.vec")


def test_vectors_have_no_accents_where_the_models_text_has_none(tmp_path):
    (tmp_path / "x.vec").write_text("3 1\nété 1\nete 2\nLa 3\n")
    assert read_vectors(tmp_path / "x.vec").words == ["été", "ete", "la"]
    without = read_vectors(tmp_path / "x.vec", casing="lower-no-accents")
    assert (without.words, without.vectors[:, 0].tolist()) == (["ete", "la"], [1, 3])
