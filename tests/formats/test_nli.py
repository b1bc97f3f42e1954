"""XNLI's and MultiNLI's tables, with and without headers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.nli import LABELS, Pair, read_nli, write_nli

OFFICIAL = (
    "language\tgold_label\tsentence1_binary_parse\tsentence1\tsentence2\tpairID\n"
    "en\tneutral\t( x )\tOne.\tTwo.\t1\nfr\tneutral\t( x )\tUn.\tDeux.\t1\nfr\tcontradiction\t( x )\tUn.\tTrois.\t2\n"
)


def read(tmp_path: Path, text: str, language: str | None = None) -> list[Pair]:
    path = tmp_path / "file.tsv"
    path.write_text(text, encoding="utf-8", newline="")
    return list(read_nli(path, language))


@pytest.mark.parametrize(
    "text",
    [
        "a b\tc\tneutral\nd\te\tcontradictory\n",
        "premise\thypo\tlabel\na b\tc\tneutral\nd\te\tcontradictory\n",
        "\ufeffPremise\tHypothesis\tLabel\r\na b\tc\tneutral\r\nd\te\tcontradiction",
        "label\tindex\tsentence2\tsentence1\nneutral\t1\tc\ta b\n-\t2\tx\ty\ncontradiction\t3\te\td\n",  # other order
    ],
)
def test_layouts(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == [("a b", "c", "neutral"), ("d", "e", "contradiction")]


def test_official_file_of_all_languages(tmp_path: Path) -> None:
    assert read(tmp_path, OFFICIAL, "fr") == [("Un.", "Deux.", "neutral"), ("Un.", "Trois.", "contradiction")]
    with pytest.raises(InputError, match="which one"):
        read(tmp_path, OFFICIAL)
    with pytest.raises(InputError, match="no pair in language 'de'"):
        read(tmp_path, OFFICIAL, "de")


def test_quotation_marks_are_text(tmp_path: Path) -> None:
    assert read(tmp_path, '"He said\t"no" \tneutral\nx"\ty\tneutral\n')[0] == ('"He said', '"no" ', "neutral")


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", None, "no pair"),
        ("premise\thypo\tlabel\n", None, "no pair"),
        ("a\tb\n", 1, "3 columns separated by tabs, found 2"),
        ("a\tb\tneutral\n\nc\td\tneutral\n", 2, "found 1"),
        ("a\tb\tneutral\nc\td\tx\tneutral\n", 2, "found 4"),
        ("a\tb\tneutral\n \td\tneutral\n", 2, "premise is empty"),
        ("a\tb\tneutral\nc\t\tneutral\n", 2, "hypothesis is empty"),
        ("a\tb\tneutral\nc\td\tNeutral\n", 2, "entailment, neutral, contradiction, found 'Neutral'"),
        ("premise\tother\tlabel\na\tb\tneutral\n", 1, "found 'label'"),  # no header that we know
        ("premise\thypo\tlabel\na\tb\n", 2, "found 2"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, text: str, line: int | None, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert expected in caught.value.message
    assert caught.value.line == line


TEXTS = st.text(st.characters(exclude_characters="\t\n\r\0\ufeff", exclude_categories=["Cs"]), min_size=1).filter(
    str.strip
)


@given(st.lists(st.builds(Pair, TEXTS, TEXTS, st.sampled_from(LABELS)), min_size=1), st.sampled_from(LABELS))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair], label: str) -> None:
    path = tmp_path_factory.mktemp("nli") / "file.tsv"
    write_nli(path, pairs)
    assert list(read_nli(path)) == pairs
    write_nli(path, pairs, [label] * len(pairs))
    assert list(read_nli(path)) == [pair._replace(label=label) for pair in pairs]


@pytest.mark.parametrize(
    ("pair", "labels"),
    [
        (Pair("a", "b", "neutral"), []),
        (Pair("a", "b", "contradictory"), None),
        (Pair("a\tb", "c", "neutral"), None),
        (Pair("a", "", "neutral"), None),
        (Pair("a", "b\n", "neutral"), None),
    ],
)
def test_what_would_not_be_read_back_is_not_written(tmp_path: Path, pair: Pair, labels: list[str] | None) -> None:
    with pytest.raises(ValueError, match=r"written|zip|label"):
        write_nli(tmp_path / "file.tsv", [pair], labels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("language", ["en", "fr", "ru", "zh"])
def test_xnli_dev_has_the_published_counts(shared_data: Path, language: str) -> None:
    pairs = list(read_nli(shared_data / f"xnli/dev-{language}.tsv.gz"))
    assert Counter(pair.label for pair in pairs) == dict.fromkeys(LABELS, 830)


@pytest.mark.parametrize("language", ["en", "fr", "zh"])
def test_mnli_has_the_published_counts(shared_data: Path, language: str) -> None:
    pairs = list(read_nli(shared_data / f"xnli/mnli_train15k-{language}.tsv.gz"))
    assert Counter(pair.label for pair in pairs) == {"contradiction": 5504, "entailment": 5100, "neutral": 4397}
