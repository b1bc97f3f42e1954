"""Converters of named-entity sets to `token<TAB>tag` with BIO tags, and Chinese characters to segmenter words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.text import read_lines

Sentence = tuple[list[str], list[str]]
_TYPES = {"NR": "PER", "NS": "LOC", "NT": "ORG", "PERSON": "PER", "GPE": "LOC"}
_BEGIN, _INSIDE = {"B", "S", "U"}, {"I", "M", "E", "L"}


def read_columns(path: Path) -> Iterator[Sentence]:
    """Sentences of a column file: first column the token, last column the tag, blank lines between sentences.

    CoNLL 2003's `-DOCSTART-` lines are left out.

    Raises
    ------
    InputError
        A line with one column only, or a tag that is neither O nor of the form X-TYPE.
    """
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or fields[0] == "-DOCSTART-":
            if tokens:
                yield tokens, tags
                tokens, tags = [], []
            continue
        if len(fields) < 2:
            raise InputError(f"expected a token and a tag, found {line[:60]!r}", path, number)
        tag = fields[-1].strip()
        if tag != "O" and (tag[1:2] != "-" or tag[0] not in _BEGIN | _INSIDE or not tag[2:]):
            raise InputError(f"expected a tag O, B-TYPE or I-TYPE, found {tag[:40]!r}", path, number)
        tokens.append(fields[0])
        tags.append(tag)
    if tokens:
        yield tokens, tags


def to_bio(tags: Sequence[str]) -> list[str]:
    """BIO tags of IOB1 (CoNLL 2003), BIOES or BMES ones; types named as in WikiAnn where they have another name."""
    result = []
    previous = "O"
    for tag in tags:
        if tag == "O":
            result.append("O")
            previous = "O"
            continue
        kind = _TYPES.get(tag[2:].upper(), tag[2:].upper())
        goes_on = tag[0] in _INSIDE and previous == kind
        result.append(f"{'I' if goes_on else 'B'}-{kind}")
        previous = kind
    return result


def realign(characters: Sequence[str], tags: Sequence[str], segment: Callable[[str], Sequence[str]]) -> Sentence:
    """Tags of characters to tags of a segmenter's words.

    A word that holds a character of an entity belongs to it (to the first, if it touches two), and begins it
    if no word before does; so an entity whose border lies within a word grows to the border of the word.

    Parameters
    ----------
    characters, tags : sequence of str
        Tokens of a sentence and their tags (an I-X that starts a span begins an entity).
    segment : callable
        Text without spaces to words that concatenate to it.
    """
    owner: list[int] = []  # of each character of the text, the number of its entity, or -1
    types: list[str] = []
    for token, tag in zip(characters, to_bio(tags), strict=True):
        if tag[0] == "B":
            types.append(tag[2:])
        owner += [len(types) - 1 if tag != "O" else -1] * len(token)
    words = list(segment("".join(characters)))
    result, start, previous = [], 0, -1
    for word in words:
        touched = next((number for number in owner[start : start + len(word)] if number >= 0), -1)
        start += len(word)
        result.append("O" if touched < 0 else f"{'I' if touched == previous else 'B'}-{types[touched]}")
        previous = touched
    return words, result
