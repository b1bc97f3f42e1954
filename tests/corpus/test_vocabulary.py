"""Vocabularies of a data-bin and the segmenter that evaluation uses."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
from fairseq.data.indexed_dataset import MMapIndexedDataset

from fairseq_xling.corpus.databin import DatabinOptions, build_databin
from fairseq_xling.data.vocabulary import Segmenter, Vocabularies, known_languages
from fairseq_xling.formats.dict_txt import vocabulary_hash
from fairseq_xling.formats.errors import InputError
from tests.corpus.worlds import sentences, write_lines, write_splits

MODES = ("joint", "union", "prefixed", "separate")


@pytest.fixture(scope="module")
def bins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bins")
    text = {"en": write_splits(folder, "en", "abcdefgh"), "fr": write_splits(folder, "fr", "fghijklm", seed=2)}
    for mode in MODES:
        build_databin(folder / mode, text, DatabinOptions(mode, 150))
    return folder


@pytest.fixture
def copy(bins, tmp_path):
    """A data-bin to spoil."""
    shutil.copytree(bins / "union", tmp_path / "bin")
    return tmp_path / "bin"


@pytest.mark.parametrize("mode", MODES)
def test_ids_hashes_and_own_tokens(bins, mode):
    vocabularies = Vocabularies.load(bins / mode)
    assert vocabularies.languages == ["en", "fr"]
    manifest = json.loads((bins / mode / "manifest.json").read_text())
    for lang in vocabularies.languages:
        dictionary = vocabularies.dictionary(lang)
        symbols = dictionary.symbols
        assert symbols[:4] == ["<s>", "<pad>", "</s>", "<unk>"]
        assert symbols[-1] == "<mask>"
        assert dictionary.index("<mask>") == len(dictionary) - 1
        assert vocabularies.hash(lang) == vocabulary_hash(symbols[4:-1]) == manifest["vocabulary"][lang]["hash"]
        assert vocabularies.all_tokens(lang).tolist() == list(range(4, len(dictionary) - 1))
        data = MMapIndexedDataset(str(bins / mode / lang / "train"))
        seen = {i for number in range(len(data)) for i in data[number].tolist()} - {2, 3}
        assert set(vocabularies.own_tokens(lang).tolist()) == seen
        assert vocabularies.own_tokens(lang).dtype == np.int64
    if mode == "prefixed":
        assert not set(vocabularies.own_tokens("en").tolist()) & set(vocabularies.own_tokens("fr").tolist())
    assert (vocabularies.dictionary("en") is vocabularies.dictionary("fr")) == (mode != "separate")


def test_languages_by_choice(bins):
    assert Vocabularies.load(bins / "separate", ["fr"]).languages == ["fr"]
    assert Vocabularies.load(bins / "separate", ["fr"]).shared
    with pytest.raises(InputError, match="no data for language 'de'; there is en, fr"):
        Vocabularies.load(bins / "joint", ["de"])
    with pytest.raises(InputError, match="unknown language 'de'"):
        Vocabularies.load(bins / "joint").dictionary("de")


def test_a_folder_of_stock_fairseq_needs_no_manifest(copy):
    (copy / "manifest.json").unlink()
    assert known_languages(copy) == ["en", "fr"]
    assert Vocabularies.load(copy).shared


def test_no_data_bin(tmp_path):
    with pytest.raises(InputError, match="not a data-bin"):
        Vocabularies.load(tmp_path)


def test_a_dictionary_that_differs_from_the_common_one(copy):
    path = copy / "fr" / "dict.txt"
    lines = path.read_text().splitlines()
    lines[6], lines[7] = lines[7], lines[6]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="belongs to another model") as error:
        Vocabularies.load(copy)
    assert (error.value.path, error.value.line) == (path, 7)
    path.write_text("\n".join(lines[:5]) + "\n")
    with pytest.raises(InputError, match="belongs to another model") as error:
        Vocabularies.load(copy)
    assert error.value.line == 6


@pytest.mark.parametrize("mode", MODES)
def test_the_segmenter_encodes_as_binarising_does(bins, mode):
    for lang in ("en", "fr"):
        segmenter = Segmenter(bins / mode, lang)
        data = MMapIndexedDataset(str(bins / mode / lang / "valid"))
        lines = (bins / f"{lang}.valid.txt").read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            assert segmenter.encode(line) == data[number].tolist()[:-1]


def test_words_split_beforehand(bins):
    segmenter = Segmenter(bins / "prefixed", "en")
    words = ["abc", "\u200b", "中国", "2024", "a b"]
    ids, starts = segmenter.encode_words(words)
    assert len(starts) == len(words)
    bounds = [*starts, len(ids)]
    assert all(start < end for start, end in pairwise(bounds))
    assert ids[starts[1] : starts[2]] == [3]
    for word, (start, end) in zip(words, pairwise(bounds), strict=True):
        assert ids[start:end] == (segmenter.encode(word) or [3])
    whole, _ = segmenter.encode_words(["abc", "2024"])
    assert whole == segmenter.encode("abc 2024")


def test_text_never_turns_into_a_special_symbol(tmp_path):
    """To a model that knows none of its letters, `<mask>` is one unknown piece, spelt as the symbol."""
    for split in ("train", "valid"):
        write_lines(tmp_path / f"ru.{split}.txt", sentences(1, 100, "бвгд"))
    build_databin(tmp_path / "bin", {"ru": tmp_path / "ru"}, DatabinOptions("joint", 60))
    segmenter = Segmenter(tmp_path / "bin", "ru")
    for text in ("<mask>", "</s>", "<pad>"):
        assert segmenter.pieces(text) == ["▁", text]
        assert segmenter.encode(text)[1:] == [3]


def test_casing_and_tokenisation_follow_the_manifest(tmp_path):
    text = {"en": write_splits(tmp_path, "en", "abcdefgh")}
    options = DatabinOptions("joint", 60, casing="lower-no-accents", tokenisation={"en": "moses"})
    build_databin(tmp_path / "bin", text, options)
    segmenter = Segmenter(tmp_path / "bin", "en")
    assert segmenter.encode("ÀBC") == segmenter.encode("abc")
    assert segmenter.tokenise('He said:\u200b "a\u0008b", ok.') == 'He said : " ab " , ok .'


def test_a_truncated_model(copy):
    model = copy / "en" / "spm.model"
    model.write_bytes(model.read_bytes()[:100])
    with pytest.raises(InputError, match="not a SentencePiece model"):
        Segmenter(copy, "en")
    model.unlink()
    with pytest.raises(InputError, match="no SentencePiece model"):
        Segmenter(copy, "en")
