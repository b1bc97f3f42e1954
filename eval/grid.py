"""Fine-tune one pretrained model over a grid for NLI, NER and parsing, and report zero-shot transfer."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from fairseq_xling.command import BAD_INPUT, name, run_command, seed_number
from fairseq_xling.evaluation import grid
from fairseq_xling.evaluation.grid_file import read_grids, refuse_options_of_the_grid
from fairseq_xling.evaluation.processes import run_jobs
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import Run
from fairseq_xling.models.transfer import read_pretrained
from fairseq_xling.tasks.preemption import exit_when_told

EXPLANATION = """
For each task: fine-tune every setting of the grid on the source language, keep the epoch that is best on its dev set,
apply it to the target language, and report the mean of the two settings that are best on the source's dev set (the
paper's rule). One line a number goes to results.jsonl; eval/table1.py makes the table of them.

The scales' grids lie in eval/grids: lab.toml, pocket.toml, paper.toml (the paper's); --grid names another, such as
pocket_cpu.toml there. All but the paper's have two settings a task.
Run it again after an interruption: finished settings are skipped, an interrupted one goes on where it stopped, and what
was made from other inputs (checkpoint, data, options) is made again.

What follows -- goes to fairseq-train after the grid's own options, and so overrides them; rates, batch size and epochs
stand in the grid file only.

DATA holds a folder a task: nli or xnli, ner or wikiann, ud. Names of files: see eval/zero_shot.py -h.

example, one row of the lab's table, after train_scripts/run.sh default qaa-qab --scale lab:
  python eval/grid.py runs/lab/default/qaa-qab/seed1/checkpoint_best.pt --data runs/lab/lab --pair qaa-qab \\
      --experiment default --seed 1 --out runs/lab/default/qaa-qab/seed1/transfer --jobs 2
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXPLANATION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="pretrained checkpoint of xling_masked_lm")
    parser.add_argument("--vocabulary", type=Path, help="data-bin that it was trained on (where it was then)")
    parser.add_argument("--data", type=Path, required=True, help="folder of the tasks' data")
    parser.add_argument("--pair", required=True, help="source and target language, such as en-fr")
    parser.add_argument("--experiment", type=name, required=True, help="row of Table 1, such as no_anchors")
    parser.add_argument("--out", type=Path, required=True, help="folder of everything that is made")
    parser.add_argument("--results", type=Path, help="results file (OUT/results.jsonl)")
    parser.add_argument("--scale", default="lab", choices=["lab", "pocket", "paper"], help="(lab)")
    parser.add_argument("--grid", type=Path, help="grid file (eval/grids/SCALE.toml)")
    parser.add_argument("--tasks", nargs="+", default=["nli", "ner", "parsing"], help="(nli ner parsing)")
    parser.add_argument("--seed", type=seed_number, default=1, help="seed of the model, and of fine-tuning (1)")
    parser.add_argument("--test-split", default="test", choices=["test", "dev"], help="of the target language (test)")
    parser.add_argument("--files", default="", help="files named otherwise: LANGUAGE.SPLIT=PATH, separated by commas")
    parser.add_argument("--jobs", type=int, default=1, help="settings at a time (1)")
    parser.add_argument(
        "--epochs", help="keep a checkpoint of every epoch, and select among these only, such as 1-3 (default: all)"
    )
    parser.add_argument(
        "--part", metavar="I/N", help="run each N-th setting only, from the I-th, and write no scores (arrays of jobs)"
    )
    parser.add_argument(
        "--scores", action="store_true", help="fine-tune nothing: the scores of settings that are all done (no GPU)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands, which work when pasted")
    parser.usage = parser.format_usage().removeprefix("usage: ").rstrip() + " [-- OPTIONS OF fairseq-train]"
    words = sys.argv[1:]
    own = words.index("--") if "--" in words else len(words)
    args = parser.parse_args(words[:own])
    args.options = words[own + 1 :]
    return args


