"""Run jobs in processes of their own, a few at a time, each with a log file."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from fairseq_xling.command import BAD_INPUT
from fairseq_xling.formats.errors import InputError


@dataclass(frozen=True)
class Job:
    """A function call (importable, with picklable arguments) and where its output goes."""

    name: str
    function: Callable[..., None]
    arguments: tuple[Any, ...]
    log: Path


class Failure(NamedTuple):
    """A job that failed, in one line, and whether its input was bad; else it died, and may do better another time."""

    line: str
    bad_input: bool


def run_jobs(jobs: Sequence[Job], at_a_time: int, progress: str) -> list[Failure]:
    """Run all jobs; one that fails does not stop the others.

    Processes are forked, so that fairseq is imported once; where there is a GPU they are spawned, as CUDA demands.

    Returns
    -------
    list of Failure
        The line has the job's name, its log file and the last line of that.
    """
    context: Any = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "fork")
    waiting = list(reversed(jobs))
    failures: list[Failure] = []
    running: dict[int, tuple[BaseProcess, Job]] = {}
    threads = max((os.cpu_count() or 1) // max(at_a_time, 1), 1)
    bar = tqdm(total=len(jobs), desc=progress, unit="run", disable=not jobs)
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                job = waiting.pop()
                process: BaseProcess = context.Process(target=_call, args=(job, threads))
                process.start()
                running[process.sentinel] = (process, job)
            for sentinel in wait(list(running)):
                process, job = running.pop(int(sentinel))  # type: ignore[arg-type]
                process.join()
                bar.update()
                if process.exitcode:
                    line = f"{job.name} failed, see {job.log}: {_last_line(job.log)}"
                    failures.append(Failure(line, process.exitcode == BAD_INPUT))
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.join()
        bar.close()
    return failures


def _call(job: Job, threads: int) -> None:
    """In the child: send all output to the log, run, leave with a status that tells the truth."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with open(job.log, "a", encoding="utf-8") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)
    status = 0
    try:
        job.function(*job.arguments)
    except InputError as error:
        print(error, file=sys.stderr)
        status = BAD_INPUT
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "")[:300]
