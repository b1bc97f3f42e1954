"""Wikipedia dump to text: one sentence a line, a blank line behind each article."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.corpus.progress import text_progress
from fairseq_xling.corpus.wikipedia import extract

EXAMPLE = """
Redirects, other namespaces, templates, tables, references, headings and (unless --lists) list items are left out.

example:
  python preprocess/extract_wiki.py frwiki-latest-pages-articles.xml.bz2 text/fr.raw.txt --lang fr
"""


def main() -> None:
    """Extract and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dump", type=Path, help="MediaWiki XML, plain or .bz2 .gz .xz .zst")
    parser.add_argument("out", type=Path, help="text file to write")
    parser.add_argument("--lang", required=True, help="language, for its abbreviations")
    parser.add_argument("--lists", action="store_true", help="keep list items")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    args = parser.parse_args()
    with text_progress("extract", [args.dump]) as bar:
        counts = extract(args.dump, args.out, args.lang, args.workers, args.lists, bar.update)
    print(
        "; ".join(f"{counts[key]:,} {key}" for key in ("pages", "redirects", "other", "damaged", "empty", "documents"))
    )
    print(f"{counts['sentences']:,} sentences written to {args.out}")


if __name__ == "__main__":
    run_command(main)
