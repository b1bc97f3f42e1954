"""Bilingual dictionaries: MUSE's (`source target` a line) and weighted ones (`source<TAB>target<TAB>quality`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.text import read_lines

Weights = dict[str, dict[str, float]]
"""Source word to target word to quality."""


def read_pairs(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Pairs of a dictionary in file order, repeated ones once; a third column is not looked at.

    Parameters
    ----------
    path : path-like
        MUSE's format (one space or tab between two words) or tab-separated (entries may hold spaces).

    Raises
    ------
    InputError
        A line with another number of columns, or an empty side; file and line are named.
    """
    return list(dict.fromkeys((source, target) for source, target, _ in _rows(path)))


def read_weighted(path: str | os.PathLike[str]) -> Weights:
    """Qualities by source and target; those of a repeated pair are added up, a missing column counts 1.

    Raises
    ------
    InputError
        As `read_pairs`; a quality that is not a finite number of at least 0; some lines with a quality, some without.
    """
    weights: Weights = {}
    for source, target, quality in _rows(path):
        targets = weights.setdefault(source, {})
        targets[target] = targets.get(target, 0.0) + quality
    return weights


def _rows(path: str | os.PathLike[str]) -> Iterable[tuple[str, str, float]]:
    columns = 0
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        by_tab = "\t" in line
        fields = [field.strip() for field in line.split("\t" if by_tab else " ")]
        allowed = (columns,) if columns else (2, 3) if by_tab else (2,)
        if len(fields) not in allowed:
            wanted = f"{columns} columns as in the lines above" if columns else "2 or 3 columns"
            raise InputError(
                f"expected {wanted} ('source target' or 'source<TAB>target<TAB>quality'), found {len(fields)}: "
                f"{line[:60]!r}",
                path,
                number,
            )
        columns = len(fields)
        if not fields[0] or not fields[1]:
            raise InputError(f"a side of the pair is empty: {line[:60]!r}", path, number)
        yield fields[0], fields[1], _quality(fields[2], path, number) if len(fields) == 3 else 1.0


def _quality(text: str, path: str | os.PathLike[str], number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError(f"expected a quality of at least 0 in column 3, found {text[:40]!r}", path, number)
    return value


def write_weighted(path: str | os.PathLike[str], weights: Mapping[str, Mapping[str, float]]) -> int:
    """Write `source<TAB>target<TAB>quality`, best translations first; the number of lines."""
    lines = 0
    with atomic_write(path, sync=False) as out:
        for source, targets in weights.items():
            for target, quality in sorted(targets.items(), key=lambda item: (-item[1], item[0])):
                out.write(f"{source}\t{target}\t{quality:g}\n")
                lines += 1
    return lines


def write_pairs(path: str | os.PathLike[str], pairs: Iterable[tuple[str, str]]) -> None:
    """Write MUSE's format; entries must hold no space."""
    with atomic_write(path, sync=False) as out:
        out.writelines(f"{source} {target}\n" for source, target in pairs)


def inverted(weights: Mapping[str, Mapping[str, float]]) -> Weights:
    """The dictionary in the other direction, with the same qualities."""
    result: Weights = {}
    for source, targets in weights.items():
        for target, quality in targets.items():
            result.setdefault(target, {})[source] = quality
    return result


def add_weights(total: Weights, part: Mapping[str, Mapping[str, float]], factor: float = 1.0) -> None:
    """Add the qualities of `part`, times `factor`, to `total`."""
    for source, targets in part.items():
        held = total.setdefault(source, {})
        for target, quality in targets.items():
            held[target] = held.get(target, 0.0) + factor * quality


def through_pivot(first: Mapping[str, Mapping[str, float]], second: Mapping[str, Mapping[str, float]]) -> Weights:
    """A dictionary A to C from A to B and B to C: qualities are the probability of the way A, B, C, summed over B.

    At each step a translation's probability is its share of the word's qualities.
    """
    result: Weights = {}
    for source, middles in first.items():
        whole = sum(middles.values())
        for middle, quality in middles.items():
            if whole and (ends := second.get(middle)):
                add_weights(result, {source: ends}, quality / whole / (sum(ends.values()) or 1.0))
    return result
