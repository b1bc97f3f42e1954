"""Strange machines: the same small work on each, and what the doctor says there."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.tasks import pretraining
from tests.torture.faults import why_no_mount
from tests.torture.world import ROOT
from tests.transfer import world

BIN = Path(sys.executable).parent
NO_SHM = 'mount -t tmpfs -o size=4k x /dev/shm && exec "$@"'


@dataclass(frozen=True)
class Machine:
    """How a machine is strange.

    Attributes
    ----------
    name : str
    prefix : tuple of str
        In front of every command.
    unset : tuple of str
        Variables that are missing.
    variables : dict
    needs_root : bool
    doctor : str
        What the doctor says there.
    folder : str
        Name of the folder of the work.
    loaders : int
        Loader processes of the training run.
    """

    name: str
    prefix: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    needs_root: bool = False
    doctor: str = ""
    folder: str = "work"
    loaders: int = 0


C_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

MACHINES = (
    Machine("an ordinary one", doctor="nothing is broken", loaders=2),
    Machine("locale C", variables=C_LOCALE, doctor="locale"),
    Machine("locale C, odd path", variables=C_LOCALE, doctor="locale", folder="Müller's new 数据 folder"),
    Machine("spaces, non-ASCII path", folder="Müller's new 数据 folder"),
    Machine("no HOME", unset=("HOME",), variables={"USER": "none"}),
    Machine("HOME not writable", variables={"HOME": "/proc/none"}, doctor="home folder"),
    Machine("one core", prefix=("taskset", "-c", "0"), doctor="on 1 cores", loaders=1),
    Machine("no network", prefix=("unshare", "-n"), needs_root=True),
    Machine(
        "no /dev/shm", prefix=("unshare", "-m", "sh", "-c", NO_SHM, "x"), needs_root=True, doctor="/dev/shm: loader"
    ),
)


def works(folder: Path, loaders: int) -> Iterator[tuple[str, list[str]]]:
    """Data-bin, pretraining, features, table: names and commands."""
    python = str(BIN / "python")
    for lang in world.LETTERS:
        for split, count in (("train", 80), ("valid", 12)):
            path = folder / "text" / f"{lang}.{split}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = "".join(" ".join(words) + "\n" for words in world.sentences(lang, count, split))
            path.write_text(lines.replace("a", "é"), encoding="utf-8")
    text = [f"{lang}={folder}/text/{lang}" for lang in world.LETTERS]
    options = ["--mode", "union", "--bpe-size", "45", "--shrink", "--workers", "2"]
    yield "data-bin", [python, f"{ROOT}/preprocess/build_databin.py", f"{folder}/bin", "--text", *text, *options]
    arguments = pretraining.command(folder / "bin", folder / "save", "--max-update", "3", "--num-workers", loaders)
    yield "pretraining", arguments
    model = f"en={folder}/save/checkpoint_last.pt"
    source = f"{folder}/text/en.valid.txt"
    yield "features", [python, f"{ROOT}/eval/extract.py", model, source, f"{folder}/features", "--words"]


def try_machine(machine: Machine) -> list[str]:
    """What goes wrong there, a line each."""
    parent = Path(tempfile.mkdtemp(prefix="xling-machine-"))
    folder = parent / machine.folder
    folder.mkdir()
    environment = {**os.environ, **machine.variables, "OMP_NUM_THREADS": "1"}
    environment = {name: value for name, value in environment.items() if name not in machine.unset}
    wrong = []
    try:
        doctor = _run(machine, [str(BIN / "python"), "-m", "fairseq_xling.doctor"], environment)
        if doctor.returncode or machine.doctor not in doctor.stdout:
            said = (doctor.stdout + doctor.stderr).strip().splitlines()[-1:]
            wrong.append(f"{machine.name}: the doctor does not say {machine.doctor!r}: {said}")
        for name, command in works(folder, machine.loaders):
            done = _run(machine, command, environment)
            if done.returncode:
                said = done.stderr.strip().splitlines()[-1:]
                wrong.append(f"{machine.name}, {name}: status {done.returncode} {said}")
                break
    except subprocess.TimeoutExpired as error:
        wrong.append(f"{machine.name}: {Path(error.cmd[0]).name} took more than {error.timeout} s")
    finally:
        shutil.rmtree(parent, ignore_errors=True)
    return wrong


def _run(machine: Machine, command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*machine.prefix, *command], env=environment, capture_output=True, encoding="utf-8", errors="replace",
        timeout=300, cwd=ROOT,
    )  # fmt: skip


def machines(only: tuple[str, ...] = ()) -> dict[str, list[str] | str]:
    """By machine what went wrong there, or why it was not tried."""
    reason = why_no_mount()
    found: dict[str, list[str] | str] = {}
    for machine in MACHINES:
        if not only or machine.name in only:
            found[machine.name] = reason if machine.needs_root and reason else try_machine(machine)
            print(machine.name, found[machine.name], file=sys.stderr, flush=True)
    return found


def table(found: dict[str, list[str] | str]) -> str:
    """A line a machine."""
    rows = [f"{'machine':<26}{'outcome'}"]
    for name, wrong in found.items():
        outcome = (
            f"skipped: {wrong}" if isinstance(wrong, str) else "; ".join(wrong) or "data-bin, pretraining, features"
        )
        rows.append(f"{name:<26}{outcome}")
    return "\n".join(rows)


def main() -> None:
    """Try and report; exit status 1 if something went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.machines", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], help="; ".join(machine.name for machine in MACHINES))
    found = machines(tuple(parser.parse_args().only))
    print(table(found))
    sys.exit(any(isinstance(wrong, list) and wrong for wrong in found.values()))


if __name__ == "__main__":
    main()
