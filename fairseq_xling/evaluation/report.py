"""One self-contained HTML page: text, tables and figures, everything escaped, nothing loaded from elsewhere."""

from __future__ import annotations

import html
import io
import os
import re
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from fairseq_xling.formats.files import atomic_write

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
pre { background: #f5f5f2; padding: 1rem; overflow-x: auto; font-size: 0.75rem; line-height: 1.4; }
figure { margin: 2rem 0; } figcaption { color: #555; margin-bottom: .4rem; } svg { max-width: 100%; height: auto; }
"""


@dataclass
class Page:
    """A page that is put together part by part."""

    title: str
    parts: list[str] = field(default_factory=list)

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
        """A drawing, as SVG inside the page."""
        caption = html.escape(caption)
        self.parts.append(f"<figure><figcaption>{caption}</figcaption>{_svg(figure)}</figure>")

    def render(self) -> str:
        """The whole page."""
        title = html.escape(self.title)
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
            f"<title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
            + "\n".join(self.parts)
            + "\n</body></html>\n"
        )


def _svg(figure: Figure) -> str:
    """The figure's SVG element; matplotlib escapes the text in it."""
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", out.getvalue(), flags=re.DOTALL)


def write_page(path: str | os.PathLike[str], page: Page) -> None:
    """Write a page under its final name when it is whole."""
    with atomic_write(path) as out:
        out.write(page.render())
