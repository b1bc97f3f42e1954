"""Transfer from frozen layers, with and without alignment of words in context (paper, Figures 5 and 8)."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.evaluation.contextual_alignment import LayerMap, learn_maps, linked_words
from fairseq_xling.evaluation.contextual_transfer import LayerTransfer, read_labelled
from fairseq_xling.evaluation.frozen_transfer import HeadOptions
from fairseq_xling.evaluation.numbers import Numbers, add_result_options, named
from fairseq_xling.evaluation.parallel_text import COLUMNS_HELP, HELP, read_sides
from fairseq_xling.evaluation.sides import Sides, add_side_options, load_sides
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


def parse() -> argparse.Namespace:
    """The command line; the head's options are in ``args.head``."""
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
    of_the_head = [option for option in fields(HeadOptions) if option.name not in ("seed", "bf16")]
    for option in of_the_head:  # --layers are those of the encoder
        name = "head-layers" if option.name == "layers" else option.name.replace("_", "-")
        kind = float if isinstance(option.default, float) else int
        head.add_argument(
            f"--{name}", dest=f"head_{option.name}", type=kind, default=option.default, help=f"({option.default})"
        )
    add_side_options(parser)
    add_result_options(parser)
    args = parser.parse_args()
    given = {option.name: getattr(args, f"head_{option.name}") for option in of_the_head}
    args.head = HeadOptions(**given, seed=args.seed, bf16=args.bf16)
    return args


def chosen_layers(args: argparse.Namespace, sides: Sides) -> list[int]:
    """The layers asked for; InputError where the models lack one, or where nothing is there to align them with."""
    last = sides.source.model.num_layers
    layers = args.layers or list(range(last + 1))
    if wrong := [layer for layer in layers if not 0 <= layer <= last]:
        raise InputError(f"--layers {wrong[0]}: the models have layers 0 to {last}")
    if not sides.bilingual and not args.parallel:
        raise InputError("models that were trained apart need --parallel, sentences to learn the alignment from")
    return layers


def aligned(args: argparse.Namespace, sides: Sides) -> tuple[list[LayerMap], str]:
    """The map of each layer, learnt from words that translate each other, and what a signature says of them."""
    first, second = read_sides(args.parallel, sides, args.columns)
    pairs = [(a.split(), b.split()) for a, b in zip(first, second, strict=True)]
    links = read_pharaoh(args.pharaoh, pairs) if args.pharaoh else align_words(pairs, args.aligner)
    if args.write_pharaoh:
        write_pharaoh(args.write_pharaoh, links)
    used = len(linked_words(pairs, links, args.links, args.seed))
    print(f"{len(pairs):,} sentence pairs, {used:,} words linked one to one are used for the maps")
    maps = learn_maps(sides.source, sides.target, pairs, links, args.pooling, args.links, args.seed, args.bf16)
    aligner = args.pharaoh.name if args.pharaoh else args.aligner
    return maps, f"{named(*args.parallel)},{aligner},{used}_words"


def add_scores(
    numbers: Numbers,
    args: argparse.Namespace,
    sides: Sides,
    layer: int,
    transfer: LayerTransfer,
    supervision: str | None,
) -> None:
    """The scores of one head; `supervision` says what the map was learnt from, None that there is no map."""
    head = args.head
    for result in transfer.scores():
        how = signature(
            data=f"{result.file},{'dev' if result.source else args.split}",
            supervision=supervision,
            rule=result.score.rule,
            map="procrustes" if supervision else "none",
            head=f"{head.layers}_layers,{head.epochs}_epochs,lr_{head.learning_rate:g}",
            **sides.signature(),
        )
        numbers.add(
            f"contextual_{args.task}",
            result.score.metric + ("_source" if result.source else "") + ("_aligned" if supervision else ""),
            result.score.value,
            layer=layer,
            chance=result.chance,
            n=result.score.n,
            signature=how,
        )


def main() -> None:
    """Train a head on each layer, measure, write the numbers."""
    args = parse()
    sides = load_sides(args.source, args.target, args.data, args.untrained, args.seed)
    sides.expect_alike()
    layers = chosen_layers(args, sides)
    data = read_labelled(args.task, args.gold, args.files, sides, args.seed, args.split)
    maps, supervision = aligned(args, sides) if args.parallel else (None, None)
    ways = [False] if maps is None else [False, True] if sides.bilingual else [True]  # with a map?
    numbers = Numbers.of(args, sides)
    for layer in layers:
        for mapped in ways:
            transfer = LayerTransfer(sides, layer, maps[layer] if maps and mapped else None, data, args.head)
            transfer.train(progress=f"L{layer}{' aligned' if mapped else ''}")
            add_scores(numbers, args, sides, layer, transfer, supervision if mapped else None)
    numbers.write()


if __name__ == "__main__":
    run_command(main)
