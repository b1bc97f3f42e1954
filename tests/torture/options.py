"""Odd values for every option of every command: an answer in one line, or the work done; never a traceback."""

from __future__ import annotations

import argparse
import os
import runpy
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from random import Random

from tests.torture.children import limit_memory
from tests.torture.kills import kill, start, wait
from tests.torture.work import command, fairseq_train, import_everything
from tests.torture.world import ROOT, build

VALUES = (
    "nan", "inf", "-inf", "-1", "0", "-0", "1e30", "99999999999999999999", "9" * 5000, "", " ", "x", "ä ö", "../x",
    "\u202eא", "e\u0301" * 50, "1.5", "a=b", "=", "a=", ",", "-", "en", "en-fr", "1-0", "%s", "\x1b[2J", "٣", "²",
    "/dev/null", "/proc/self/mem", "a" * 5000, "${oc.env:HOME}", "None", "[1]",
)  # fmt: skip
SECONDS = 10
"""Then a command counts as at work: a huge number is a large order, and a pipe or device may never end."""
MEMORY = 2 << 30


def commands(folder: Path) -> dict[str, list[str]]:
    """A short whole call of each command."""
    model, text, files = f"{folder}/save/checkpoint_last.pt", f"{folder}/text", f"{folder}/files"
    table, out, vectors = f"{files}/table.tsv", f"{folder}/out", f"{files}/vectors.vec"
    results, pairs = f"{files}/results.jsonl", f"{files}/pairs.txt"
    sides = ["--source", f"en={model}", "--target", f"fr={model}", "--data", f"{folder}/union", "--experiment", "x"]
    calls = {
        "preprocess/build_databin.py": [
            out,
            "--text",
            f"en={text}/en",
            "--bpe-size",
            "45",
            "--shrink",
            "--workers",
            "1",
        ],
        "preprocess/binarise.py": [f"{text}/en.train.txt", f"{out}/x", "--like", f"{folder}/union", "--lang", "en"],
        "preprocess/code_switch.py": [f"{text}/en.train.txt", f"{out}/x", "--dictionary", f"{files}/weighted.tsv"],
        "preprocess/condition.py": ["default", "en-fr", "--scale", "lab", "--text", str(folder), "--out", out],
        "preprocess/convert_ner.py": [f"{files}/conll.txt", f"{out}/x"],
        "preprocess/extract_wiki.py": [f"{files}/wiki.xml", f"{out}/x", "--lang", "en", "--workers", "1"],
        "preprocess/lay_out_tasks.py": [f"{files}/raw", out, "--langs", "en", "fr"],
        "preprocess/make_dictionary.py": [f"{out}/x", "--files", pairs],
        "preprocess/sample_web.py": [f"{text}/en.train.txt", f"{out}/x", "--lang", "en", "--sentences", "9"],
        "preprocess/shuffle_split.py": [f"{text}/en.train.txt", f"{out}/x", "--valid", "3", "--test", "3"],
        "preprocess/tokenise.py": [f"{text}/en.train.txt", f"{out}/x", "--lang", "en", "--workers", "1"],
        "eval/extract.py": [f"en={model}", f"{text}/en.valid.txt", out, "--words", "--data", f"{folder}/union"],
        "eval/sentence_retrieval.py": ["--test", table, *sides],
        "eval/cka.py": ["--parallel", table, *sides],
        "eval/word_translation.py": [
            "--test",
            pairs,
            "--train",
            pairs,
            "--vectors",
            vectors,
            f"{files}/french.vec",
            *sides,
        ],
        "eval/table1.py": [results, "--scale", "lab", "--out", out],
        "eval/figures.py": [results, f"{files}/layers.jsonl", "--out", out],
        "eval/shapes.py": [f"{files}/layers.jsonl", "--out", f"{out}/x.md"],
        "eval/report.py": [results, "--out", f"{out}/x.html"],
        "eval/zero_shot.py": [
            *(f"{folder}/tuned/checkpoint_last.pt", "--languages", "en", "fr", "--experiment", "x"),
            *("--data", f"{folder}/ner", "--vocabulary", f"{folder}/union", "--out", out),
        ],
        "eval/grid.py": [
            *(model, "--vocabulary", f"{folder}/union", "--data", str(folder), "--pair", "en-fr", "--out", out),
            *("--experiment", "x", "--grid", f"{files}/grid.toml", "--tasks", "ner", "--dry-run"),
        ],
        "eval/contextual.py": [
            *("--task", "ner", "--gold", f"{folder}/ner", "--parallel", table, "--pharaoh", f"{files}/links.pharaoh"),
            *("--layers", "1", "--epochs", "1", *sides),
        ],
        "eval/paraphrase.py": [out, "--finished", f"{files}/paraphrases.tsv", "--results", f"{out}/x.jsonl"],
        "fairseq_xling/lab/__main__.py": [f"{out}/lab", "--sentences", "40", "--gold", "0.02"],
        "fairseq_xling/runs/hours.py": ["--scale", "lab", "--tokens-per-second", "1000"],
        "fairseq_xling/runs/submit.py": ["table1", "qaa-qab", "--scale", "lab", "--dry-run"],
    }
    return {name: arguments for name, arguments in calls.items() if (ROOT / name).is_file()}


