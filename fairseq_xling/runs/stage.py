"""Run one stage of an experiment: skipped when done, resumed when interrupted, done again when its inputs changed."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fairseq_xling.command import BAD_INPUT, STOPPED, run_command
from fairseq_xling.formats.errors import InputError
from fairseq_xling.runs.identity import TRAIN, identity
from fairseq_xling.runs.progress import PlainProgress, TrainingProgress, duration
from fairseq_xling.runs.record import HEARTBEAT, Record, beside, had_bad_input, last_line, locked, read_record

EXPLANATION = """
Beside OUTPUT lie OUTPUT.NAME.json (the record: state, inputs, why it failed), OUTPUT.NAME.log and OUTPUT.NAME.lock.
Done means that the record says so, that command and inputs are the same, and that the output is there. What an earlier
attempt left is given to the command again, which goes on from it, if command and inputs are the same; where they are
not, --when-changed says what becomes of it.

SIGINT, SIGTERM, SIGUSR1 and SIGHUP go to the command as SIGTERM; a training run then saves and stops. A second Ctrl-C
kills it. Exit status: 0 done, 75 stopped by a signal, 2 bad input, otherwise that of the command.

example:
  python -m fairseq_xling.runs.stage pretrain runs/lab/default/qaa-qab/seed1 --input runs/lab/data-bin/manifest.json \\
      --makes checkpoint_best.pt --when-changed keep -- fairseq-train ...
"""


@dataclass
class Stage:
    """A stage; see the command's help.

    Attributes
    ----------
    name : str
    output : Path
        File or folder that the command makes.
    command : list of str
    inputs : list of Path
    makes : str
        File within `output` that is there when it is done.
    when_changed : {"remove", "keep", "update"}
        What becomes of an output that was made from other inputs: it is removed, renamed, or left to the command.
    gpus : int
        GPUs that must be there, unless the command has the option ``--cpu``.
    """

    name: str
    output: Path
    command: list[str]
    inputs: list[Path] = field(default_factory=list)
    makes: str = ""
    when_changed: str = "remove"
    gpus: int = 0

    def run(self, say: Callable[[str], None]) -> int:
        """Do what is to be done; the exit status."""
        with locked(beside(self.output, self.name, "lock"), say) as lock:
            try:
                now = identity(self.command, self.inputs)
            except InputError as error:
                raise InputError(f"{error.message}; it is an input of stage '{self.name}'", error.path) from None
            before = read_record(beside(self.output, self.name, "json"))
            changed = now.difference(before.identity) if before else None
            if before and before.state == "done" and not changed and self._is_there():
                say(f"done ({self.output})")
                return 0
            if self.gpus and "--cpu" not in self.command:
                check_gpus(self.gpus)
            self._make_room(before, changed, say)
            record = Record(self.name, str(self.output), identity=now.as_dict())
            record.write()
            say(f"{'goes on' if before and not changed else 'begins'}; log in {record.log}")
            return self._attempt(record, lock, say)

    def _is_there(self) -> bool:
        return (self.output / self.makes if self.makes else self.output).exists()

    def _make_room(self, before: Record | None, changed: str | None, say: Callable[[str], None]) -> None:
        """Deal with an output that was made from other inputs, or of which nothing is known."""
        if changed:
            say(f"changed: {changed}; it is done again")
        if not self.output.exists() or (before and not changed) or self.when_changed == "update":
            return
        if self.when_changed == "keep":
            number = next(n for n in range(1, 10_000) if not self._replaced(n).exists())
            os.replace(self.output, self._replaced(number))
            say(f"what was there is kept as {self._replaced(number)}")
        elif changed:
            shutil.rmtree(self.output) if self.output.is_dir() else self.output.unlink()

    def _replaced(self, number: int) -> Path:
        return self.output.with_name(f"{self.output.name}.replaced-{number}")

    def _attempt(self, record: Record, lock: int, say: Callable[[str], None]) -> int:
        told, status = run_logged(self.command, record, lock, say)
        if status == 1 and had_bad_input(record.log):
            status = BAD_INPUT
        record.ended = time.time()
        record.status = status
        if status == 0 and not self._is_there():
            record.message = f"the command ended well but did not make {self.output / self.makes}"
        if status == 0 and not record.message:
            record.state = "done"
            record.write()
            say(f"done in {duration(record.ended - record.began)}")
            return 0
        if told or status in (STOPPED, -signal.SIGTERM, -signal.SIGUSR1):
            record.state, record.message = "stopped", "stopped by a signal"
            record.write()
            say("stopped by a signal; the same command goes on from there")
            return STOPPED
        record.state, record.message = "failed", record.message or explain(status, last_line(record.log))
        record.write()
        say(f"FAILED: {record.message}\n  the whole log: {record.log}")
        return status if 0 < status < 128 else 1


def check_gpus(needed: int) -> None:
    """See whether torch finds so many GPUs.

    Raises
    ------
    InputError
        It does not.
    """
    question = "import torch; print(torch.cuda.device_count())"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=False)
    found = int(answer.stdout) if answer.stdout.strip().isdigit() else 0
    if found < needed:
        raise InputError(
            f"torch finds {found} GPUs on {socket.gethostname()}, needed are {needed}: ask for a node that has them "
            "(--gpus-per-node in train_scripts/machines), give --processes, or, to wait very long, -- --cpu"
        )


def explain(status: int, line: str) -> str:
    """Why a command ended, in one line."""
    number = -status if status < 0 else status - 128
    if number == signal.SIGKILL:
        return f"killed from outside (SIGKILL), often because memory ran out; last line: {line}"
    if number > 0 and number in set(signal.Signals):
        return f"ended by {signal.Signals(number).name}; last line: {line}"
    return f"exit status {status}: {line}"


def run_logged(command: Sequence[str], record: Record, lock: int, say: Callable[[str], None]) -> tuple[bool, int]:
    """Run a command, its output appended to the log and the telling lines shown.

    The command has a session of its own, so that a signal reaches it through us and only once. It inherits the lock: if
    this process is killed, the next run waits until the command has ended too.

    Returns
    -------
    bool, int
        Whether a signal told us to stop; the command's status, negative where a signal ended it.
    """
    with open(record.log, "ab") as log:
        log.write(f"# {time.strftime('%Y-%m-%d %H:%M:%S')} on {record.host}\n".encode())
        log.flush()
        signals = _Signals()
        try:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True, pass_fds=(lock,),
            )  # fmt: skip
        except OSError as error:
            log.write(f"{error}\n".encode())
            return False, 127
        signals.go_to(process)
        ended = threading.Event()
        threading.Thread(target=_heartbeat, args=(record.path, ended), daemon=True).start()
        training = any(Path(word).name == TRAIN for word in command)
        assert process.stdout is not None
        _follow(process.stdout, log, TrainingProgress(command) if training else PlainProgress(), say)
        status = process.wait()
        ended.set()
    return bool(signals.told), status


class _Signals:
    """Sends the signals that we get to a command, those too that come before it has started; `told` lists them."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self._process: subprocess.Popen | None = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
            signal.signal(number, self._handle)

    def go_to(self, process: subprocess.Popen) -> None:
        self._process = process
        if self.told:
            self._tell()

    def _handle(self, number: int, frame: Any) -> None:
        self.told.append(number)
        self._tell()

    def _tell(self) -> None:
        again = self.told.count(signal.SIGINT) > 1
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL if again else signal.SIGTERM)


