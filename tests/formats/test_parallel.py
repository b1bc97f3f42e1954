"""Parallel sentences: tables, aligned files, Tatoeba's names."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.parallel import (
    TATOEBA_CODES,
    Parallel,
    read_aligned,
    read_table,
    tatoeba_paths,
    write_table,
)


def table(tmp_path: Path, text: str) -> Parallel:
    path = tmp_path / "file.tsv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    return read_table(path)


def test_table(tmp_path: Path) -> None:
    found = table(tmp_path, '\ufeffen\tqaa\tzh-Hant\r\none "x\tA\t\r\ntwo\tB\t二\r\n \tC\t三')
    assert found.sentences == {"en": ['one "x', "two", " "], "qaa": ["A", "B", "C"], "zh-Hant": ["", "二", "三"]}
    assert found.ids is None
    assert len(found) == 3
    assert found.pairs("qaa", "en") == [("A", 'one "x'), ("B", "two")]
    assert found.pairs("en", "zh-Hant") == [("two", "二")]
    with pytest.raises(InputError, match="no language 'fr': there are en, qaa, zh-Hant"):
        found.pairs("en", "fr")


def test_table_with_names_of_rows(tmp_path: Path) -> None:
    found = table(tmp_path, "sent_id\ten\tfr\nn1\tone\tun\n")
    assert found.ids == ["n1"]
    assert list(found.sentences) == ["en", "fr"]


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", 1, "header of language codes, found ''"),
        ("Hello.\tBonjour.\n", 1, "header of language codes, found 'Hello.'"),
        ("en\ten\na\tb\n", 1, "distinct"),
        ("sent_id\nn1\n", 1, "distinct"),
        ("en\tfr\n", None, "found none"),
        ("en\tfr\na\tb\nc\n", 3, "2 columns as in the header, found 1"),
        ("en\tfr\na\tb\n\n", 3, "found 1"),
        ("en\tfr\na\tb\tc\n", 2, "found 3"),
    ],
)
def test_malformed_tables(tmp_path: Path, text: str, line: int | None, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        table(tmp_path, text)
    assert expected in caught.value.message
    assert caught.value.line == line


TEXTS = st.text(st.characters(exclude_characters="\t\n\r\0", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1), st.booleans())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], named: bool) -> None:
    path = tmp_path_factory.mktemp("table") / "file.tsv"
    ids = [f"row {number}" for number in range(len(rows))] if named else None
    parallel = Parallel({"en": [a for a, _ in rows], "fr": [b for _, b in rows]}, ids)
    write_table(path, parallel)
    assert read_table(path) == parallel


@pytest.mark.parametrize(
    "sentences", [{"en": ["a"], "fr": []}, {"en": ["a\tb"], "fr": ["c"]}, {"en": ["a\n"], "fr": ["c"]}]
)
def test_what_would_not_be_read_back_is_not_written(tmp_path: Path, sentences: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match=r"written|zip"):
        write_table(tmp_path / "file.tsv", Parallel(sentences))
    assert list(tmp_path.iterdir()) == []


def test_aligned_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\n\nthree\n")
    (tmp_path / "b").write_text("un\ndeux\ntrois")
    found = read_aligned({"en": tmp_path / "a", "fr": tmp_path / "b"})
    assert found.sentences == {"en": ["one", "", "three"], "fr": ["un", "deux", "trois"]}
    assert found.pairs("fr", "en") == [("un", "one"), ("trois", "three")]


def test_aligned_files_of_other_lengths(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1\n2\n3\n")
    (tmp_path / "b").write_text("1\n2\n")
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match=r"found 2 lines, but .*a has 3"):
        read_aligned({"en": tmp_path / "a", "fr": tmp_path / "b"})
    with pytest.raises(InputError, match=r"empty: .*no line"):
        read_aligned({"en": tmp_path / "a", "fr": tmp_path / "empty"})


def test_tatoeba_names(tmp_path: Path) -> None:
    for name in ("tatoeba.cmn-eng.cmn", "tatoeba.cmn-eng.eng", "tatoeba.deu-eng.eng"):
        (tmp_path / name).write_text("x\n")
    expected = {"zh": tmp_path / "tatoeba.cmn-eng.cmn", "en": tmp_path / "tatoeba.cmn-eng.eng"}
    assert tatoeba_paths(tmp_path, "zh") == expected
    assert list(tatoeba_paths(tmp_path, "cmn").values()) == list(expected.values())
    with pytest.raises(InputError, match=r"deu-eng\.deu: no such file; languages in this folder: cmn, deu"):
        tatoeba_paths(tmp_path, "de")


def test_tatoeba_codes_are_distinct() -> None:
    assert len(set(TATOEBA_CODES.values())) == len(TATOEBA_CODES) == 37
    assert all(len(short) == 2 and len(long) == 3 for short, long in TATOEBA_CODES.items())


@pytest.mark.parametrize("language", ["fr", "ru", "zh"])
def test_tatoeba_has_the_published_counts(shared_data: Path, language: str) -> None:
    found = read_aligned(tatoeba_paths(shared_data / "tatoeba", language))
    assert len(found) == 500
    assert len(found.pairs(language, "en")) == 500, "no sentence is empty"
    assert len(set(found.sentences["en"])) == 500, "no sentence occurs twice"


def test_real_tables_have_the_published_counts(shared_data: Path) -> None:
    xnli = read_table(shared_data / "xnli/parallel.dev.tsv.gz")
    assert (len(xnli), list(xnli.sentences), xnli.ids) == (3320, ["en", "fr", "ru", "zh"], None)
    pud = read_table(shared_data / "ud_pud/parallel.even.tsv")
    assert pud.ids is not None
    assert (len(pud), list(pud.sentences), len(set(pud.ids))) == (500, ["en", "fr", "ru", "zh"], 500)
    ntrex = read_aligned({code: shared_data / f"ntrex/{code}.txt" for code in ("en", "fr", "ru", "zh")})
    assert len(ntrex) == 1007