def options_of(path: str) -> list[str]:
    """The options of a command that take a value."""
    seen: list[argparse.Action] = []

    class Stop(BaseException):
        pass

    def parse_args(self: argparse.ArgumentParser, *_: object) -> None:
        seen.extend(self._actions)
        raise Stop

    original = argparse.ArgumentParser.parse_args
    argparse.ArgumentParser.parse_args = parse_args  # type: ignore[assignment,method-assign]
    try:
        runpy.run_path(str(ROOT / path), run_name="__main__")
    except Stop:
        pass
    finally:
        argparse.ArgumentParser.parse_args = original  # type: ignore[method-assign]
    return [action.option_strings[-1] for action in seen if action.option_strings and action.nargs != 0]


def training_options() -> list[str]:
    """The project's own options of fairseq-train."""
    from fairseq_xling.models.masked_lm import XlingLabConfig
    from fairseq_xling.tasks.masked_lm import XlingMaskedLMConfig

    names = [entry.name for kind in (XlingLabConfig, XlingMaskedLMConfig) for entry in fields(kind)]
    inherited = ("_name", "data", "seed", "max_update", "save_dir", "train_subset", "update_freq", "world_size", "rank")
    return [f"--{name.replace('_', '-')}" for name in names if name not in inherited]


def make_inputs(folder: Path, made: Path | None = None) -> None:
    """What `commands` reads, but for the fine-tuned model; `made`, a folder of `world.build` to copy."""
    shutil.copytree(made, folder) if made else build(folder)
    (folder / "text" / "wiki").mkdir()
    for path in (folder / "text").glob("*.txt"):
        shutil.copyfile(path, folder / "text" / "wiki" / path.name)


def run_once(work: Callable[[], None], folder: Path) -> None:
    """Do `work` in a child; RuntimeError where it does not end well."""
    log = folder / "once.log"
    if wait(start(work, folder, log), 240) != 0:
        raise RuntimeError(log.read_text(errors="replace")[-500:])


def tune(folder: Path) -> None:
    """A fine-tuned model, to be applied."""
    from tests.transfer.world import arguments

    pretrained, save_dir = folder / "save" / "checkpoint_last.pt", folder / "tuned"
    fairseq_train(arguments("tagging", folder / "ner", folder / "union", pretrained, save_dir, "--max-update", 2))


@dataclass
class Tally:
    """What became of the calls of one command."""

    calls: int = 0
    done: int = 0
    refused: int = 0
    at_work: int = 0
    findings: list[str] = field(default_factory=list)


