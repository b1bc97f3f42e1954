"""Paraphrases en' of sentences by back-translation (en -> fr -> en'), for CKA within a language (paper, Figure 7)."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

import torch

from fairseq_xling.command import run_command, seed_number
from fairseq_xling.evaluation.back_translation import SOURCE, TARGET, BackTranslator, TranslationOptions, quality
from fairseq_xling.evaluation.numbers import named
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.formats.lines import numbered_lines
from fairseq_xling.formats.parallel import read_aligned, read_table
from fairseq_xling.formats.results import Result, append_results, signature
from fairseq_xling.formats.text import read_lines

EXAMPLE = """
Trains two small models with fairseq's translation task on parallel sentences, there and back, translates the
sentences both ways and writes OUT/paraphrases.tsv: sentence, paraphrase. Reports BLEU and chrF (sacreBLEU, with their
signatures) of the round trip against the sentences, and of each model on its validation set. Text is taken as
tokenised; with --raw sacreBLEU tokenises it for BLEU (nothing else needs words).
What is done already is skipped when it is run again in the same way. With --finished FILE (sentence, paraphrase a
line) nothing is trained, and only the round trip is scored.

examples:
  python eval/paraphrase.py runs/paraphrase --parallel bitext.tsv --languages en fr --sentences xnli.en.txt \\
      --arch transformer_iwslt_de_en --bpe-size 16000 --updates 30000 --tokens 8192 --learning-rate 5e-4
  English of XNLI's parallel sentences, by models of another text; for train_scripts/alignment.sh --scale pocket:
    python eval/paraphrase.py runs/pocket/paraphrase --parallel bitext.en bitext.fr --raw --lower \\
      --sentences runs/pocket/data/parallel/train.tsv --languages en fr --scale pocket
    mkdir -p runs/pocket/data/paraphrases
    cp runs/pocket/paraphrase/paraphrases.tsv runs/pocket/data/paraphrases/en.tsv
  python eval/paraphrase.py runs/paraphrase --finished paraphrases.tsv
"""


def main() -> None:
    """Read the command line, train, translate, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to write to")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--parallel", type=Path, nargs="+", metavar="FILE", help="a table with languages, or two files")
    kind.add_argument("--finished", type=Path, metavar="FILE", help="paraphrases made elsewhere")
    parser.add_argument(
        "--languages", nargs=2, metavar="CODE", help="columns of the table: of the sentences, and pivot"
    )
    parser.add_argument(
        "--sentences", type=Path, metavar="FILE", help="to paraphrase: one a line, or a table (.tsv) with --languages"
    )
    parser.add_argument("--raw", action="store_true", help="text is not tokenised")
    parser.add_argument("--lower", action="store_true", help="lower-case all text")
    parser.add_argument("--valid", type=int, default=500, help="last sentence pairs to hold out for validation (500)")
    for option in fields(TranslationOptions):
        if option.name not in ("seed", "cpu"):
            kind_of = type(option.default)
            name = "--" + option.name.replace("_", "-")
            parser.add_argument(name, type=kind_of, default=option.default, help=f"({option.default})")
    parser.add_argument("--results", type=Path, metavar="FILE", help="results.jsonl to add to (default: only print)")
    parser.add_argument("--scale", default="lab", choices=("lab", "pocket", "paper"), help="default lab")
    parser.add_argument("--seed", type=seed_number, default=1, help="(1)")
    args = parser.parse_args()
    results: list[Result] = []

    def report(pair: str, what: str, data: str, hypotheses: list[str], references: list[str]) -> None:
        for score in quality(hypotheses, references, args.raw):
            how = signature(
                data=data,
                rule=score.signature.replace("|", ",").replace(":", "="),
                tokenised="by_sacrebleu" if args.raw else "before",
                casing="lower" if args.lower else None,
            )
            run = ("paraphrase", pair, args.scale, args.seed, what, score.metric)
            results.append(Result(*run, None, score.value, None, len(references), how))
            print(f"{pair} {what} {score.metric} {score.value:.2f} n {len(references)} {score.signature}")

    if args.finished:
        pairs = [line.split("\t") for _, line in numbered_lines(args.finished)]
        for number, pair in enumerate(pairs, 1):
            if len(pair) != 2:
                raise InputError(f"expected sentence and paraphrase, found {len(pair)} columns", args.finished, number)
        report("paraphrases", "round_trip", named(args.finished), [b for _, b in pairs], [a for a, _ in pairs])
    else:
        _make(args, report)
    if args.results:
        append_results(args.results, results)


def _make(args: argparse.Namespace, report) -> None:
    if args.sentences is None:
        raise InputError("--sentences is missing: the sentences to paraphrase")
    bitext, sentences = _bitext(args), _sentences(args)
    if args.lower:
        bitext, sentences = [(a.lower(), b.lower()) for a, b in bitext], [text.lower() for text in sentences]
    if len(bitext) <= args.valid:
        raise InputError(f"{len(bitext):,} sentence pairs; expected more than the {args.valid} to hold out")
    first, second = [a for a, _ in bitext], [b for _, b in bitext]
    train, valid = (first[: -args.valid], second[: -args.valid]), (first[-args.valid :], second[-args.valid :])
    options = {option.name: getattr(args, option.name) for option in fields(TranslationOptions) if option.name != "cpu"}
    maker = BackTranslator(args.out, TranslationOptions(**options, cpu=not torch.cuda.is_available()))
    maker.prepare(train, valid)
    codes = args.languages or (SOURCE, TARGET)
    for there, back, name in ((SOURCE, TARGET, "-".join(codes)), (TARGET, SOURCE, "-".join(reversed(codes)))):
        maker.train(there, back)
        texts = valid if there == SOURCE else valid[::-1]
        report(name, "translation", named(*args.parallel), maker.translate(texts[0], there, back), list(texts[1]))
    there_and_back = maker.paraphrase(sentences)[1]
    with atomic_write(args.out / "paraphrases.tsv") as out:
        out.writelines(f"{a}\t{b}\n" for a, b in zip(sentences, there_and_back, strict=True))
    report(f"{'-'.join(codes)}-{codes[0]}", "round_trip", named(args.sentences), there_and_back, sentences)
    print(f"{len(sentences):,} paraphrases written to {args.out / 'paraphrases.tsv'}")


def _bitext(args: argparse.Namespace) -> list[tuple[str, str]]:
    if len(args.parallel) == 1:
        table = read_table(args.parallel[0])
        return table.pairs(*(args.languages or list(table.sentences)[:2]))
    if len(args.parallel) > 2:
        raise InputError(f"--parallel: expected a table or two files, found {len(args.parallel)} files")
    return read_aligned(dict(zip((SOURCE, TARGET), args.parallel, strict=True))).pairs(SOURCE, TARGET)


def _sentences(args: argparse.Namespace) -> list[str]:
    """One a line, or a column of a table."""
    if ".tsv" not in args.sentences.suffixes:
        return list(read_lines(args.sentences))
    if not args.languages:
        raise InputError("a table of sentences needs --languages, of which the first is its column", args.sentences)
    table = read_table(args.sentences).sentences
    if args.languages[0] not in table:
        raise InputError(f"no language {args.languages[0]!r}: there are {', '.join(table)}", args.sentences, 1)
    return [text for text in table[args.languages[0]] if text.strip()]


if __name__ == "__main__":
    run_command(main)
