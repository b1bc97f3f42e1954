"""The same command twice, and with other numbers of processes: the same bytes."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.tasks import pretraining
from tests.torture import options
from tests.torture.kills import LONGEST, difference, finish, start, wait
from tests.torture.work import SCENARIOS, Scenario, command, fairseq_train, prepare, state
from tests.transfer import world


def pretrain(folder: Path, loaders: int) -> None:
    arguments = pretraining.arguments(
        folder / "at/random", folder / "save", "--max-update", 7, "--num-workers", loaders
    )
    fairseq_train(arguments)


def fine_tune(folder: Path, loaders: int) -> None:
    source = folder / "at"
    arguments = world.arguments(
        "tagging", source / "ner", source / "union", source / "pretrained/checkpoint_last.pt", folder / "save",
        "--max-update", 5, "--num-workers", loaders,
    )  # fmt: skip
    fairseq_train(arguments)


def data_bin(folder: Path, workers: int) -> None:
    text = [f"{lang}={folder}/at/text/{lang}" for lang in ("en", "fr")]
    options = ("--mode", "union", "--bpe-size", 45, "--shrink", "--workers", workers)
    command("preprocess/build_databin.py", folder / "bin", "--text", *text, *options)


def condition(folder: Path, workers: int) -> None:
    options = ("--scale", "lab", "--text", folder / "condition", "--out", folder / "bin", "--workers", workers)
    command("preprocess/condition.py", "extra_anchors", "en-fr", *options)


def tokenise(folder: Path, workers: int) -> None:
    options = ("--lang", "en", "--split", "--casing", "lower", "--workers", workers)
    command("preprocess/tokenise.py", folder / "at/text/en.train.txt", folder / "out.txt", *options)


def code_switch(folder: Path, workers: int) -> None:
    dictionary = folder / "at/condition/dictionaries/en-fr.weighted.tsv"
    options = ("--dictionary", dictionary, "--workers", workers)
    command("preprocess/code_switch.py", folder / "at/text/en.train.txt", folder / "out.txt", *options)


def sample(folder: Path, workers: int) -> None:
    options = ("--lang", "en", "--sentences", 20, "--workers", workers)
    command("preprocess/sample_web.py", folder / "at/text/en.train.txt", folder / "out.txt", *options)


def extract_wiki(folder: Path, workers: int) -> None:
    options = ("--lang", "en", "--workers", workers)
    command("preprocess/extract_wiki.py", folder / "at/wiki.xml", folder / "out.txt", *options)


Work = Callable[[Path, int], None]
MATRIX: tuple[tuple[str, Work, tuple[int, ...], tuple[str, ...]], ...] = (
    ("pretraining, loaders", pretrain, (0, 1, 2), ()),
    ("fine-tuning, loaders", fine_tune, (0, 1, 2), ()),
    ("data-bin, workers", data_bin, (1, 2, 3), ()),
    ("condition, workers", condition, (1, 2, 3), ("condition",)),
    ("tokenise, workers", tokenise, (1, 2, 3), ()),
    ("code-switching, workers", code_switch, (1, 2, 3), ()),
    ("sample, workers", sample, (1, 2, 3), ()),
    ("extract_wiki, workers", extract_wiki, (1, 2, 3), ()),
)
"""Name, work, numbers of processes, inputs that it writes beside."""


def matrix(minutes: float, only: tuple[str, ...] = (), inputs: Path | None = None) -> dict[str, list[str]]:
    """By work what differs; nothing should."""
    end = time.monotonic() + 60 * minutes
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    root = Path(tempfile.mkdtemp(prefix="xling-same-"))
    found: dict[str, list[str]] = {}
    try:
        inputs = inputs or prepare(root / "inputs")
        tasks: list[tuple[str, Scenario, list[tuple[str, Callable[[Path], None]]]]] = []
        for scenario in SCENARIOS:
            tasks.append((f"{scenario.name}, twice", scenario, [("first", scenario.work), ("second", scenario.work)]))
        for name, work, numbers, own in MATRIX:
            runs: list[tuple[str, Callable[[Path], None]]] = [
                (f"with {number}", partial(_turned, work, number)) for number in numbers
            ]
            tasks.append((name, Scenario(name, own, runs[0][1], 0), runs))
        for name, scenario, runs in tasks:
            if (not only or name in only) and time.monotonic() < end:
                found[name] = _compare(scenario, runs, inputs, root / "run")
        found.update(_commands_twice(root / "commands", end, only))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return found


def _commands_twice(folder: Path, end: float, only: tuple[str, ...]) -> dict[str, list[str]]:
    """Every other command, on the inputs of `options`: the files that it writes."""
    calls = options.commands(folder)
    writing = (name for name in calls if not name.startswith("fairseq_xling/runs"))  # those only print
    chosen = {f"{name}, twice": name for name in writing if not only or f"{name}, twice" in only}
    if not chosen or time.monotonic() > end:
        return {}
    options.make_inputs(folder)
    options.run_once(partial(options.tune, folder), folder)
    found = {}
    for shown, name in chosen.items():
        if time.monotonic() > end:
            break
        arguments = [word for word in calls[name] if word != "--dry-run"]
        if not any(word.startswith(f"{folder}/out") for word in arguments):
            arguments += ["--results", f"{folder}/out/results.jsonl"]
        found[shown] = _twice(partial(command, name, *arguments), folder)
    return found


def _twice(work: Callable[[], None], folder: Path) -> list[str]:
    states = []
    for _ in range(2):
        shutil.rmtree(folder / "out", ignore_errors=True)
        log = folder / "twice.log"
        log.unlink(missing_ok=True)
        if wait(start(work, folder, log), LONGEST) != 0:
            return [f"it does not end well: {log.read_text(errors='replace').strip()[-200:]}"]
        for path in (folder / "out").rglob("log.txt"):  # of fairseq, with times
            path.unlink()
        states.append(state(folder / "out"))
    if not states[0]:
        return ["it writes nothing"]
    return [differs] if (differs := difference(*states)) else []


def _turned(work: Work, number: int, folder: Path) -> None:
    work(folder, number)


def _compare(
    scenario: Scenario, runs: list[tuple[str, Callable[[Path], None]]], inputs: Path, folder: Path
) -> list[str]:
    first: dict[str, str] = {}
    wrong = []
    for name, work in runs:
        scenario.copy_inputs(inputs, folder)
        try:
            finish(replace(scenario, work=work), folder)
        except RuntimeError as error:
            wrong.append(f"{name}: {error}")
            continue
        now = state(folder)
        if differs := difference(first or now, now):
            wrong.append(f"{name}: {differs}")
        first = first or now
    return wrong


def table(found: dict[str, list[str]]) -> str:
    """A line a work."""
    rows = [f"{name:<40}{'; '.join(wrong) or 'the same'}" for name, wrong in found.items()]
    return "\n".join([f"{'work':<40}results", *rows])


def main() -> None:
    """Try and report; exit status 1 if something differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.determinism", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="bound on the time (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[], help="such as 'tokenise, workers' 'eval/cka.py, twice'")
    args = parser.parse_args()
    found = matrix(args.minutes, tuple(args.only))
    print(table(found))
    sys.exit(any(found.values()))


if __name__ == "__main__":
    main()
