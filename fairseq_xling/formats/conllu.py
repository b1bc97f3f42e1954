"""CoNLL-U treebanks: syntactic words with their trees, and files with predicted trees.

Only lines with an integer id are words. Multi-word tokens (``3-4``), empty nodes (``8.1``) and comments are kept
with the sentence, so that predictions can be written back as the same file with other HEAD and DEPREL columns.
Format: universaldependencies.org/format.html. Trees are checked as the CoNLL 2018 scorer checks them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.lines import numbered_lines, text_output

COLUMNS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")


class Word(NamedTuple):
    """A syntactic word. `head` is the number of its head word from 1, 0 for the root word."""

    form: str
    lemma: str
    upos: str
    xpos: str
    feats: str
    head: int
    deprel: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as read.

    Attributes
    ----------
    words : tuple of Word
        Word i (from 0) has the id i + 1.
    lines : tuple of str
        All its lines in the file: comments, words, multi-word tokens, empty nodes.
    line : int
        Number of its first line in the file, from 1.
    """

    words: tuple[Word, ...]
    lines: tuple[str, ...]
    line: int

    @property
    def forms(self) -> list[str]:
        """The words as strings; some treebanks have words with spaces in them (``10 000``)."""
        return [word.form for word in self.words]

    @property
    def tokens(self) -> list[str]:
        """Surface tokens: a multi-word token (``du``) in the place of its words (``de le``)."""
        tokens, covered = [], 0
        for line in self.lines:
            ident, _, rest = line.partition("\t")
            first, dash, last = ident.partition("-")
            if dash and first.isdigit():
                covered = int(last)
                tokens.append(rest.partition("\t")[0])
            elif ident.isdigit() and int(ident) > covered:
                tokens.append(rest.partition("\t")[0])
        return tokens

    def comment(self, key: str) -> str | None:
        """The value of a comment ``# key = value``, such as ``sent_id`` or ``text``; None where there is none."""
        for line in self.lines:
            if not line.startswith("#"):
                return None
            name, equals, value = line[1:].partition("=")
            if equals and name.strip() == key:
                return value.strip()
        return None


def read_conllu(path: str | os.PathLike[str]) -> Iterator[Sentence]:
    """The sentences of a CoNLL-U file, plain or compressed.

    Raises
    ------
    InputError
        A line that is no CoNLL-U, ids out of order, or heads that form no tree with one root; file and line are
        named. A file without a sentence.
    """
    held: list[tuple[int, str]] = []
    empty = True
    for number, line in numbered_lines(path):
        if line.strip():
            held.append((number, line))
        elif held:
            yield _sentence(held, path)
            held, empty = [], False
    if held:
        yield _sentence(held, path)
    elif empty:
        raise InputError("expected CoNLL-U, found no sentence", path)


def write_conllu(
    path: str | os.PathLike[str], sentences: Iterable[Sentence], trees: Iterable[Sequence[tuple[int, str]]]
) -> None:
    """Write sentences with predicted trees, all else as it was read.

    The column DEPS of words becomes ``_``: it would state gold relations beside the predicted ones.

    Parameters
    ----------
    sentences : iterable of Sentence
    trees : iterable of sequences of (head, relation)
        For each sentence one pair a word; heads from 1, 0 for the root word.

    Raises
    ------
    ValueError
        Other numbers of trees than sentences, or of arcs than words; a head outside of the sentence.
    """
    with text_output(path) as out:
        for sentence, tree in zip(sentences, trees, strict=True):
            if len(tree) != len(sentence.words):
                raise ValueError(f"{len(tree)} arcs for the {len(sentence.words)} words of line {sentence.line}")
            arcs = iter(tree)
            for line in sentence.lines:
                columns = line.split("\t")
                if columns[0].isdigit():
                    head, relation = next(arcs)
                    if not 0 <= head <= len(tree) or not relation:
                        raise ValueError(f"no such arc in a sentence of {len(tree)} words: {head} {relation!r}")
                    columns[6:9] = str(int(head)), relation, "_"
                out.write("\t".join(columns) + "\n")
            out.write("\n")


