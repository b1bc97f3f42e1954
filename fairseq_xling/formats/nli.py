"""Pairs of sentences for natural language inference: XNLI and MultiNLI as tab-separated text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.lines import numbered_lines, text_output

LABELS = ("entailment", "neutral", "contradiction")
_SPELLINGS = {label: label for label in LABELS} | {
    "contradictory": "contradiction"
}  # the latter in XNLI's training files
_HEADERS = {
    "premise": ("premise", "sentence1"),
    "hypothesis": ("hypothesis", "hypo", "sentence2"),
    "label": ("label", "gold_label"),
}
UNDECIDED = "-"
"""MultiNLI's label where the annotators did not agree; such pairs are left out, as everywhere."""


class Pair(NamedTuple):
    """Premise and hypothesis as written, and one of `LABELS`."""

    premise: str
    hypothesis: str
    label: str


def read_nli(path: str | os.PathLike[str], language: str | None = None) -> Iterator[Pair]:
    """The labelled pairs of a tab-separated file, plain or compressed.

    Parameters
    ----------
    path : path-like
        ``premise<TAB>hypothesis<TAB>label`` without header; or with a header that names these columns among others
        (``sentence1``, ``sentence2`` and ``gold_label`` in the official XNLI files, ``hypo`` in its training files).
        Quotation marks are text.
    language : str, optional
        Keep only these rows of a file with a ``language`` column (the official XNLI files); needed there.

    Raises
    ------
    InputError
        Another number of columns, an empty sentence, an unknown label: file and line are named. No pair at all.
    """
    lines = numbered_lines(path)
    first = list(islice(lines, 1))
    places, width, is_header = _layout(first[0][1].split("\t") if first else [], language, path)
    count = 0
    for number, line in lines if is_header else chain(first, lines):
        fields = line.split("\t")
        if len(fields) != width:
            raise InputError(
                f"expected {width} columns separated by tabs, found {len(fields)}: {line[:60]!r}", path, number
            )
        premise, hypothesis, label, *row_language = (fields[place] for place in places)
        if label == UNDECIDED or row_language not in ([], [language]):
            continue
        yield _pair(premise, hypothesis, label, path, number)
        count += 1
    if not count:
        raise InputError(f"found no pair{f' in language {language!r}' if len(places) == 4 else ''}", path)


def _layout(fields: list[str], language: str | None, path: str | os.PathLike[str]) -> tuple[list[int], int, bool]:
    """Places of premise, hypothesis, label and perhaps language; number of columns; whether this is a header."""
    names = [field.strip().lower() for field in fields]
    found = [next((names.index(name) for name in known if name in names), -1) for known in _HEADERS.values()]
    if -1 in found:
        return [0, 1, 2], 3, False
    if "language" in names:
        if language is None:
            raise InputError("the file has a column of languages: say which one to read", path, 1)
        found.append(names.index("language"))
    return found, len(fields), True


def _pair(premise: str, hypothesis: str, label: str, path: str | os.PathLike[str], number: int) -> Pair:
    for text, side in ((premise, "premise"), (hypothesis, "hypothesis")):
        if not text.strip():
            raise InputError(f"the {side} is empty", path, number)
    if label not in _SPELLINGS:
        raise InputError(f"expected the label {', '.join(LABELS)}, found {label[:20]!r}", path, number)
    return Pair(premise, hypothesis, _SPELLINGS[label])


def write_nli(path: str | os.PathLike[str], pairs: Iterable[Pair], labels: Sequence[str] | None = None) -> None:
    """Write ``premise<TAB>hypothesis<TAB>label`` without header.

    Parameters
    ----------
    pairs : iterable of Pair
    labels : sequence of str, optional
        Predicted labels to write instead, one a pair.

    Raises
    ------
    ValueError
        Another number of labels than pairs, an unknown label, a sentence that would not be read back (empty, or with
        a tab or a line end in it).
    """
    pairs = list(pairs)
    with text_output(path) as out:
        for pair, label in zip(pairs, labels if labels is not None else [pair.label for pair in pairs], strict=True):
            if label not in LABELS:
                raise ValueError(f"expected the label {', '.join(LABELS)}, not {label!r}")
            for text in pair[:2]:
                if not text.strip() or any(sign in text for sign in "\t\r\n\0"):
                    raise ValueError(f"a sentence that cannot be written in columns: {text[:60]!r}")
            out.write(f"{pair.premise}\t{pair.hypothesis}\t{label}\n")