def call(work: Callable[[], None], folder: Path, what: str, tally: Tally) -> None:
    """One call in a child, and its answer."""
    log = folder / "call.log"
    log.unlink(missing_ok=True)

    def limited() -> None:
        os.chdir(folder)  # a value may be the name of an output
        limit_memory(MEMORY)
        work()

    child = start(limited, folder, log)
    status = wait(child, SECONDS)
    tally.calls += 1
    if status is None:
        kill(child)
        tally.at_work += 1
        return
    text = log.read_text(errors="replace") if log.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    if "UNEXPECTED" in text or "Traceback" in text or status < 0:
        wrong = next((line for line in lines if "UNEXPECTED" in line), f"status {status}")
        tally.findings.append(f"{what[:150]}: {wrong[:250]}")
    elif status == 0:
        tally.done += 1
    elif lines:
        tally.refused += 1
    else:
        tally.findings.append(f"{what[:150]}: status {status} without a word")


def odd_values(
    calls: int, seed: int, minutes: float, only: tuple[str, ...] = (), made: Path | None = None
) -> dict[str, Tally]:
    """So many drawn pairs of option and value for each command, in turn, within the time."""
    from tests.tasks import pretraining

    end = time.monotonic() + 60 * minutes
    folder = Path(tempfile.mkdtemp(prefix="xling-options-"))
    found: dict[str, Tally] = {}
    try:
        import_everything()
        world = folder / "world"
        make_inputs(world, made)
        table = commands(world)
        if not only or "eval/zero_shot.py" in only:
            run_once(partial(tune, world), world)
        options = {name: options_of(name) for name in table} | {"fairseq-train": training_options()}
        training = pretraining.arguments(world / "union", world / "out", "--max-update", "2")
        chosen = [name for name in options if options[name] and (not only or name in only)]
        for name in chosen:
            plain = (
                partial(fairseq_train, training) if name == "fairseq-train" else partial(command, name, *table[name])
            )
            tally = found.setdefault(name, Tally())
            call(plain, world, f"{name}, plain", tally)
            if not tally.done and not tally.findings and not tally.at_work:
                tally.findings.append(f"{name}: the plain call is refused, {(world / 'call.log').read_text()[-200:]}")
            shutil.rmtree(world / "out", ignore_errors=True)
        for number in range(calls):
            for name in chosen:
                if time.monotonic() > end:
                    return found
                rng = Random(f"{name} {seed} {number}")
                option, value = rng.choice(options[name]), rng.choice(VALUES)
                extra = [f"{option}={value}"] if rng.random() < 0.7 else [option, value]
                if name == "fairseq-train":
                    work = partial(fairseq_train, [*training, *extra])
                else:
                    work = partial(command, name, *table[name], *extra)
                tally = found.setdefault(name, Tally())
                before = len(tally.findings)
                call(work, world, f"{name} {' '.join(extra)}", tally)
                print(*tally.findings[before:], sep="\n", end="", file=sys.stderr, flush=True)
                shutil.rmtree(world / "out", ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def table(found: dict[str, Tally]) -> str:
    """A line a command, and the findings below."""
    rows = [f"{'command':<32}{'calls':>7}{'done':>7}{'refused':>9}{'at work':>9}{'findings':>10}"]
    for name, tally in found.items():
        rows.append(
            f"{name:<32}{tally.calls:>7}{tally.done:>7}{tally.refused:>9}{tally.at_work:>9}{len(tally.findings):>10}"
        )
    rows.append(f"{'all':<32}{sum(tally.calls for tally in found.values()):>7}")
    rows += [f"  {line}" for tally in found.values() for line in tally.findings]
    return "\n".join(rows)


def main() -> None:
    """Try and report; exit status 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.options", description=__doc__)
    parser.add_argument("--calls", type=int, default=20, help="of each command (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--minutes", type=float, default=3, help="bound on the time (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[])
    args = parser.parse_args()
    found = odd_values(args.calls, args.seed, args.minutes, tuple(args.only))
    print(table(found))
    sys.exit(any(tally.findings for tally in found.values()))


if __name__ == "__main__":
    main()
