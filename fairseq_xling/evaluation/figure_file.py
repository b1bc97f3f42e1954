"""Figures as files: whole or not at all, and the same bytes from the same numbers."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fairseq_xling.formats.files import atomic_write

_NO_DATE: dict[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


def write_figure(figure: Figure, path: str | os.PathLike[str], dpi: int = 200, **options: Any) -> None:
    """Write a figure; the suffix of `path` chooses the format: ``.png``, ``.pdf``, ``.svg``.

    It is drawn in memory first, as matplotlib hides what is wrong with a disk behind an error of its own.

    Parameters
    ----------
    figure : Figure
    path : path-like
    dpi : int
        Dots per inch.
    options
        Others of matplotlib's `savefig`.
    """
    kind = Path(path).suffix[1:]
    drawn = io.BytesIO()
    figure.savefig(drawn, format=kind, dpi=dpi, metadata=_NO_DATE.get(kind), **options)
    with atomic_write(path, "wb") as out:
        out.write(drawn.getvalue())
