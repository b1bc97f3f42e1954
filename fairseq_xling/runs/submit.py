"""Send one experiment, Table 1 or the figures as dependent jobs to Slurm or to this machine."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import sys
import time
from pathlib import Path

from fairseq_xling.command import run_command, seed_number
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import atomic_write
from fairseq_xling.runs import slurm
from fairseq_xling.runs.local import LocalRunner
from fairseq_xling.runs.plan import ROOT, ROWS, Job, Plan, read_machine

EXPLANATION = """
WHAT is an experiment of train_scripts/experiments, several of them with commas between, `table1` (all ten, then the
table) or `figures` (monolingual and bilingual models, then Figures 4 to 8).
Jobs wait for those that make what they need; what is done already is skipped when its job starts, so the same command
can be given again after failures. --machine names a file of train_scripts/machines, or is the path of your own; the
default is slurm where there is sbatch, else local. train_scripts/status.sh shows how things stand.
--parts N makes fine-tuning an array of N jobs: at paper scale the grids of a model have 30 settings.

examples:
  train_scripts/submit.sh default qaa-qab --scale lab
  train_scripts/submit.sh table1 en-fr en-ru en-zh --scale paper --parts 30 --machine my_cluster.toml
  train_scripts/submit.sh figures qaa-qab qaa-qac --scale lab --seeds 1 2 3 --machine local
"""


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="train_scripts/submit.sh",
        description=__doc__,
        epilog=EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", metavar="WHAT", help="experiments, table1 or figures")
    parser.add_argument("pairs", nargs="+", metavar="PAIR", help="pairs of languages, such as en-fr")
    parser.add_argument("--scale", required=True, choices=["lab", "pocket", "paper"])
    parser.add_argument("--seeds", type=seed_number, nargs="+", default=[1], help="of the models (1)")
    parser.add_argument("--machine", help="how jobs are sent: slurm, local or a file")
    parser.add_argument("--parts", type=int, default=0, help="jobs of the array that fine-tunes one model (no array)")
    parser.add_argument("--bilingual", default="no_anchors", help="bilingual models of the figures (no_anchors)")
    parser.add_argument("--dry-run", action="store_true", help="print the jobs and send nothing")
    parser.usage = parser.format_usage().removeprefix("usage: ").rstrip() + " [-- OPTIONS OF fairseq-train]"
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    args = parser.parse_args(words[:end])
    args.overrides = tuple(words[end + 1 :])
    return args


def make_plan(args: argparse.Namespace) -> Plan:
    """The jobs that the command line asks for."""
    plan = Plan(args.scale, args.overrides, args.parts)
    if args.parts < 0:
        raise InputError(f"--parts {args.parts}: expected a number from 1, or 0 for no array")
    if args.what == "figures":
        if args.scale == "paper":  # else told by alignment.sh, after all models are trained
            raise InputError("figures: --scale paper has none; expected lab or pocket")
        pairs = [pair.split("-") for pair in args.pairs]
        if any(len(pair) != 2 for pair in pairs) or len({pair[0] for pair in pairs}) != 1:
            raise InputError(
                f"{' '.join(args.pairs)}: figures need pairs with the same first language, such as en-fr en-ru"
            )
        plan.figures(pairs[0][0], [pair[1] for pair in pairs], args.seeds, args.bilingual)
        return plan
    experiments = ROWS if args.what == "table1" else args.what.split(",")
    for experiment in experiments:
        if (
            not re.fullmatch(r"[\w.-]+", experiment)
            or not (ROOT / f"train_scripts/experiments/{experiment}.sh").is_file()
        ):
            raise InputError(f"no experiment '{experiment}' in train_scripts/experiments")
    transfer = [experiment for experiment in experiments if experiment != "mono"]
    for pair in args.pairs:
        for seed in args.seeds:
            for experiment in set(experiments) - set(transfer):
                plan.model(experiment, pair, seed)
    if transfer:
        plan.table(transfer, args.pairs, args.seeds)
    return plan


def main() -> None:
    """Plan and send."""
    args = parse()
    runs = Path(os.environ.get("RUNS", f"runs/{args.scale}"))
    name = args.machine or ("slurm" if shutil.which("sbatch") else "local")
    file = ROOT / "train_scripts" / "machines" / f"{name}.toml"
    machine = read_machine(file if file.is_file() else name)
    plan = make_plan(args)
    if args.dry_run:
        for job in plan.jobs:
            print(describe(job))
        return
    if machine.via == "local":
        runner = LocalRunner(runs, machine.at_a_time, machine.most_failures, say)
        sys.exit(runner.run(plan.jobs))
    ids = slurm.submit(plan.jobs, machine, runs)
    with atomic_write(runs / "jobs" / "slurm.json") as out:
        json.dump({**sent_before(runs), **ids}, out, indent=1)
    for name, number in ids.items():
        print(f"{number}  {name}")
    print(f"logs in {runs / 'jobs'}; train_scripts/status.sh {runs} shows how things stand", file=sys.stderr)


def sent_before(runs: Path) -> dict[str, str]:
    """Slurm's numbers by the name of the job, of earlier calls, whose jobs may still wait."""
    try:
        numbers = json.loads((runs / "jobs" / "slurm.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return numbers if isinstance(numbers, dict) else {}


def describe(job: Job) -> str:
    """A job as a block of lines for people."""
    lines = [f"{job.name} ({job.kind}{f', array of {job.array}' if job.array else ''}): {shlex.join(job.command)}"]
    return "\n".join(lines + [f"    after {name}" for name in job.after])


def say(line: str) -> None:
    """A line with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_command(main)
