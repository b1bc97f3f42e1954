"""Jobs on this machine, a few at a time, with the same rules as on a cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fairseq_xling.command import BAD_INPUT, STOPPED
from fairseq_xling.runs.plan import ROOT, Job
from fairseq_xling.runs.record import last_line

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def unrolled(jobs: Sequence[Job]) -> list[Job]:
    """Arrays as single jobs, and dependencies on them as dependencies on each of those."""
    parts = {job.name: [f"{job.name}.{n}" for n in range(1, job.array + 1)] or [job.name] for job in jobs}
    single = []
    for job in jobs:
        after = tuple(part for name in job.after for part in parts[name])
        for number, name in enumerate(parts[job.name], 1):
            command = tuple(word.replace("{part}", str(number)) for word in job.command)
            single.append(replace(job, name=name, command=command, after=after, array=0))
    return single


@dataclass
class LocalRunner:
    """Runs jobs and starts those again that die.

    Attributes
    ----------
    runs : Path
        Logs go to `runs/jobs`.
    at_a_time, most_failures : int
    say : callable
    """

    runs: Path
    at_a_time: int
    most_failures: int
    say: Callable[[str], None]
    _running: dict[str, tuple[subprocess.Popen, Job]] = field(default_factory=dict)
    _told: bool = False

    def run(self, jobs: Sequence[Job]) -> int:
        """Run all; 0 if all ended well, 75 if a signal stopped us, 1 otherwise."""
        (self.runs / "jobs").mkdir(parents=True, exist_ok=True)
        before = {number: signal.signal(number, self._stop) for number in STOPPING}
        try:
            return self._run(unrolled(jobs))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _run(self, waiting: list[Job]) -> int:
        done: set[str] = set()
        lost: set[str] = set()
        failures: dict[str, int] = {}
        while (waiting and not self._told) or self._running:
            for job in [job for job in waiting if lost & set(job.after)]:
                self.say(f"{job.name}: not started, as what it waits for failed")
                waiting.remove(job)
                lost.add(job.name)
            ready = [] if self._told else [job for job in waiting if done >= set(job.after)]
            for job in ready[: self.at_a_time - len(self._running)]:
                waiting.remove(job)
                self._start(job)
            for job, status in self._ended():
                if status == 0:
                    done.add(job.name)
                    self.say(f"{job.name}: done; {len(waiting) + len(self._running)} jobs left")
                elif self._told:
                    continue
                elif status == STOPPED or (status != BAD_INPUT and failures.get(job.name, 0) < self.most_failures):
                    failures[job.name] = failures.get(job.name, 0) + (status != STOPPED)
                    waiting.insert(0, job)
                    self.say(f"{job.name}: ended with status {status}; starts again")
                else:
                    lost.add(job.name)
                    self.say(f"{job.name}: FAILED with status {status}: {last_line(self._log(job))}")
            time.sleep(0.2)
        if self._told:
            self.say("stopped by a signal; the same command goes on from there")
            return STOPPED
        return 1 if lost else 0

    def _log(self, job: Job) -> Path:
        return self.runs / "jobs" / f"{job.name}.log"

    def _start(self, job: Job) -> None:
        self.say(f"{job.name}: starts; log in {self._log(job)}")
        with open(self._log(job), "ab") as log:
            process = subprocess.Popen(
                job.command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True, cwd=ROOT, env={**os.environ, "RUNS": str(self.runs)},
            )  # fmt: skip
        self._running[job.name] = (process, job)
        if self._told:  # while it was being started, when `_stop` did not know of it
            process.terminate()

    def _ended(self) -> list[tuple[Job, int]]:
        ended = []
        for name, (process, job) in list(self._running.items()):
            if process.poll() is not None:
                del self._running[name]
                ended.append((job, process.returncode))
        return ended

    def _stop(self, *_: object) -> None:
        self._told = True
        for process, _job in self._running.values():
            process.terminate()
