"""Parallel sentences: a table with a column a language, and pairs of files aligned by line (Tatoeba's among them)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.lines import numbered_lines, text_output

LANGUAGE = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z0-9]+)*")
IDENTIFIERS = ("sent_id", "id")
"""Headers of a column that names the rows instead of translating them."""

# ISO 639-3 codes of Tatoeba's file names, as in XTREME; other codes are taken as they are.
_TATOEBA_TABLE = """
af:afr ar:ara bg:bul bn:ben de:deu el:ell en:eng es:spa et:est eu:eus fa:pes fi:fin fr:fra he:heb hi:hin hu:hun id:ind
it:ita ja:jpn jv:jav ka:kat kk:kaz ko:kor ml:mal mr:mar nl:nld pt:por ru:rus sw:swh ta:tam te:tel th:tha tl:tgl tr:tur
ur:urd vi:vie zh:cmn
"""
TATOEBA_CODES: Mapping[str, str] = dict(entry.split(":") for entry in _TATOEBA_TABLE.split())


@dataclass(frozen=True)
class Parallel:
    """Sentences of several languages; the same index is the same meaning.

    Attributes
    ----------
    sentences : dict of str to list of str
        By language, all of one length; a missing translation is an empty string.
    ids : list of str, optional
        Names of the rows where the file has them.
    """

    sentences: dict[str, list[str]]
    ids: list[str] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.sentences.values())))

    def pairs(self, source: str, target: str) -> list[tuple[str, str]]:
        """Sentences of two languages side by side, without the rows in which either is empty.

        Raises
        ------
        InputError
            A language that is not here; the known ones are named.
        """
        for code in (source, target):
            if code not in self.sentences:
                raise InputError(f"no language {code!r}: there are {', '.join(self.sentences)}")
        columns = self.sentences[source], self.sentences[target]
        return [(a, b) for a, b in zip(*columns, strict=True) if a.strip() and b.strip()]


def read_table(path: str | os.PathLike[str]) -> Parallel:
    """A tab-separated table with a header of language codes, plain or compressed; quotation marks are text.

    A first column headed ``sent_id`` or ``id`` gives the names of the rows.

    Raises
    ------
    InputError
        A header that is not made of distinct language codes, a row with another number of columns, no row at all.
    """
    lines = numbered_lines(path)
    header = next(lines, (1, ""))[1].split("\t")
    named = header[0] in IDENTIFIERS
    codes = header[1:] if named else header
    for code in codes:
        if not LANGUAGE.fullmatch(code):
            raise InputError(f"expected a header of language codes, found {code[:40]!r}", path, 1)
    if not codes or len(set(codes)) < len(codes):
        raise InputError("expected a header of distinct language codes", path, 1)
    rows = []
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != len(header):
            raise InputError(f"expected {len(header)} columns as in the header, found {len(fields)}", path, number)
        rows.append(fields)
    if not rows:
        raise InputError("expected rows below the header, found none", path)
    columns = [list(column) for column in zip(*rows, strict=True)]
    return Parallel(dict(zip(codes, columns[named:], strict=True)), columns[0] if named else None)


def write_table(path: str | os.PathLike[str], parallel: Parallel) -> None:
    """Write the format of `read_table`.

    Raises
    ------
    ValueError
        Languages of different numbers of sentences, or a sentence with a tab or a line end in it.
    """
    columns = list(parallel.sentences.values())
    header = list(parallel.sentences)
    if parallel.ids is not None:
        columns, header = [parallel.ids, *columns], [IDENTIFIERS[0], *header]
    with text_output(path) as out:
        out.write("\t".join(header) + "\n")
        for row in zip(*columns, strict=True):
            if any(sign in field for field in row for sign in "\t\r\n\0"):
                raise ValueError(f"a sentence that cannot be written in a table: {row!r}")
            out.write("\t".join(row) + "\n")


def read_aligned(paths: Mapping[str, str | os.PathLike[str]]) -> Parallel:
    """Files of one sentence a line in which the same line is the same meaning.

    Parameters
    ----------
    paths : mapping of str to path-like
        By language; plain or compressed.

    Raises
    ------
    InputError
        Files of different numbers of lines; both counts are named. A file without lines.
    """
    sentences = {code: [line for _, line in numbered_lines(path)] for code, path in paths.items()}
    first = next(iter(paths))
    for code, path in paths.items():
        if not sentences[code]:
            raise InputError("expected one sentence a line, found no line", path)
        if len(sentences[code]) != len(sentences[first]):
            counts = f"{len(sentences[code])} lines, but {paths[first]} has {len(sentences[first])}"
            raise InputError(f"expected the same number of lines in aligned files, found {counts}", path)
    return Parallel(sentences)


def tatoeba_paths(folder: str | os.PathLike[str], language: str) -> dict[str, Path]:
    """The two files of a language with English in a copy of LASER's Tatoeba set, for `read_aligned`.

    Parameters
    ----------
    language : str
        ISO 639-1 or 639-3, such as ``fr`` or ``fra``; English comes second in the answer, as ``en``.

    Raises
    ------
    InputError
        A file is missing; the languages that are there are named.
    """
    code = TATOEBA_CODES.get(language, language)
    stem = Path(folder) / f"tatoeba.{code}-eng"
    paths = {language: Path(f"{stem}.{code}"), "en": Path(f"{stem}.eng")}
    for path in paths.values():
        if not path.is_file():
            there = sorted(
                found.name.split(".")[1].removesuffix("-eng") for found in Path(folder).glob("tatoeba.*-eng.eng")
            )
            raise InputError(f"no such file; languages in this folder: {', '.join(there) or 'none'}", path)
    return paths
