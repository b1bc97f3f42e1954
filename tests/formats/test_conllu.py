"""CoNLL-U: the `conllu` package as an independent reader, real treebanks, every kind of malformed line."""

from __future__ import annotations

import gzip
from pathlib import Path

import conllu
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_xling.formats.conllu import Sentence, read_conllu, write_conllu
from fairseq_xling.formats.errors import InputError


def row(ident: str, form: str = "w", head: str = "0", deprel: str = "root") -> str:
    return "\t".join((ident, form, "_", "X", "_", "_", head, deprel, "_", "_"))


FRENCH = "\n".join(
    (
        "# sent_id = un",
        "# text = Il parle du 10 000 (x = y).",
        row("1", "Il", "2", "nsubj"),
        row("2", "parle"),
        row("3-4", "du", "_", "_"),
        row("3", "de", "5", "case"),
        row("4", "le", "5", "det"),
        row("5", "10 000", "2", "obl"),
        row("5.1", "vide", "_", "_"),
        row("5.2", "vide", "_", "_"),
        row("6", ".", "2", "punct"),
    )
)


def read(tmp_path: Path, text: str) -> list[Sentence]:
    path = tmp_path / "file.conllu"
    path.write_text(text, encoding="utf-8", newline="")
    return list(read_conllu(path))


def test_words_tokens_and_comments(tmp_path: Path) -> None:
    first, second = read(tmp_path, f"\n{FRENCH}\n\n\n{row('1', 'Oui')}")  # empty lines before, between; none at the end
    assert first.forms == ["Il", "parle", "de", "le", "10 000", "."]
    assert first.tokens == ["Il", "parle", "du", "10 000", "."]
    assert [word.head for word in first.words] == [2, 0, 5, 5, 2, 2]
    assert first.comment("sent_id") == "un"
    assert first.comment("text") == "Il parle du 10 000 (x = y)."
    assert first.comment("newdoc") is None
    assert (first.line, second.line) == (2, 15)
    assert second.forms == ["Oui"]


def test_predictions_keep_everything_else(tmp_path: Path) -> None:
    (sentence,) = read(tmp_path, FRENCH.replace("10 000\t_\tX\t_\t_\t2\tobl\t_", "10 000\t_\tX\t_\t_\t2\tobl\t2:obl"))
    write_conllu(
        tmp_path / "out.conllu", [sentence], [[(2, "a"), (0, "root"), (2, "b"), (3, "c"), (2, "d:e"), (2, "f")]]
    )
    before, after = FRENCH.split("\n"), (tmp_path / "out.conllu").read_text("utf-8").split("\n")
    assert after[-2:] == ["", ""]
    changed = [index for index, (a, b) in enumerate(zip(before, after[:-2], strict=True)) if a != b]
    assert changed == [2, 5, 6, 7, 10], "words other than the root; not the comments, the range, the empty nodes"
    assert after[7] == row("5", "10 000", "2", "d:e"), "gold enhanced relations are not left beside predicted ones"


def test_wrong_numbers_of_trees(tmp_path: Path) -> None:
    (sentence,) = read(tmp_path, row("1"))
    wrong: list[list[list[tuple[int, str]]]] = [[], [[]], [[(0, "root"), (1, "x")]], [[(2, "root")]], [[(0, "")]]]
    for trees in wrong:
        with pytest.raises(ValueError, match=r"zip|arc"):
            write_conllu(tmp_path / "out.conllu", [sentence], trees)
        assert not (tmp_path / "out.conllu").exists()


