"""Named-entity sets that must be fetched by hand to `token<TAB>tag` with BIO tags."""

from __future__ import annotations

import argparse
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.corpus.entities import read_columns, realign, to_bio
from fairseq_xling.corpus.words import segment_chinese
from fairseq_xling.formats.bio import write_bio

EXAMPLE = """
CoNLL 2003 (English; needs a Reuters RCV1 licence from NIST): eng.train, eng.testa, eng.testb, four columns, IOB1.
Chinese (SIGHAN 2006 MSRA and others): a character and its tag a line, BIO, BIOES or BMES; with --words the tags are
realigned to the words of the segmenter, as the paper does.

examples:
  python preprocess/convert_ner.py eng.train ner/en.train.tsv
  python preprocess/convert_ner.py msra_train_bio.txt ner/zh.train.tsv --words
"""


def main() -> None:
    """Convert and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="column file, plain or compressed")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--words", action="store_true", help="Chinese characters to the segmenter's words")
    args = parser.parse_args()
    sentences = [(tokens, to_bio(tags)) for tokens, tags in read_columns(args.source)]
    if args.words:
        sentences = [realign(tokens, tags, segment_chinese) for tokens, tags in sentences]
    write_bio(args.out, sentences)
    print(f"{len(sentences):,} sentences written to {args.out}")


if __name__ == "__main__":
    run_command(main)
