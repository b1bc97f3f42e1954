"""All comparisons on this machine, one after the other: what `make bench` runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import ROOT, installed, machine, parser, write_json

from fairseq_xling.command import run_command
from fairseq_xling.formats.errors import InputError

EXPLANATION = """
Runs the benchmarks of this folder in turn, each in a process of its own with a limit of time; their tables go to the
standard output, their figures to one JSON file. About 15 minutes on two cores; ratios mean something on a quiet machine
only. Peers that are not installed are named and left out, and so are parts whose data is not there.

examples: python benchmarks/run.py
          python benchmarks/run.py --parts pretraining evaluation --rounds 3
          python benchmarks/run.py --parts preprocess --data sets
"""
PEERS = {
    "fairseq": "pretraining",
    "faiss-cpu": "analysis",
    "sacremoses": "preprocess",
    "subword-nmt": "preprocess",
    "wikiextractor": "preprocess",
}
"""Packages of others, and the part that compares with them."""


@dataclass(frozen=True)
class Part:
    """One benchmark.

    Parameters
    ----------
    script : str
    words : list of str
        Its options.
    minutes : float
        Longest that it may take.
    writes_json : bool
        It has an option ``--out``.
    """

    script: str
    words: list[str] = field(default_factory=list)
    minutes: float = 5
    writes_json: bool = True


def main() -> None:
    """Read the command line, run the parts, write the figures."""
    options = parser(EXPLANATION)
    options.add_argument("--parts", nargs="+", metavar="PART", help=f"of {', '.join(parts(1, None))} (all)")
    options.add_argument("--rounds", type=int, default=1, help="times each contender runs, in turn (1)")
    options.add_argument("--data", type=Path, help="folder of the pocket sets, for `preprocess` (without it: left out)")
    options.set_defaults(out=ROOT / "runs" / "bench" / "figures.json")
    chosen = options.parse_args()
    known = parts(chosen.rounds, chosen.data)
    unknown = sorted(set(chosen.parts or []) - set(known))
    if unknown:
        raise InputError(f"no part {', '.join(unknown)}; there are {', '.join(known)}")
    missing_peers()
    figures: dict[str, Any] = {"machine": machine()}
    failed = []
    for name in chosen.parts or known:
        print(f"\n== {name}", flush=True)
        if name == "preprocess" and (chosen.data is None or not chosen.data.is_dir()):
            print("left out: --data names no folder with the pocket sets")
            continue
        found = run(known[name])
        failed += [name] if found is None else []
        figures[name] = found
        write_json(chosen.out, figures)
    print(f"\nfigures: {chosen.out}")
    if failed:
        sys.exit(f"benchmarks/run.py: failed: {', '.join(failed)}")


def parts(rounds: int, data: Path | None) -> Mapping[str, Part]:
    """Each part with its options."""
    turns = ["--rounds", str(rounds)]
    return {
        "pretraining": Part("pretraining.py", turns, 8 + 12 * rounds),
        "data": Part("data_side.py", turns),
        "evaluation": Part("evaluation.py", turns, 4 + 2 * rounds),
        "scaling": Part("scaling.py", turns, 4 + 4 * rounds),
        "analysis": Part("analysis.py", ["--rows", "20000"], 5, writes_json=False),
        "preprocess": Part(
            "preprocess.py",
            ["--data", str(data), "--megabytes", "20", "--only", "tokenise", "shuffle", "binarise", "--work"],
            8,
            writes_json=False,
        ),
    }


def missing_peers() -> None:
    """Name the packages of others that are not installed."""
    names = {"fairseq": ("fairseq-fixed", "fairseq")}
    for package, part in PEERS.items():
        if not any(installed(name) for name in names.get(package, (package,))):
            print(f"{package} is not installed: left out of {part}")


def run(part: Part) -> Any:
    """Run one part; its figures, or its output where it writes none; None where it failed."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        words = [*part.words, *(["--out", str(out)] if part.writes_json else [])]
        if words[-1] == "--work":
            words.append(folder)
        begin, lines = time.monotonic(), []
        program = [sys.executable, "-u", "-W", "ignore", str(Path(__file__).with_name(part.script)), *words]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                limit = part.minutes * 60
                text, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)  # it ends what it has started
                text, _ = process.communicate()
                print(f"{part.script}: stopped after {limit / 60:.0f} minutes", file=sys.stderr)
            lines = text.splitlines()
        print(text)
        print(f"({time.monotonic() - begin:.0f} s)", flush=True)
        if process.returncode:
            return None
        return json.loads(out.read_text()) if out.exists() else lines


if __name__ == "__main__":
    run_command(main)
