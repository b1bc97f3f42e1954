"""Transfer from frozen layers, with and without alignment of words in context (paper, Figures 5 and 8)."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.evaluation.contextual_alignment import learn_maps, linked_words
from fairseq_xling.evaluation.contextual_transfer import LayerTransfer, read_labelled
from fairseq_xling.evaluation.frozen_transfer import HeadOptions
from fairseq_xling.evaluation.numbers import Numbers, add_result_options, named
from fairseq_xling.evaluation.parallel_text import COLUMNS_HELP, HELP, read_sides
from fairseq_xling.evaluation.sides import add_side_options, load_sides
from fairseq_xling.evaluation.word_alignment import ALIGNERS, align_words, read_pharaoh, write_pharaoh
from fairseq_xling.evaluation.word_features import POOLINGS
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import signature

EXAMPLE = """
For each layer i: a head (four Transformer layers and the task's layer) is trained on the source language, on the frozen
first i layers of its model, and applied to the target language through the first i layers of that language's model.
Aligned: both languages are normalised, and the target is mapped by one orthogonal map a layer, which is learnt from
words that a statistical aligner links in --parallel (words linked to one word only). Models trained apart need it; a
bilingual model is measured without it, and with it too where --parallel is given (Figure 8).
Metrics: f1 or las of the target language, with _aligned behind it where aligned; the same with _source on the source.

examples:
  two monolingual models:
    python eval/contextual.py --source en=mono/en.pt --target fr=mono/fr.pt --task ner --gold wikiann \\
      --parallel xnli/parallel.dev.tsv.gz --experiment mono --results results.jsonl
  a bilingual model, as it is, some layers:
    python eval/contextual.py --source en=bi.pt --target fr=bi.pt --task parsing --gold ud --layers 0 4 8 \\
      --experiment default --results results.jsonl
"""


def main() -> None:
    """Read the command line, train heads, measure, write the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=("ner", "parsing"), required=True)
    parser.add_argument("--gold", type=Path, required=True, metavar="DIR", help="annotated files, as eval/zero_shot.py")
    parser.add_argument("--files", default="", help="files named otherwise: LANGUAGE.SPLIT=PATH, separated by commas")
    parser.add_argument("--split", default="test", help="split of the target language to score (test)")
    parser.add_argument("--layers", type=int, nargs="+", metavar="I", help="layers (default: all)")
    align = parser.add_argument_group("alignment")
    align.add_argument("--parallel", type=Path, nargs="+", metavar="FILE", help=HELP)
    align.add_argument("--columns", nargs=2, metavar="COLUMN", help=COLUMNS_HELP)
    align.add_argument("--aligner", choices=ALIGNERS, default="fast_align", help="word aligner (fast_align)")
    align.add_argument(
        "--pharaoh", type=Path, metavar="FILE", help="word alignment made elsewhere (0-0 1-2 ... a line)"
    )
    align.add_argument("--write-pharaoh", type=Path, metavar="FILE", help="write the word alignment")
    align.add_argument("--pooling", choices=POOLINGS, default="first", help="a word from its subwords (first)")
    align.add_argument("--links", type=int, default=50_000, help="linked words used at most (50000)")
    head = parser.add_argument_group("head")
    names = {"layers": "head-layers", "arc_dim": "arc-dim", "label_dim": "label-dim", "batch_size": "batch-size"}
    for option in fields(HeadOptions):
        if option.name not in ("seed", "bf16"):
            name = names.get(option.name, option.name.replace("_", "-"))
            kind = float if isinstance(option.default, float) else int
            head.add_argument(
                f"--{name}", dest=f"head_{option.name}", type=kind, default=option.default, help=f"({option.default})"
            )
    add_side_options(parser)
    add_result_options(parser)
    args = parser.parse_args()
    sides = load_sides(args.source, args.target, args.data, args.untrained, args.seed)
    sides.expect_alike()
    layers = args.layers or list(range(sides.source.model.num_layers + 1))
    if wrong := [i for i in layers if not 0 <= i <= sides.source.model.num_layers]:
        raise InputError(f"--layers {wrong[0]}: the models have layers 0 to {sides.source.model.num_layers}")
    if not sides.bilingual and not args.parallel:
        raise InputError("models that were trained apart need --parallel, sentences to learn the alignment from")
    given = {f.name: getattr(args, f"head_{f.name}") for f in fields(HeadOptions) if f.name not in ("seed", "bf16")}
    options = HeadOptions(**given, seed=args.seed, bf16=args.bf16)
    data = read_labelled(args.task, args.gold, args.files, sides, args.seed, args.split)

    maps, supervision = None, None
    if args.parallel:
        first, second = read_sides(args.parallel, sides, args.columns)
        pairs = [(a.split(), b.split()) for a, b in zip(first, second, strict=True)]
        links = read_pharaoh(args.pharaoh, pairs) if args.pharaoh else align_words(pairs, args.aligner)
        if args.write_pharaoh:
            write_pharaoh(args.write_pharaoh, links)
        used = len(linked_words(pairs, links, args.links, args.seed))
        print(f"{len(pairs):,} sentence pairs, {used:,} words linked one to one are used for the maps")
        maps = learn_maps(sides.source, sides.target, pairs, links, args.pooling, args.links, args.seed, args.bf16)
        aligner = args.pharaoh.name if args.pharaoh else args.aligner
        supervision = f"{named(*args.parallel)},{aligner},{used}_words"

    numbers = Numbers.of(args, sides)
    settings = [None] if maps is None else [maps] if not sides.bilingual else [None, maps]
    for layer in layers:
        for some in settings:
            transfer = LayerTransfer(sides, layer, None if some is None else some[layer], data, options)
            transfer.train(progress=f"L{layer}{' aligned' if some else ''}")
            for result in transfer.scores():
                how = signature(
                    data=f"{result.file},{args.split}" if not result.source else f"{result.file},dev",
                    supervision=supervision if some else None,
                    rule=result.score.rule,
                    map="procrustes" if some else "none",
                    head=f"{options.layers}_layers,{options.epochs}_epochs,lr_{options.learning_rate:g}",
                    **sides.signature(),
                )
                metric = result.score.metric + ("_source" if result.source else "") + ("_aligned" if some else "")
                numbers.add(
                    f"contextual_{args.task}",
                    metric,
                    result.score.value,
                    layer=layer,
                    chance=result.chance,
                    n=result.score.n,
                    signature=how,
                )
    numbers.write()


if __name__ == "__main__":
    run_command(main)
