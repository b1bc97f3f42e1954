"""Blocks cut from a binarised corpus."""

import numpy as np
import pytest
import torch
from fairseq.data.indexed_dataset import MMapIndexedDatasetBuilder

from fairseq_xling.data.blocks import SentenceBlocks, StreamBlocks, TokenFile, pad_blocks
from fairseq_xling.formats.errors import InputError

SENTENCES = [[5, 6, 2], [7, 2], [8, 9, 10, 11, 2], [2]]
STREAM = [5, 6, 2, 7, 2, 8, 9, 10, 11, 2, 2]


@pytest.fixture
def corpus(tmp_path):
    builder = MMapIndexedDatasetBuilder(str(tmp_path / "train.bin"), dtype=np.uint16)
    for sentence in SENTENCES:
        builder.add_item(torch.tensor(sentence))
    builder.finalize(str(tmp_path / "train.idx"))
    return tmp_path / "train"


def test_stream_for_training_drops_the_rest(corpus):
    blocks = StreamBlocks(TokenFile(corpus), 4)
    assert blocks.num_blocks == 2
    assert [b.tolist() for b in blocks.read(np.array([1, 0]))] == [STREAM[4:8], STREAM[0:4]]
    assert blocks.read(np.array([0]))[0].dtype == np.int64


def test_stream_for_validation_keeps_the_rest(corpus):
    blocks = StreamBlocks(TokenFile(corpus), 4, keep_last=True)
    assert [b.tolist() for b in blocks.read(np.arange(blocks.num_blocks))] == [STREAM[0:4], STREAM[4:8], STREAM[8:]]


def test_sentences_stand_between_boundaries_and_long_ones_are_counted(corpus):
    blocks = SentenceBlocks(TokenFile(corpus), 5, boundary=2)
    assert [b.tolist() for b in blocks.read(np.arange(4))] == [
        [2, 5, 6, 2],
        [2, 7, 2],
        [2, 8, 9, 10, 2],  # cut from four words to three
        [2, 2],  # an empty sentence
    ]
    assert blocks.num_cut == 1
    assert blocks.lengths.tolist() == [4, 3, 5, 2]


def test_workers_get_the_path_and_not_a_copy(corpus):
    import pickle

    packed = pickle.dumps(TokenFile(corpus))
    assert len(packed) < 500
    assert pickle.loads(packed).tokens.tolist() == STREAM


def test_padding():
    assert pad_blocks([np.array([1, 2, 3]), np.array([4])], 9).tolist() == [[1, 2, 3], [4, 9, 9]]


def damage(path, end, how):
    target = path.with_name(path.name + end)
    data = target.read_bytes()
    target.write_bytes(how(data))
    return target


@pytest.mark.parametrize(
    ("end", "how", "says"),
    [
        (".bin", lambda data: data[:-2], "truncated"),
        (".bin", lambda data: data + b"xx", "index promises"),
        (".bin", lambda data: b"", "truncated"),
        (".idx", lambda data: data[:-4], "need"),
        (".idx", lambda data: data[:10], "not an index"),
        (".idx", lambda data: b"", "not an index"),
        (".idx", lambda data: b"x" + data[1:], "not an index"),
        (".idx", lambda data: data[:17] + bytes([200]) + data[18:], "element type"),
        (".idx", lambda data: data[:17] + bytes([6]) + data[18:], "element type"),  # floats
        (".idx", lambda data: data[:18] + b"\xff" * 8 + data[26:], "sentences need"),
        (".idx", lambda data: data[:26] + b"\xff\xff\xff\xff" + data[30:], "negative"),
    ],
)
def test_damaged_files_are_named(corpus, end, how, says):
    damaged = damage(corpus, end, how)
    with pytest.raises(InputError, match=says) as error:
        TokenFile(corpus)
    assert str(damaged) in str(error.value)


def test_missing_and_empty_and_too_short(corpus, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        TokenFile(tmp_path / "valid")
    builder = MMapIndexedDatasetBuilder(str(tmp_path / "empty.bin"), dtype=np.uint16)
    builder.finalize(str(tmp_path / "empty.idx"))
    with pytest.raises(InputError, match="empty"):
        TokenFile(tmp_path / "empty")
    with pytest.raises(InputError, match="11 tokens are fewer than one block of 12"):
        StreamBlocks(TokenFile(corpus), 12)
