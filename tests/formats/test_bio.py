"""BIO columns: separators, malformed lines, real data."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.formats.bio import TaggedSentence, read_bio, write_bio
from fairseq_xling.formats.errors import InputError


def read(tmp_path: Path, text: str) -> list[TaggedSentence]:
    path = tmp_path / "file.tsv"
    path.write_text(text, encoding="utf-8", newline="")
    return list(read_bio(path))


@pytest.mark.parametrize(
    "text",
    [
        "New\tB-LOC\nYork\tI-LOC\n\nyes\tO\n\n",
        "New B-LOC\nYork I-LOC\n\nyes O\n",
        "\ufeff\n\nNew\tB-LOC\r\nYork\tI-LOC\r\n \t \r\n\r\nyes\tO",  # mark, CR LF, many empty lines, none at the end
    ],
)
def test_sentences(tmp_path: Path, text: str) -> None:
    first, second = read(tmp_path, text)
    assert first[:2] == (("New", "York"), ("B-LOC", "I-LOC"))
    assert second[:2] == (("yes",), ("O",))
    assert text.replace("\ufeff", "").splitlines()[first.line - 1][:3] == "New"


def test_tab_separated_tokens_may_hold_spaces(tmp_path: Path) -> None:
    assert read(tmp_path, "10 000\tO\nna\u00efve\u00a0x O\n")[0].tokens == ("10 000", "na\u00efve\u00a0x")


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", None, "no sentence"),
        ("\n\n", None, "no sentence"),
        ("a\tO\n\tO\n", 2, "no length"),
        ("a\tO\n O\n", 2, "no length"),
        ("a\tO\n\u3000\tO\n", 2, "no length"),
        ("a\tO\nb\n", 2, "a token and a tag, found 1"),
        ("a O\nb  O\n", 2, "found 3"),
        ("a\tO\tO\n", 1, "found 3"),
        ("a\tX-PER\n", 1, "O, B-TYPE or I-TYPE, found 'X-PER'"),
        ("a\tB-\n", 1, "found 'B-'"),
        ("a\t\n", 1, "found ''"),
        ("a\to\n", 1, "found 'o'"),
        ("a\tO \n", 1, "found 'O '"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, text: str, line: int | None, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert expected in caught.value.message
    assert caught.value.line == line


TOKENS = st.text(st.characters(exclude_characters="\t\n\r\0\ufeff", exclude_categories=["Cs"]), min_size=1).filter(
    str.strip
)


@given(
    st.lists(st.lists(st.tuples(TOKENS, st.sampled_from(["O", "B-PER", "I-x:y"])), min_size=1), min_size=1, max_size=4)
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, sentences: list[list[tuple[str, str]]]) -> None:
    path = tmp_path_factory.mktemp("bio") / "file.tsv.gz"
    columns = [(tuple(token for token, _ in words), tuple(tag for _, tag in words)) for words in sentences]
    write_bio(path, columns)
    assert [(s.tokens, s.tags) for s in read_bio(path)] == columns


@pytest.mark.parametrize(
    ("tokens", "tags"),
    [([], []), (["a"], []), (["a"], ["O", "O"]), ([""], ["O"]), (["a\tb"], ["O"]), (["a"], ["PER"]), (["a\nb"], ["O"])],
)
def test_what_would_not_be_read_back_is_not_written(tmp_path: Path, tokens: list[str], tags: list[str]) -> None:
    with pytest.raises(ValueError, match=r"written|zip|tag"):
        write_bio(tmp_path / "file.tsv", [(["good"], ["O"]), (tokens, tags)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("language", "tokens"), [("en", 160394), ("fr", 136788), ("ru", 141529), ("zh", 420054)])
def test_wikiann_has_the_published_counts(shared_data: Path, language: str, tokens: int) -> None:
    train = list(read_bio(shared_data / f"wikiann/{language}.train.tsv.gz"))
    assert len(train) == 20000
    assert sum(len(sentence.tokens) for sentence in train) == tokens
    tags = {tag for sentence in train for tag in sentence.tags}
    assert tags == {"O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in ("PER", "LOC", "ORG"))}
    assert sum(1 for _ in read_bio(shared_data / f"wikiann/{language}.dev.tsv.gz")) == 5000
