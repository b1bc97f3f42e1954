"""Binarisation against the way it replaces: SentencePiece's pieces through fairseq's dictionary and builder."""

from collections import Counter

import numpy as np
import pytest
import sentencepiece
import torch
from fairseq.data import Dictionary
from fairseq.data.indexed_dataset import MMapIndexedDataset, MMapIndexedDatasetBuilder
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.corpus import binarise as binarise_module
from fairseq_xling.corpus.binarise import binarise
from fairseq_xling.corpus.bpe import count_words, train_bpe
from fairseq_xling.corpus.encode import WordEncoder, id_dtype, plain_pieces, symbol_of
from fairseq_xling.corpus.subwords import dictionaries
from fairseq_xling.corpus.word_memory import WordMemory, Words
from fairseq_xling.formats.dict_txt import UNK
from tests.corpus.worlds import ODD, sentences, write_lines

LATIN, CYRILLIC = "abcdeéins", "абвгдеи"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    texts = {"en": sentences(1, 800, LATIN, ("ok", "2024")), "ru": sentences(2, 800, CYRILLIC, ("ok", "2024"))}
    result = {}
    for lang, lines in texts.items():
        path = write_lines(folder / f"{lang}.txt", lines)
        result[lang] = train_bpe(count_words([path]), 120)
    return result


def fairseq_dictionary(symbols, path):
    path.write_text("".join(f"{symbol} 1\n" for symbol in symbols), encoding="utf-8")
    return Dictionary.load(str(path))


def pipeline_ids(processor, dictionary, line, lang, mode):
    """`spm_encode | fairseq-preprocess`: pieces printed with spaces, read as words, looked up."""
    printed = " ".join(symbol_of(piece, lang, mode) for piece in processor.encode(line, out_type=str))
    return dictionary.encode_line(printed, add_if_not_exist=False).tolist()


@pytest.mark.parametrize("mode", ["joint", "union", "prefixed", "separate"])
@pytest.mark.parametrize("workers", [1, 2])
def test_files_are_those_of_spm_encode_and_fairseq_preprocess(tmp_path, models, monkeypatch, mode, workers):
    """Byte for byte, in every vocabulary mode, with odd Unicode, and whatever the number of workers."""
    monkeypatch.setattr(binarise_module, "read_blocks", lambda path: read_small_blocks(path))
    used = {"en": models["en"], "ru": models["en"]} if mode == "joint" else models
    symbols = dictionaries(used, mode)["ru"]
    lines = sentences(3, 500, CYRILLIC + LATIN, ("ok", "."), odd=0.1)
    # an empty line is an item of its own there, and is left out here
    processor = sentencepiece.SentencePieceProcessor(model_proto=used["ru"])
    lines = [line for line in lines if "".join(processor.encode(line, out_type=str)).strip() and "<" not in line]
    source = write_lines(tmp_path / "ru.txt", lines)
    index = {symbol: number for number, symbol in enumerate(symbols, 4)}
    counts, usage = binarise(source, tmp_path / "ours", used["ru"], index, "ru", mode, workers)

    dictionary = fairseq_dictionary(symbols, tmp_path / "dict.txt")
    builder = MMapIndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=id_dtype(len(dictionary)))
    rows = [pipeline_ids(processor, dictionary, line, "ru", mode) for line in lines]
    for row in rows:
        builder.add_item(torch.tensor(row))
    builder.finalize(str(tmp_path / "theirs.idx"))
    for end in ("bin", "idx"):
        assert (tmp_path / f"ours.{end}").read_bytes() == (tmp_path / f"theirs.{end}").read_bytes()
    seen = Counter(number for row in rows for number in row)
    assert usage.tolist() == [seen[number] for number in range(len(usage))]
    assert counts.sentences == len(lines)
    assert counts.unknown == seen[UNK] > 0
    assert counts.tokens == sum(len(row) - 1 for row in rows)


def read_small_blocks(path):
    """Blocks of a few lines, so that a small text has many."""
    from fairseq_xling.formats.text import read_blocks

    return read_blocks(path, 300)


@given(words=st.lists(st.one_of(st.text(max_size=6), st.sampled_from(ODD)), min_size=1, max_size=12))
def test_words_one_by_one_are_the_sentence(models, words):
    """The assumption under the cache: a sentence's subwords are those of its space-separated words in turn."""
    line = " ".join(words).replace("\n", " ")
    processor = sentencepiece.SentencePieceProcessor(model_proto=models["en"])
    try:
        raw = line.encode()
    except UnicodeEncodeError:  # lone surrogates are no text
        return
    index = {piece: number for number, piece in enumerate(plain_pieces(processor), 4)}
    ids, sizes = WordEncoder(models["en"], index, "en", "joint").encode(raw + b"\n")
    assert sizes.tolist() == [len(ids)]
    assert ids[-1] == 2
    ids = ids[:-1].tolist()
    assert ids == [index.get(symbol, UNK) for symbol in " ".join(processor.encode(raw, out_type=str)).split()]


