"""Named entities in columns: a token and its BIO tag a line, an empty line after each sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.lines import numbered_lines, text_output

TAG = re.compile(r"O|[BI]-\S+")


class TaggedSentence(NamedTuple):
    """Tokens and their tags, one to one, and the number of the first line in the file, from 1."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    line: int


def read_bio(path: str | os.PathLike[str]) -> Iterator[TaggedSentence]:
    """The sentences of a file of tokens and tags, plain or compressed; other formats: `corpus.entities.read_columns`.

    Parameters
    ----------
    path : path-like
        ``token<TAB>tag`` or ``token tag`` a line (in a line with a tab, tokens may hold spaces), as WikiAnn.

    Raises
    ------
    InputError
        Another number of columns, a token of no length, a tag that is not ``O``, ``B-TYPE`` or ``I-TYPE``: file and
        line are named. A file without a sentence. An I-X that starts a span is let through: real sets hold some, and
        the scorers repair and count them.
    """
    tokens: list[str] = []
    tags: list[str] = []
    first, empty = 0, True
    for number, line in numbered_lines(path):
        if not line.strip():
            if tokens:
                yield TaggedSentence(tuple(tokens), tuple(tags), first)
                tokens, tags, empty = [], [], False
            continue
        fields = line.split("\t") if "\t" in line else line.split(" ")
        if len(fields) != 2:
            raise InputError(f"expected a token and a tag, found {len(fields)} columns: {line[:60]!r}", path, number)
        if not fields[0].strip():
            raise InputError(f"a token of no length before the tag {fields[-1][:20]!r}", path, number)
        if not TAG.fullmatch(fields[-1]):
            raise InputError(f"expected a tag O, B-TYPE or I-TYPE, found {fields[-1][:20]!r}", path, number)
        if not tokens:
            first = number
        tokens.append(fields[0])
        tags.append(fields[-1])
    if tokens:
        yield TaggedSentence(tuple(tokens), tuple(tags), first)
    elif empty:
        raise InputError("expected tokens and tags, found no sentence", path)


def write_bio(path: str | os.PathLike[str], sentences: Iterable[tuple[Sequence[str], Sequence[str]]]) -> None:
    """Write ``token<TAB>tag`` lines, an empty line after each sentence.

    Parameters
    ----------
    sentences : iterable of (tokens, tags)
        Tags may be predicted ones; both of one length, at least 1.

    Raises
    ------
    ValueError
        Lengths that differ, an empty sentence, a tag of another form, or a token that would not be read back
        (empty, or with a tab or a line end in it).
    """
    with text_output(path) as out:
        for tokens, tags in sentences:
            if not tokens:
                raise ValueError("a sentence without tokens cannot be written")
            for token, tag in zip(tokens, tags, strict=True):
                if not token.strip() or any(sign in token for sign in "\t\r\n\0"):
                    raise ValueError(f"a token that cannot be written in columns: {token!r}")
                if not TAG.fullmatch(tag):
                    raise ValueError(f"expected a tag O, B-TYPE or I-TYPE, not {tag!r}")
                out.write(f"{token}\t{tag}\n")
            out.write("\n")
