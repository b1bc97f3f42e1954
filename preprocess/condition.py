"""The data of one condition of Table 1 for one pair of languages: from prepared text to a data-bin."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from fairseq_xling.command import run_command, seed_number
from fairseq_xling.corpus.codeswitch import rates
from fairseq_xling.corpus.conditions import CONDITIONS, SCALES, build_condition, find_domains
from fairseq_xling.corpus.databin import describe
from fairseq_xling.corpus.prepare import prepare_languages
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.manifest import CASINGS

EXAMPLE = """
TEXT holds text/<domain>/<lang>.{train,valid,test}.txt, dictionaries/<a>-<b>.weighted.tsv for extra_anchors, and gets
derived/ (samples and code-switched text). The domain is `all` where there is one, else `wiki`; in wiki_cc the source
language is of `wiki`, the target language of `cc` (where there is none: `bible`), as many sentences as it has in the
usual domain. A dictionary that the pair lacks is made by way of English. With --raw, text that is missing is first made
from the dumps that preprocess/get_data.sh fetched.
Whatever is done already is kept; the same command goes on after an interruption.

examples:
  python preprocess/condition.py no_anchors en-fr --scale pocket --text data --out data-bin/no_anchors/en-fr
  python preprocess/condition.py wiki_cc en-ru --scale paper --raw raw --text data --out data-bin/wiki_cc/en-ru
"""


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("condition", choices=CONDITIONS, metavar="CONDITION", help=" ".join(CONDITIONS))
    parser.add_argument("pair", help="two language codes, such as en-fr; one code for mono")
    parser.add_argument("--scale", choices=SCALES, required=True, help="gives the size of the BPE")
    parser.add_argument("--text", type=Path, required=True, help="folder of prepared text")
    parser.add_argument("--out", type=Path, required=True, help="data-bin to make")
    parser.add_argument("--raw", type=Path, help="folder of dumps, of preprocess/get_data.sh")
    parser.add_argument("--domain", help="usual domain, instead of the one found")
    parser.add_argument("--other-domain", help="domain of the target language in wiki_cc, instead of the one found")
    parser.add_argument("--dictionary", type=Path, help="weighted dictionary, source to target, for extra_anchors")
    parser.add_argument("--bpe-joint", type=int, help="subwords of the joint BPE, instead of the scale's")
    parser.add_argument("--bpe-each", type=int, help="subwords of each language's BPE, instead of the scale's")
    parser.add_argument("--shrink", action="store_true", help="accept fewer subwords where the text gives no more")
    parser.add_argument("--casing", choices=CASINGS, help="of the text: what --raw makes, or what notes.json must say")
    parser.add_argument("--allow-unknown", action="store_true", help="accept more than 1 %% of unknown tokens")
    parser.add_argument("--seed", type=seed_number, default=1, help="of samples and code-switching (%(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    return parser.parse_args()


def main() -> None:
    """Build and report."""
    args = parse()
    languages = args.pair.split("-")
    if len(languages) > 2:
        raise InputError(f"pair {args.pair!r}: expected one hyphen; a language code has none, so write pt_br for pt-br")
    if args.raw:
        prepare_languages(args.raw, args.text, languages, args.condition, args.casing, args.seed, args.workers)
    scale, domains = SCALES[args.scale], find_domains(args.text)
    scale = replace(scale, joint=args.bpe_joint or scale.joint, each=args.bpe_each or scale.each)
    scale = replace(scale, shrink=scale.shrink or args.shrink)
    if args.domain:
        domains = replace(domains, usual=args.domain, plain=args.domain)
    domains = replace(domains, other=args.other_domain or domains.other)
    manifest = build_condition(
        args.condition,
        languages,
        args.text,
        args.out,
        scale,
        domains,
        args.seed,
        args.workers,
        args.dictionary,
        allow_unknown=args.allow_unknown,
        casing=args.casing,
    )
    history = manifest["history"]
    for lang, counts in history.get("code_switching", {}).items():
        print(f"{lang} code-switched: {rates(counts)}")
    if "sample" in history:
        print(
            "{1} sample: {sentences:,} of {of:,} sentences ({wanted:,} wanted)".format(*languages, **history["sample"])
        )
    print(describe(manifest))


if __name__ == "__main__":
    run_command(main)
