"""Parallel sentences as commands take them: a table, or two files aligned by line."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fairseq_xling.evaluation.sides import Sides
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.lines import numbered_lines
from fairseq_xling.formats.parallel import read_aligned, read_table

HELP = "a table with a header of language codes, or two files aligned by line (source, target)"
COLUMNS_HELP = (
    "columns of the table: language codes (default: those of the two sides), or numbers from 1 for a table without "
    "header, such as paraphrases (--columns 1 2)"
)


def read_sides(
    paths: Sequence[str | os.PathLike[str]], sides: Sides, columns: Sequence[str] | None = None
) -> tuple[list[str], list[str]]:
    """Sentences of both sides, tokenised as their models want them; rows that are empty on a side are left out.

    Parameters
    ----------
    paths : one or two paths
        See `HELP`.
    sides : Sides
    columns : two str, optional
        See `COLUMNS_HELP`.

    Raises
    ------
    InputError
        Files of unequal length, a missing column, no row that has both sides.
    """
    if len(paths) == 2:
        found = read_aligned({"source": paths[0], "target": paths[1]}).pairs("source", "target")
    elif len(paths) == 1:
        found = _columns(paths[0], *(columns or (sides.source.language, sides.target.language)))
    else:
        raise InputError(f"expected {HELP}; found {len(paths)} files")
    if not found:
        raise InputError("no row has a sentence on both sides", paths[0])
    return sides.source.tokenised([a for a, _ in found]), sides.target.tokenised([b for _, b in found])


def _columns(path: str | os.PathLike[str], source: str, target: str) -> list[tuple[str, str]]:
    if not (source.isdigit() and target.isdigit()):
        try:
            return read_table(path).pairs(source, target)
        except InputError as error:
            raise error if error.path else InputError(f"{error.message} in the header", path, 1) from None
    places = int(source) - 1, int(target) - 1
    pairs = []
    for number, line in numbered_lines(path):
        fields = line.split("\t")
        if not 0 <= min(places) <= max(places) < len(fields):
            raise InputError(f"expected columns {source} and {target}, found {len(fields)} columns", path, number)
        pairs.append((fields[places[0]], fields[places[1]]))
    return [(a, b) for a, b in pairs if a.strip() and b.strip()]