@pytest.mark.parametrize("room", [1, 5, 40])
def test_a_full_memory_forgets_and_stays_right(models, room):
    processor = sentencepiece.SentencePieceProcessor(model_proto=models["en"])
    index = {piece: number for number, piece in enumerate(plain_pieces(processor), 4)}
    small, large = (WordEncoder(models["en"], index, "en", "joint", size) for size in (room, 100_000))
    for seed in range(30):
        lines = sentences(seed, 5, LATIN, ("ok",), odd=0.1)
        block = "".join(line.replace("\r", "") + "\n" for line in lines).encode()
        results = [encoder.encode(block) for encoder in (small, large)]
        for one, other in zip(*results, strict=True):
            assert one.tolist() == other.tolist()
        assert small._memory._count <= room + len(block.split()) + 2


def test_words_of_a_text_by_hash(models):
    """Equal words have equal hashes wherever they stand and whatever the text's length; different ones do not."""
    seen = {}
    for seed in range(40):
        lines = sentences(seed, 1 + seed * 8, LATIN + CYRILLIC, odd=0.2)
        raw = "".join(line.replace("\r", "") + "\n" for line in lines).encode()
        words = Words(raw)
        expected = raw.replace(b"\n", b" ").split(b" ")[:-1]
        assert [words.word(number) for number in range(len(words.hashes))] == expected
        assert int(words.ends_line.sum()) == len(lines)
        for word, number in zip(expected, words.hashes.tolist(), strict=True):
            assert seen.setdefault(word, number) == number
    assert len(set(seen.values())) == len(seen) > 2000
    near = [b"%d" % i for i in range(200_000)] + [bytes([a, b]) for a in range(33, 256) for b in range(33, 256)]
    hashes = Words(b" ".join(near) + b"\n").hashes
    assert len(np.unique(hashes)) == len(set(near))


def test_a_table_that_is_nearly_full_of_colliding_places():
    """All hashes begin alike, so that every word wants the same place."""
    memory = WordMemory(64, np.array([2], dtype=np.uint16))
    hashes = np.arange(1, 61, dtype=np.uint64)
    for start in range(0, 60, 20):
        part = hashes[start : start + 20]
        new = np.arange(20)
        rows = memory.keep(
            np.full(20, -1), new, new, part, np.arange(start, start + 20, dtype=np.uint16), np.ones(20, int)
        )
        ids, sizes = memory.spell(rows, new == 19)
        assert ids.tolist() == [*range(start, start + 20), 2]
        assert sizes.tolist() == [21]
    rows = memory.find(hashes[::-1].copy())
    assert memory.spell(rows, np.arange(60) == 59)[0].tolist() == [*range(59, -1, -1), 2]
    assert memory.find(np.array([99, 0], dtype=np.uint64)).tolist() == [-1, -1]


def test_lines_left_out_are_counted_by_reason(tmp_path, models):
    index = {
        p: n for n, p in enumerate(plain_pieces(sentencepiece.SentencePieceProcessor(model_proto=models["en"])), 4)
    }
    source = tmp_path / "a.txt"
    source.write_bytes(b"abc\n\n \xe2\x80\x8b\nbad \xff\nx" + b"ab " * 400_000 + b"\nde\n" + b"\xfe\ncab")
    counts, _ = binarise(source, tmp_path / "a", models["en"], index, "en", "joint")
    assert counts.sentences == 3
    assert counts.skipped == {"empty": 2, "not_utf8": 2, "too_long": 1}
    assert counts.first_skipped == {"empty": 2, "not_utf8": 4, "too_long": 5}
    assert len(MMapIndexedDataset(str(tmp_path / "a"))) == 3


def test_more_than_65k_symbols_take_four_bytes(tmp_path, models):
    index = {symbol: number for number, symbol in enumerate([f"x{i}" for i in range(70_000)], 4)}
    last = max(index.values()) + 1
    index["▁"] = last
    write_lines(tmp_path / "a.txt", ["中"])
    binarise(tmp_path / "a.txt", tmp_path / "a", models["en"], index, "en", "joint")
    data = MMapIndexedDataset(str(tmp_path / "a"))
    assert data[0].tolist() == [last, UNK, 2]
    assert data._index.dtype is np.uint32


def test_the_index_is_right_across_its_pieces(tmp_path):
    """Byte offsets are summed up piece by piece of the sizes."""
    sizes = np.random.default_rng(1).integers(1, 9, 1_200_000).astype(np.int32)
    (tmp_path / "sizes").write_bytes(sizes.tobytes())
    with open(tmp_path / "sizes", "rb") as spool, open(tmp_path / "x.idx", "wb") as out:
        binarise_module._write_index(out, spool, len(sizes), np.uint16)
    index = MMapIndexedDataset.Index(str(tmp_path / "x.idx"))
    assert (index.sizes == sizes).all()
    assert (index._pointers == np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)[:-1] * 2))).all()


def test_text_never_becomes_a_special_symbol(models):
    processor = sentencepiece.SentencePieceProcessor(model_proto=models["en"])
    index = {piece: number for number, piece in enumerate(plain_pieces(processor), 4)}
    encoder = WordEncoder(models["en"], index, "en", "joint")
    ids, _ = encoder.encode("</s> <pad> <mask> <s> 中</s>\n".encode())
    assert ((ids[:-1] == UNK) | (ids[:-1] >= 4)).all()
    assert ids[-1] == 2