def _heartbeat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT):
        if path.exists():
            os.utime(path)


def _follow(stream: IO[bytes], log: IO[bytes], progress: Any, say: Callable[[str], None]) -> None:
    """Copy lines to the log and show those that `progress` chooses."""
    for text, end in _pieces(stream):
        if end == b"\r":
            shown = progress.bar(text.decode("utf-8", "replace")) if hasattr(progress, "bar") else None
        else:
            log.write(text + b"\n")
            log.flush()
            shown = progress.line(text.decode("utf-8", "replace"))
        if shown:
            say(shown)


def _pieces(stream: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Lines and states of progress bars, each with the character that ended it."""
    rest = b""
    while block := os.read(stream.fileno(), 1 << 16):
        *parts, rest = re.split(rb"(\r\n|\n|\r)", rest + block)
        for text, end in zip(parts[::2], parts[1::2], strict=True):
            if text:
                yield text, end
    if rest:
        yield rest, b"\n"


def main() -> None:
    """Run a stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXPLANATION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="of the stage")
    parser.add_argument("output", type=Path, help="file or folder that it makes")
    parser.add_argument("--input", dest="inputs", type=Path, nargs="*", default=[], help="files that it depends on")
    parser.add_argument("--makes", default="", help="file within OUTPUT that is there when it is done")
    parser.add_argument("--when-changed", default="remove", choices=["remove", "keep", "update"], help="(remove)")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that must be there (0)")
    parser.add_argument("command", nargs="+", help="after --")
    args = parser.parse_args()

    def say(line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')}  {args.name}: {line}", file=sys.stderr, flush=True)

    stage = Stage(args.name, args.output, args.command, args.inputs, args.makes, args.when_changed, args.gpus)
    sys.exit(stage.run(say))


if __name__ == "__main__":
    run_command(main)