def epochs_argument(text: str | None) -> tuple[int, int] | None:
    """``1-3`` or ``2`` as first and last epoch."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,5})(?:-([1-9]\d{0,5}))?", text)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise InputError(f"--epochs {text}: expected a number or a range, such as 1-3")
    return int(match[1]), int(match[2] or match[1])


def part_argument(text: str | None) -> slice:
    """``2/30`` as the second of each thirty."""
    if text is None:
        return slice(None)
    match = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text)
    if match is None or int(match[1]) > int(match[2]):
        raise InputError(f"--part {text}: expected I/N with I from 1 to N, such as 2/30")
    return slice(int(match[1]) - 1, None, int(match[2]))


def planned(args: argparse.Namespace) -> dict[str, list[grid.Attempt]]:
    """The settings of each task's grid, as attempts with this model.

    Raises
    ------
    InputError
        A pair of another form, no such checkpoint, no data, a task without a grid, a malformed grid file.
    """
    source, dash, target = args.pair.partition("-")
    if not (source and dash and target):
        raise InputError(f"--pair {args.pair}: expected SOURCE-TARGET, such as en-fr")
    if not args.checkpoint.is_file():
        raise InputError("no such checkpoint", args.checkpoint)
    path = args.grid or Path(__file__).parent / "grids" / f"{args.scale}.toml"
    grids = read_grids(path)
    for task in args.tasks:
        if task not in grids or task not in grid.TASKS:
            raise InputError(f"no grid for task '{task}'; there is {', '.join(grids)}", path)
    run = Run(args.experiment, args.pair, args.scale, args.seed)
    vocabulary = args.vocabulary or Path(read_pretrained(args.checkpoint).data)
    model = grid.Model(args.checkpoint, vocabulary, source, target, args.test_split, run, args.files)
    return {
        task: [
            grid.Attempt(
                *(model, task, grid.data_folder(args.data, task), setting, grids[task]),
                *(args.out / task / setting.name, tuple(args.options), epochs_argument(args.epochs)),
            )
            for setting in grids[task].settings()
        ]
        for task in args.tasks
    }


def run_missing(args: argparse.Namespace, missing: Sequence[grid.Attempt]) -> None:
    """Fine-tune and evaluate the settings that are not done; end the program if one fails."""
    grid.check_before_training(missing)
    failures = run_jobs([attempt.job() for attempt in missing], args.jobs, f"{args.experiment} {args.pair}")
    if failures:
        print(f"{sys.argv[0]}: " + "\n".join(failure.line for failure in failures), file=sys.stderr)
        # a job that died is started again, one with bad input is not
        sys.exit(BAD_INPUT if all(failure.bad_input for failure in failures) else 1)


def main() -> None:
    """Run what is missing, then summarise."""
    args = arguments()
    part = part_argument(args.part)
    exit_when_told()
    refuse_options_of_the_grid(args.options)
    attempts = planned(args)
    wanted = [attempt for each in attempts.values() for attempt in each][part]
    missing = [attempt for attempt in wanted if not attempt.is_done]
    if args.dry_run:
        program = Path(sys.executable).with_name("fairseq-train")  # found also where .venv is not activated
        print("\n".join(shlex.join([str(program), *attempt.arguments]) for attempt in missing))
        return
    if args.scores and missing:  # on a machine without a GPU they would take days
        names = ", ".join(f"{attempt.task} {attempt.setting.name}" for attempt in missing[:3])
        more = ", ..." if len(missing) > 3 else ""
        raise InputError(
            f"--scores: {len(missing)} of {len(wanted)} settings are not done ({names}{more}); fine-tune them first, "
            "with the same options but for --scores"
        )
    run_missing(args, missing)
    if args.part:
        return
    for each in attempts.values():
        results = grid.summarise(each)
        grid.add_results(args.results or args.out / "results.jsonl", results)
        grid.show(results)
        if warning := grid.at_chance(results):
            print(warning, file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
