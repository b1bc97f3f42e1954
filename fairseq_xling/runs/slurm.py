"""Jobs to Slurm by sbatch, and their state by squeue."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from fairseq_xling.formats.errors import InputError
from fairseq_xling.runs.plan import ROOT, Job, Machine


def sbatch_command(job: Job, machine: Machine, runs: Path, ids: dict[str, str]) -> list[str]:
    """The command that sends one job.

    Parameters
    ----------
    job : Job
    machine : Machine
    runs : Path
        Folder of everything; logs go to `runs/jobs`.
    ids : dict
        Slurm's numbers of the jobs that were sent before, by name.
    """
    dependency = ":".join(ids[name] for name in job.after)
    log = runs / "jobs" / (f"{job.name}.%a.log" if job.array else f"{job.name}.log")
    return [
        *("sbatch", "--parsable", f"--job-name={job.name}", f"--chdir={ROOT}", f"--output={log.absolute()}"),
        *machine.sbatch.get(job.kind, ()),
        *((f"--dependency=afterok:{dependency}", "--kill-on-invalid-dep=yes") if dependency else ()),
        *((f"--array=1-{job.array}",) if job.array else ()),
        *("train_scripts/job.sh", job.name, str(machine.most_failures), *job.command),
    ]


def submit(jobs: Sequence[Job], machine: Machine, runs: Path) -> dict[str, str]:
    """Send all jobs; Slurm's numbers by name.

    Raises
    ------
    InputError
        There is no sbatch, or it refuses; jobs sent before are cancelled.
    """
    ids: dict[str, str] = {}
    environment = {**os.environ, "RUNS": str(runs)}
    (runs / "jobs").mkdir(parents=True, exist_ok=True)
    for job in jobs:
        for old in (runs / "jobs").glob(f"{job.name}.*failures"):
            old.unlink()
        command = sbatch_command(job, machine, runs, ids)
        try:
            sent = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
        except FileNotFoundError:
            raise InputError(
                "there is no sbatch here; submit.sh --machine local runs the jobs on this machine"
            ) from None
        if sent.returncode:
            if ids:
                subprocess.run(["scancel", *ids.values()], check=False)
            raise InputError(f"sbatch refuses {job.name}: {sent.stderr.strip()}")
        ids[job.name] = sent.stdout.strip().partition(";")[0]
    return ids


def queue() -> dict[str, list[tuple[str, str, str]]]:
    """Of this user's jobs by Slurm's number: for each part its number in the array (or empty), state and reason.

    A job that is no array is one part. Nothing where there is no Slurm.
    """
    try:
        command = ["squeue", "--me", "--noheader", "--format=%F|%K|%T|%r", "--states=all"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (FileNotFoundError, subprocess.SubprocessError):
        return {}
    found: dict[str, list[tuple[str, str, str]]] = {}
    for line in shown.stdout.splitlines():
        number, part, state, reason = line.split("|", 3)
        found.setdefault(number, []).append(("" if part == "N/A" else part, state, reason))
    return found
