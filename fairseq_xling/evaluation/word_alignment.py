"""Which words of parallel sentences translate each other: statistical aligners, and their files.

The paper uses fast_align; here it is called through systran-align, which wraps the same model, or eflomal is started
as a program. Alignments from elsewhere come in Pharaoh's format (``0-0 1-2 ...`` a line).
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.text import read_lines

Words = Sequence[str]
Links = list[tuple[int, int]]
"""Positions, counted from 0, of a source and a target word that are linked."""

ALIGNERS = ("fast_align", "eflomal")
LONGEST = 200
"""Sentences of more words, on either side, are left unaligned: aligners slow down quadratically or refuse them."""

_SEPARATOR = "|||"
_LINK = re.compile("([0-9]{1,9})-([0-9]{1,9})")


def align_words(
    pairs: Sequence[tuple[Words, Words]], aligner: str = "fast_align", longest: int = LONGEST
) -> list[Links]:
    """Word alignments of parallel sentences, both directions combined.

    Parameters
    ----------
    pairs : sequence of (source words, target words)
        An empty side, or one of more than `longest` words, gives no links; every other pair helps to learn.
    aligner : {"fast_align", "eflomal"}
        fast_align's two directions are combined by grow-diag-final; of eflomal's two the links of both are taken.
    longest : int

    Returns
    -------
    list of list of (source position, target position)
        One for each pair.

    Raises
    ------
    InputError
        The aligner is not installed or fails; no pair is left to learn from.
    """
    usable = [row for row, (a, b) in enumerate(pairs) if 0 < len(a) <= longest and 0 < len(b) <= longest]
    if not usable:
        raise InputError(f"no sentence pair to align: all {len(pairs):,} are empty on a side or over {longest} words")
    clean = [(_escaped(pairs[row][0]), _escaped(pairs[row][1])) for row in usable]
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "pairs")
        text.write_text("".join(f"{' '.join(a)} {_SEPARATOR} {' '.join(b)}\n" for a, b in clean), encoding="utf-8")
        found = {"fast_align": _fast_align, "eflomal": _eflomal}[aligner](text, clean)
    links: list[Links] = [[] for _ in pairs]
    for row, some in zip(usable, found, strict=True):
        links[row] = sorted(some)
    return links


def one_to_one(links: Iterable[tuple[int, int]]) -> Links:
    """The links of words that are linked to one word only, on both sides: those that are surest to translate."""
    links = list(links)
    sources, targets = Counter(a for a, _ in links), Counter(b for _, b in links)
    return [(a, b) for a, b in links if sources[a] == targets[b] == 1]


def read_pharaoh(path: str | os.PathLike[str], pairs: Sequence[tuple[Words, Words]]) -> list[Links]:
    """Alignments of `pairs` from a file in Pharaoh's format, a line a pair; an empty line has no links.

    Raises
    ------
    InputError
        Another number of lines than pairs; something that is not ``i-j``; a position beyond its sentence.
    """
    lines = list(read_lines(path))
    if len(lines) != len(pairs):
        raise InputError(f"expected a line for each of {len(pairs):,} sentence pairs, found {len(lines):,}", path)
    links: list[Links] = []
    for number, (line, (source, target)) in enumerate(zip(lines, pairs, strict=True), 1):
        links.append([])
        for entry in line.split():
            match = _LINK.fullmatch(entry)
            if match is None:
                raise InputError(f"expected links such as 0-0 1-2, found {entry[:40]!r}", path, number)
            link = int(match[1]), int(match[2])
            if link[0] >= len(source) or link[1] >= len(target):
                raise InputError(
                    f"link {entry} lies beyond sentences of {len(source)} and {len(target)} words (counted from 0)",
                    path,
                    number,
                )
            links[-1].append(link)
    return links


def write_pharaoh(path: str | os.PathLike[str], links: Iterable[Iterable[tuple[int, int]]]) -> None:
    """Write alignments in Pharaoh's format."""
    with atomic_write(path) as out:
        out.writelines(" ".join(f"{a}-{b}" for a, b in some) + "\n" for some in links)


def _escaped(words: Words) -> list[str]:
    """Words that cannot be mistaken for the separator, nor for several words."""
    return ["_".join(word.split()) if word != _SEPARATOR else "/" for word in words]


def _fast_align(text: Path, pairs: Sequence[tuple[list[str], list[str]]]) -> list[Links]:
    try:
        systran_align = importlib.import_module("systran_align")
    except ImportError:
        raise InputError(
            "the word aligner is not installed: pip install systran-align==3.5.0 (wheels for Python 3.11 on x86-64 "
            "Linux), or pip install eflomal==2.0.0 (any Python; needs a C compiler) and --aligner eflomal, or give "
            "alignments made elsewhere with --pharaoh"
        ) from None
    tables = os.fspath(text.with_name("forward")), os.fspath(text.with_name("backward"))
    # fast_align's own recommendation: -d -o -v
    systran_align.generate_alignment_probabilities(
        os.fspath(text), *tables, favor_diagonal=True, optimize_tension=True, variational_bayes=True
    )
    model = systran_align.Aligner(*tables)
    found = model.align_batch([a for a, _ in pairs], [b for _, b in pairs])
    return [[(int(a), int(b)) for a, b in entry["alignments"]] for entry in found]


def _eflomal(text: Path, pairs: Sequence[tuple[list[str], list[str]]]) -> list[Links]:
    beside = Path(sys.executable).with_name("eflomal-align")
    program = os.fspath(beside) if beside.is_file() else shutil.which("eflomal-align")
    if program is None:
        raise InputError("eflomal-align is not installed: pip install eflomal==2.0.0 (GPL; needs a C compiler)")
    forward, backward = text.with_name("forward"), text.with_name("backward")
    done = subprocess.run(
        [program, "--overwrite", "-i", text, "-f", forward, "-r", backward], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InputError(f"eflomal-align failed: {(done.stderr.strip().splitlines() or ['no message'])[-1][:200]}")
    both = zip(read_pharaoh(forward, pairs), read_pharaoh(backward, pairs), strict=True)
    return [[link for link in there if link in set(back)] for there, back in both]
