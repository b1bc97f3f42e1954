"""One self-contained HTML page: text, tables and figures, everything escaped, nothing loaded from elsewhere."""

from __future__ import annotations

import html
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from fairseq_xling.evaluation.figure_file import svg_element
from fairseq_xling.formats.files import atomic_write

STYLE = """
:root { color-scheme: light dark; --ink: #222; --quiet: #5a5a5a; --line: #d5d5d0; --panel: #f5f5f2; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e0; --quiet: #a9a9a4; --line: #44443f; --panel: #26262a; --paper: #17171a; }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin-top: 2.4rem; }
pre { background: var(--panel); padding: 1rem; overflow-x: auto; font-size: .75rem; line-height: 1.4; }
figure { margin: 1.5rem 0; } figcaption, caption { color: var(--quiet); font-size: .9rem; margin-bottom: .5rem; }
.drawing { background: #fff; border-radius: 4px; padding: .5rem; text-align: center; }
svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; min-width: 24rem; font-size: .8rem; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; caption-side: top; }
th, td { padding: .25rem .45rem; text-align: right; white-space: pre; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; vertical-align: bottom; } td.best { font-weight: 700; }
.text { text-align: left; } .prose { text-align: left; white-space: pre-wrap; min-width: 14rem; }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--quiet); font-size: .9rem; }
"""

KINDS = {"n": "", "t": "text", "p": "prose"}
"""Kinds of columns of a table: numbers (to the right), short text, and text that is wrapped."""


@dataclass
class Page:
    """A page that is put together part by part."""

    title: str
    parts: list[str] = field(default_factory=list)
    _figures: int = 0

    def heading(self, text: str) -> None:
        """A second-level heading."""
        self.parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> None:
        """A paragraph of plain text."""
        self.parts.append(f"<p>{html.escape(text)}</p>")

    def preformatted(self, text: str) -> None:
        """Text in columns, such as a table for the terminal."""
        self.parts.append(f"<pre>{html.escape(text)}</pre>")

    def figure(self, caption: str, figure: Figure) -> None:
        """A drawing, as SVG inside the page; on white in a dark page as well."""
        self._figures += 1
        caption = html.escape(caption)
        svg = svg_element(figure, f"f{self._figures}-").replace("<svg ", f'<svg role="img" aria-label="{caption}" ', 1)
        self.parts.append(f'<figure><figcaption>{caption}</figcaption><div class="drawing">{svg}</div></figure>')

    def table(
        self,
        caption: str,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        kinds: str = "",
        best: Collection[tuple[int, int]] = (),
    ) -> None:
        """A table that scrolls sideways where it is wider than the window; a line end in a cell begins a new line.

        Parameters
        ----------
        caption : str
        header : sequence of str
        rows : sequence of sequences of str
            Each as long as the header.
        kinds : str
            A letter of `KINDS` for each column; columns beyond it hold numbers.
        best : collection of (row, column)
            Cells in bold type.
        """
        classes = [KINDS[kind] for kind in kinds.ljust(len(header), "n")]
        lines = [_row("th", header, classes)]
        for number, row in enumerate(rows):
            if len(row) != len(header):
                raise ValueError(f"row {number} has {len(row)} cells, the header {len(header)}")
            marks = [" best" if (number, column) in best else "" for column in range(len(row))]
            lines.append(_row("td", row, [(name + mark).strip() for name, mark in zip(classes, marks)]))
        title = f"<caption>{html.escape(caption)}</caption>"
        body = "".join(lines[1:])
        table = f"<table>{title}<thead>{lines[0]}</thead><tbody>{body}</tbody></table>"
        self.parts.append(f'<div class="wide">{table}</div>')

    @contextmanager
    def folded(self, summary: str) -> Iterator[None]:
        """What is added inside is shown after a click."""
        self.parts.append(f"<details><summary>{html.escape(summary)}</summary>")
        yield
        self.parts.append("</details>")

    def render(self) -> str:
        """The whole page."""
        title = html.escape(self.title)
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
            f"<title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
            + "\n".join(self.parts)
            + "\n</body></html>\n"
        )


def _row(tag: str, cells: Sequence[str], classes: Sequence[str]) -> str:
    scope = ' scope="col"' if tag == "th" else ""
    inner = [
        f"<{tag}{scope}" + (f' class="{name}"' if name else "") + f">{html.escape(cell)}</{tag}>"
        for cell, name in zip(cells, classes, strict=True)
    ]
    return f"<tr>{''.join(inner)}</tr>"


def write_page(path: str | os.PathLike[str], page: Page) -> None:
    """Write a page under its final name when it is whole."""
    with atomic_write(path) as out:
        out.write(page.render())