@pytest.mark.parametrize(
    ("rows", "line", "expected"),
    [
        ([], None, "no sentence"),
        (["# only = comments"], 1, "without words"),
        ([row("1-2", head="_")], 1, "without words"),
        ([row("1"), "2\tw"], 2, "10 columns separated by tabs, found 2"),
        ([row("1").replace("\t", " ")], 1, "10 columns separated by tabs, found 1"),
        ([row("1") + "\t_"], 1, "found 11"),
        ([row("1", form="")], 1, "column FORM is empty"),
        ([row("2")], 1, "expected the id 1"),
        ([row("1"), row("1", head="1")], 2, "expected the id 2"),
        ([row("01")], 1, "expected the id 1"),
        ([row("\u0661")], 1, "expected the id 1"),  # an Arabic digit one
        ([row("1"), row("3-4", head="_"), row("2", head="1")], 2, "expected the id 2, or one like 2-3"),
        ([row("1-2", head="_"), row("1"), row("2-3", head="_"), row("2", head="1"), row("3", head="1")], 3, "one like"),
        ([row("2-1", head="_"), row("1")], 1, "one like 1-2"),
        ([row("1-x", head="_"), row("1")], 1, "one like 1-2"),
        ([row("1-3", head="_"), row("1"), row("2", head="1")], 3, "reaches to word 3 of 2"),
        ([row("1"), row("1.2", head="_")], 2, "1.1 of an empty node"),
        ([row("1"), "# late", row("2", head="1")], 2, "comment inside"),
        ([row("1", head="_")], 1, "number in column HEAD"),
        ([row("1", head="-1")], 1, "number in column HEAD"),
        ([row("1", head="\u00b2")], 1, "number in column HEAD"),  # a superscript two is a digit to str.isdigit
        ([row("1"), row("2", head="1", deprel="_")], 2, "column DEPREL"),
        ([row("1"), row("2", head="3")], 2, "head 3 in a sentence of 2 words"),
        ([row("1"), row("2")], 2, "second root word"),
        ([row("1", head="1")], 1, "its own ancestor"),
        ([row("1"), row("2", head="3"), row("3", head="2")], 2, "its own ancestor"),
        ([row("1", head="2"), row("2", head="3"), row("3", head="2")], 2, "its own ancestor"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, rows: list[str], line: int | None, expected: str) -> None:
    good = f"{row('1')}\n\n" if rows else ""
    with pytest.raises(InputError) as caught:
        read(tmp_path, good + "\n".join(rows))
    assert expected in caught.value.message
    assert caught.value.line == (None if line is None else line + 2)


def heads_of_a_tree(choices: list[int]) -> list[int]:
    """Word i hangs on a word among those placed before it, in an order of its own: any tree can come out."""
    order = sorted(range(len(choices)), key=lambda word: (choices[word], word))
    heads = [0] * len(choices)
    for rank, word in enumerate(order):
        heads[word] = 0 if rank == 0 else order[choices[word] % rank] + 1
    return heads


FORMS = st.text(st.characters(exclude_characters="\t\n\r\0\ufeff", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.lists(st.tuples(st.integers(0, 99), FORMS), min_size=1, max_size=8), min_size=1, max_size=4))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, sentences: list[list[tuple[int, str]]]) -> None:
    folder = tmp_path_factory.mktemp("conllu")
    trees = [heads_of_a_tree([choice for choice, _ in words]) for words in sentences]
    rows = [
        [row(str(i), form, str(head), "dep") for i, ((_, form), head) in enumerate(zip(words, heads, strict=True), 1)]
        for words, heads in zip(sentences, trees, strict=True)
    ]
    text = "".join("\n".join(lines) + "\n\n" for lines in rows)
    found = read(folder, text)
    assert [sentence.forms for sentence in found] == [[form for _, form in words] for words in sentences]
    assert [[word.head for word in sentence.words] for sentence in found] == trees
    write_conllu(folder / "out.conllu", found, [[(word.head, word.deprel) for word in s.words] for s in found])
    assert (folder / "out.conllu").read_bytes().decode() == text


@pytest.mark.parametrize(
    ("name", "sentences", "tokens", "words"),
    [
        ("ud/en_ewt/en_ewt-ud-dev.conllu.gz", 2001, 24787, 25147),
        ("ud/fr_gsd/fr_gsd-ud-dev.conllu.gz", 1476, 34664, 35721),
        ("ud/ru_gsd/ru_gsd-ud-dev.conllu.gz", 579, 11709, 11709),
        ("ud/zh_gsdsimp/zh_gsdsimp-ud-dev.conllu.gz", 500, 12663, 12663),
        ("ud/zh_gsd/zh_gsd-ud-dev.conllu.gz", 500, 12663, 12663),
        ("ud/en_ewt/en_ewt-ud-train.conllu.gz", 12544, 201962, 204577),
    ],
)
def test_real_treebanks_have_the_published_counts(
    shared_data: Path, tmp_path: Path, name: str, sentences: int, tokens: int, words: int
) -> None:
    found = list(read_conllu(shared_data / name))
    assert len(found) == sentences
    assert sum(len(sentence.tokens) for sentence in found) == tokens
    assert sum(len(sentence.words) for sentence in found) == words
    write_conllu(tmp_path / "out", found, [[(word.head, word.deprel) for word in s.words] for s in found])
    with gzip.open(shared_data / name, "rt", encoding="utf-8") as handle:
        original = handle.read().splitlines()
    for before, after in zip(original, (tmp_path / "out").read_text("utf-8").splitlines(), strict=True):
        columns = before.split("\t")
        if columns[0].isdigit():
            columns[8] = "_"
        assert "\t".join(columns) == after


@pytest.mark.parametrize("language", ["en", "fr", "ru", "zh"])
def test_agrees_with_the_conllu_package(shared_data: Path, language: str) -> None:
    path = shared_data / f"ud_pud/{language}_pud.even.conllu.gz"
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        expected = conllu.parse(handle.read())
    found = list(read_conllu(path))
    assert len(found) == len(expected) == 500
    for ours, theirs in zip(found, expected, strict=True):
        words = [token for token in theirs if isinstance(token["id"], int)]
        assert ours.comment("sent_id") == theirs.metadata["sent_id"]
        assert [(w.form, w.upos, w.head, w.deprel) for w in ours.words] == [
            (t["form"], t["upos"], t["head"], t["deprel"]) for t in words
        ]