def _sentence(held: list[tuple[int, str]], path: str | os.PathLike[str]) -> Sentence:
    ids = _Ids()
    words: list[Word] = []
    numbers: list[int] = []
    for number, line in held:
        try:
            if line.startswith("#"):
                if ids.begun:
                    raise ValueError(
                        "a comment inside a sentence: expected a word, or an empty line to end the sentence"
                    )
                continue
            columns = _columns(line)
            if ids.accept(columns[0]):
                words.append(_word(columns))
                numbers.append(number)
        except ValueError as error:
            raise InputError(str(error), path, number) from None
    if not words:
        raise InputError("a sentence without words: expected lines of ten columns", path, held[0][0])
    if ids.covered > len(words):
        raise InputError(f"a multi-word token reaches to word {ids.covered} of {len(words)}", path, held[-1][0])
    _check_tree(words, numbers, path)
    return Sentence(tuple(words), tuple(line for _, line in held), held[0][0])


class _Ids:
    """The order of ids in a sentence: 1, 2, ...; 3-4 before 3; 2.1, 2.2 after 2."""

    def __init__(self) -> None:
        self.begun = False
        self.last, self.covered, self.empty_nodes = 0, 0, 0

    def accept(self, ident: str) -> bool:
        """Whether the line is a word's; ValueError where the id is not in its place."""
        self.begun = True
        if ident == str(self.last + 1):
            self.last, self.empty_nodes = self.last + 1, 0
            return True
        if ident == f"{self.last}.{self.empty_nodes + 1}":
            self.empty_nodes += 1
            return False
        first, dash, end = ident.partition("-")
        if (
            dash
            and first == str(self.last + 1)
            and self.last >= self.covered
            and _is_number(end)
            and int(end) > self.last
        ):
            self.covered = int(end)
            return False
        raise ValueError(
            f"expected the id {self.last + 1}, or one like {self.last + 1}-{self.last + 2} of several words "
            f"or {self.last}.{self.empty_nodes + 1} of an empty node; found {ident[:20]!r}"
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _columns(line: str) -> list[str]:
    columns = line.split("\t")
    if len(columns) != len(COLUMNS):
        raise ValueError(f"expected {len(COLUMNS)} columns separated by tabs, found {len(columns)}: {line[:60]!r}")
    if "" in columns:
        raise ValueError(f"column {COLUMNS[columns.index('')]} is empty: expected a value or '_'")
    return columns


def _word(columns: list[str]) -> Word:
    _, form, lemma, upos, xpos, feats, head, deprel, _, _ = columns
    if not _is_number(head):
        raise ValueError(f"expected a number in column HEAD, found {head[:20]!r}")
    if deprel == "_":
        raise ValueError("column DEPREL is '_': expected a relation")
    return Word(form, lemma, upos, xpos, feats, int(head), deprel)


def _check_tree(words: list[Word], numbers: list[int], path: str | os.PathLike[str]) -> None:
    """One root word, heads inside the sentence, no cycle."""
    for word, number in zip(words, numbers, strict=True):
        if word.head > len(words):
            raise InputError(f"head {word.head} in a sentence of {len(words)} words", path, number)
    roots = [place for place, word in enumerate(words) if word.head == 0]
    if len(roots) > 1:
        raise InputError(f"a second root word: expected one, found {len(roots)}", path, numbers[roots[1]])
    seen = [False] * len(words)  # on the present trail, or known to end at the root
    for start in range(len(words)):
        place, trail = start, set()
        while place >= 0 and not seen[place]:
            seen[place] = True
            trail.add(place)
            place = words[place].head - 1
        if place in trail:
            raise InputError(f"word {place + 1} is its own ancestor: heads must form a tree", path, numbers[place])
