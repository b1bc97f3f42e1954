"""What the commands of this part make: numbers that are printed and added to ``results.jsonl``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fairseq_xling.command import name, seed_number
from fairseq_xling.evaluation.figure_series import RANDOM
from fairseq_xling.evaluation.sides import Sides
from fairseq_xling.formats.files import sha256_of_file
from fairseq_xling.formats.results import Result, Run, append_results


def add_result_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `Numbers.of` reads."""
    group = parser.add_argument_group("where numbers go")
    group.add_argument("--results", type=Path, metavar="FILE", help="results.jsonl to add to (default: only print)")
    group.add_argument(
        "--experiment",
        type=name,
        required=True,
        metavar="NAME",
        help="such as default, no_anchors, mono; with --untrained it becomes random:NAME",
    )
    group.add_argument("--pair", metavar="A-B", help="languages (default: those of the two sides)")
    group.add_argument("--scale", default="lab", choices=("lab", "pocket", "paper"), help="default lab")
    group.add_argument("--seed", type=seed_number, default=1, help="seed of the models (default 1)")


@dataclass
class Numbers:
    """Collects the numbers of a command, prints them and adds them to the results file."""

    run: Run
    file: Path | None = None
    lines: list[Result] = field(default_factory=list)

    @classmethod
    def of(cls, args: argparse.Namespace, sides: Sides) -> Numbers:
        """For the options of `add_result_options`; with `--untrained` under the name of the untrained twin."""
        pair = args.pair or f"{sides.source.language}-{sides.target.language}"
        experiment = args.experiment
        if sides.untrained != "none":
            experiment = RANDOM + experiment.removeprefix(RANDOM)
        return cls(Run(experiment, pair, args.scale, args.seed), args.results)

    def add(
        self,
        task: str,
        metric: str,
        value: float,
        *,
        n: int,
        signature: str,
        layer: int | None = None,
        chance: float | None = None,
    ) -> None:
        """Add one number; the parameters are fields of `Result`."""
        result = Result(
            **vars(self.run),
            task=task,
            metric=metric,
            layer=layer,
            value=float(value),
            chance=chance,
            n=n,
            signature=signature,
        )
        self.lines.append(result)

    def write(self) -> None:
        """Print all numbers, and add them to the file where there is one."""
        print(table(self.lines))
        if self.file is not None:
            append_results(self.file, self.lines)
            print(f"{len(self.lines)} lines added to {self.file}")


def table(lines: Iterable[Result]) -> str:
    """Numbers as text, a line each."""
    rows = [
        (
            line.experiment,
            line.pair,
            line.task,
            line.metric,
            "" if line.layer is None else f"L{line.layer}",
            f"{line.value:.4f}",
            "" if line.chance is None else f"chance {line.chance:.4f}",
            f"n {line.n}",
        )
        for line in lines
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def named(*paths: str | os.PathLike[str]) -> str:
    """Files as a signature names them: their names and the beginnings of their hashes."""
    return ",".join(f"{Path(path).name}@{sha256_of_file(path)[:8]}" for path in paths)
