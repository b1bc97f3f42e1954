"""fairseq's dict.txt, and the manifest of a data-bin."""

import pytest
from fairseq.data import Dictionary

from fairseq_xling.formats.dict_txt import read_dict, vocabulary_hash, write_dict
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.manifest import read_manifest, write_manifest


def test_stock_fairseq_reads_what_is_written(tmp_path):
    path = tmp_path / "dict.txt"
    write_dict(path, ["▁the", "s", "中"], [3, 0, 1])
    dictionary = Dictionary.load(str(path))
    assert dictionary.symbols == ["<s>", "<pad>", "</s>", "<unk>", "▁the", "s", "中"]
    assert read_dict(path) == (["▁the", "s", "中"], [3, 0, 1])


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a 1\nb\n", 2, "expected '<symbol> <count>'"),
        ("a 1\nb x\n", 2, "expected '<symbol> <count>'"),
        ("a 1\nb -1\n", 2, "expected '<symbol> <count>'"),
        ("a 1\nb 2\na 3\n", 3, "twice"),
        ("a 1\n</s> 3\n", 2, "special symbol"),
        ("<mask> 3\n", 1, "special symbol"),
        ("a 1\nb c 2\n", 2, "expected '<symbol> <count>'"),
        ("", None, "empty dictionary"),
    ],
)
def test_malformed_dictionaries(tmp_path, text, line, message):
    path = tmp_path / "dict.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        read_dict(path)
    assert (error.value.path, error.value.line) == (path, line)


def test_a_missing_dictionary(tmp_path):
    with pytest.raises(InputError, match="no such dictionary"):
        read_dict(tmp_path / "dict.txt")


def test_hash_is_the_sha256_of_symbols_joined_by_newlines():
    # printf 'a\\nb' | sha256sum
    assert vocabulary_hash(["a", "b"]) == "7e18f737311b2dc3b2f269dd78396b0351f14fb66efa879f768cb23181883c78"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "'languages' is missing"),
        ('{"languages": [], "mode": "joint"}', "'casing' is missing"),
        ('{"languages": [], "mode": "mixed", "casing": "cased"}', "expected one of joint"),
    ],
)
def test_bad_manifests(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_manifest(tmp_path)


def test_a_folder_without_manifest_is_no_data_bin(tmp_path):
    with pytest.raises(InputError, match="not a data-bin"):
        read_manifest(tmp_path)


def test_manifest_round_trip(tmp_path):
    manifest = {"languages": ["en"], "mode": "joint", "casing": "lower", "counts": {"en": {"train": 3}}}
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
