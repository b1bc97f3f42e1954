"""Apply a fine-tuned model to other languages: predictions in the data's own format, scores in results.jsonl."""

from __future__ import annotations

import argparse
from pathlib import Path

from fairseq_xling.command import name, run_command, seed_number
from fairseq_xling.evaluation.zero_shot import FineTuned, results_of, write_predictions
from fairseq_xling.formats.results import Run, append_results

EXPLANATION = """
The checkpoint is one of xling_classification, xling_tagging or xling_parsing (train_scripts or eval/grid.py make them).
Each language goes through its own embeddings and layers where the model has such.

Files are found by the names the field uses, here for dev data of fr: fr.dev.tsv, fr-dev.tsv, dev-fr.tsv,
xnli.dev-fr.tsv, fr_gsd-ud-dev.conllu, plain or compressed, in the folder or one below; others by --files fr.dev=PATH.

Beside each score stand chance (a guess) and majority (the best constant answer). A sentence that is too long goes
through the model in overlapping pieces; a pair that is too long loses its end, and is counted (cut).

example, on both languages, after the example of eval/grid.py:
  RUN=runs/lab/default/qaa-qab/seed1/transfer/ner/lr0.001_bs32/checkpoints
  python eval/zero_shot.py $RUN/checkpoint_best.pt --languages qaa qab --experiment default --out predictions
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXPLANATION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="fine-tuned checkpoint")
    parser.add_argument("--languages", nargs="+", required=True, help="languages to apply it to")
    parser.add_argument("--splits", nargs="+", default=["test"], help="dev, test, train (test)")
    parser.add_argument("--experiment", type=name, required=True, help="name of the row of Table 1, for results.jsonl")
    parser.add_argument("--pair", help="languages of the model, for results.jsonl (SOURCE-LANGUAGE)")
    parser.add_argument("--scale", default="lab", choices=["lab", "pocket", "paper"], help="(lab)")
    parser.add_argument("--seed", type=seed_number, default=1, help="seed of the model, for results.jsonl (1)")
    parser.add_argument("--data", type=Path, help="folder of labelled data (default: as in training)")
    parser.add_argument("--files", default="", help="LANGUAGE.SPLIT=PATH, separated by commas")
    parser.add_argument("--vocabulary", type=Path, help="data-bin of the model (default: as in training)")
    parser.add_argument("--out", type=Path, help="folder for predictions (default: none are written)")
    parser.add_argument("--results", type=Path, help="results file (default: results.jsonl in --out, if given)")
    parser.add_argument("--batch-size", type=int, default=64, help="examples in a batch (64)")
    return parser.parse_args()


def main() -> None:
    """Evaluate and report."""
    args = arguments()
    finetuned = FineTuned.load(args.checkpoint, args.data, args.vocabulary, args.files)
    results = []
    for language in args.languages:
        for split in args.splits:
            evaluation = finetuned.evaluate(language, split, args.batch_size, progress=True)
            print(evaluation.report)
            run = Run(args.experiment, args.pair or f"{finetuned.description.source}-{language}", args.scale, args.seed)
            lines = results_of(evaluation, run, finetuned.task.labelled.name)
            for line in lines:
                guess = "" if line.chance is None else f"  (chance {line.chance:.4f})"
                print(f"  {line.metric:24} {line.value:.4f}{guess}  n={line.n}")
            results += lines
            if args.out:
                print(f"  predictions: {write_predictions(evaluation, finetuned, args.out)}")
    target = args.results or (args.out / "results.jsonl" if args.out else None)
    if target:
        append_results(target, results)


if __name__ == "__main__":
    run_command(main)
