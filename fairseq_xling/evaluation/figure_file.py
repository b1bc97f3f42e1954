"""What all figures share: their colours, and how they are written, the same bytes from the same numbers.

Importing this module sets matplotlib accordingly.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from fairseq_xling.formats.files import atomic_write

matplotlib.rcParams["svg.hashsalt"] = "fairseq_xling"  # else the ids in an SVG differ from run to run
matplotlib.rcParams["text.parse_math"] = False  # a dollar sign in a name is a dollar sign

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, which colour-blind people can tell apart."""

MARKERS = ("o", "s", "^", "D", "v", "P")

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


def svg_element(figure: Figure, prefix: str) -> str:
    """The ``<svg>`` element of a figure, to stand in an HTML page; matplotlib escapes the text in it.

    Parameters
    ----------
    figure : Figure
    prefix : str
        Put before every id, so that the figures of a page do not use each other's.
    """
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata=_NO_DATE["svg"])
    svg = re.sub(r"^.*?(?=<svg)", "", out.getvalue(), flags=re.DOTALL)
    return re.sub(r'(?<= id=")|(?<=url\(#)|(?<=href="#)', prefix, svg)
