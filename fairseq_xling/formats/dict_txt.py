"""fairseq's `dict.txt`: a symbol and its count a line; the symbols' ids start behind the four special ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.text import read_lines

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
"""In the order of their ids, 0 to 3; `dict.txt` does not list them."""
EOS, UNK = SPECIAL.index("</s>"), SPECIAL.index("<unk>")
MASK = "<mask>"


def read_dict(path: str | os.PathLike[str]) -> tuple[list[str], list[int]]:
    """Symbols in order and their counts.

    Raises
    ------
    InputError
        No such file, an empty one, a malformed line, a symbol given twice or a special one.
    """
    if not Path(path).is_file():
        raise InputError("no such dictionary; expected a data-bin folder made by preprocess/", path)
    counts: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), 1):
        symbol, space, count = line.rpartition(" ")
        if not (space and symbol and count.isascii() and count.isdigit() and len(count) < 19) or " " in symbol:
            raise InputError(f"expected '<symbol> <count>', found {line[:80]!r}", path, number)
        if symbol in counts or symbol in SPECIAL or symbol == MASK:
            kind = "twice in the dictionary" if symbol in counts else "a special symbol, which fairseq adds itself"
            raise InputError(f"symbol {symbol!r} is {kind}", path, number)
        counts[symbol] = int(count)
    if not counts:
        raise InputError("an empty dictionary; expected lines '<symbol> <count>'", path)
    return list(counts), list(counts.values())


def write_dict(path: str | os.PathLike[str], symbols: Sequence[str], counts: Iterable[int]) -> None:
    """Write `dict.txt` atomically."""
    with atomic_write(path, sync=False) as out:
        out.writelines(f"{symbol} {count}\n" for symbol, count in zip(symbols, counts, strict=True))


def vocabulary_hash(symbols: Sequence[str]) -> str:
    """SHA-256 of the symbols of `dict.txt` in order, joined by newlines (counts do not matter)."""
    return hashlib.sha256("\n".join(symbols).encode()).hexdigest()
