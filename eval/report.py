"""All tables, figures and findings of a run on one HTML page that needs nothing else."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.evaluation.figure_series import Names
from fairseq_xling.evaluation.report import write_page
from fairseq_xling.evaluation.run_report import Command, run_report
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import read_results, select
from fairseq_xling.runs.record import read_record

EXAMPLE = """
RESULTS are files of results lines, or the folder of a run ($RUNS), of which results.jsonl, alignment/*.jsonl and
transfer/*/*/seed*/results.jsonl are taken. What the lines hold is shown: Table 1, Figures 3 to 8, a table of every
layer, the findings of the paper with yes or no, and how each number was made; what they do not hold is named. The
commands come from the records that stages of train_scripts/ leave beside their output, where there are any.

examples:
  python eval/report.py runs/lab --out runs/lab/report.html
  python eval/report.py some/results.jsonl others.jsonl --out report.html
"""

CLOSE_TO_DISTANT = {"lab": ["qaa-qab", "qaa-qac", "qaa-qad"], "real": ["en-fr", "en-de", "en-ru", "en-zh"]}
IN_A_RUN = ("results.jsonl", "alignment/*.jsonl", "transfer/*/*/seed*/results.jsonl")
RECORDS_IN_A_RUN = ("*/*/seed*.pretrain.json", "transfer/*/*/seed*.finetune.json", "alignment/**/*.json")


def main() -> None:
    """Read the lines, make the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="results files, or folders of runs")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the page, such as report.html")
    parser.add_argument("--scale", choices=("lab", "pocket", "paper"), help="(that of the results, if it is one)")
    parser.add_argument(
        "--close-to-distant",
        nargs="+",
        metavar="A-B",
        help="pairs from the closest to the most distant (the lab's; en-fr en-de en-ru en-zh)",
    )
    parser.add_argument("--mono", default=Names.mono, help=f"experiment of monolingual models ({Names.mono})")
    parser.add_argument("--bilingual", default=Names.bilingual, help=f"of bilingual models ({Names.bilingual})")
    parser.add_argument("--vectors", default=Names.vectors, help=f"of fastText vectors ({Names.vectors})")
    args = parser.parse_args()
    files = [file for path in args.results for file in _results_files(path)]
    results = [line for file in files for line in read_results(file)]
    scales = list(dict.fromkeys(line.scale for line in results))
    scale = args.scale or (scales[0] if len(scales) == 1 else None)
    if scale is None:
        raise InputError(
            f"the results are of scales {', '.join(scales)}; choose with --scale" if scales else "no lines"
        )
    chosen = select(results, scale=scale)
    if not chosen:
        raise InputError(f"no results of scale {scale}", files[0])
    names = Names(args.mono, args.bilingual, args.vectors)
    order = args.close_to_distant or CLOSE_TO_DISTANT["lab" if scale == "lab" else "real"]
    page = run_report(chosen, scale, names, order, _commands(args.results))
    write_page(args.out, page)
    print(f"{args.out}: {len(chosen):,} numbers of {len(files):,} files, {args.out.stat().st_size / 1e3:,.0f} kB")


def _results_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [file for pattern in IN_A_RUN for file in sorted(path.glob(pattern))]
    if not found:
        raise InputError(f"no results in this folder: expected {', '.join(IN_A_RUN)}", path)
    return found


def _commands(paths: list[Path]) -> Iterator[Command]:
    """Of the stages that made the results, as far as their records lie where train_scripts/ leaves them."""
    for path in paths:
        if path.is_dir():
            files = [file for pattern in RECORDS_IN_A_RUN for file in sorted(path.glob(pattern))]
        else:
            files = [*path.parent.glob(f"{path.name}.*.json"), *path.parent.parent.glob(f"{path.parent.name}.*.json")]
        for file in files:
            try:
                record = read_record(file)
            except InputError:
                continue  # another JSON file
            if record is not None and record.state == "done":
                yield Command(tuple(record.identity.get("command", ())), max(record.ended - record.began, 0.0))


if __name__ == "__main__":
    run_command(main)
