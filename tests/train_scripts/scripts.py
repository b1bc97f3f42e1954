"""Calling the shell scripts."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "train_scripts"


def run(*arguments, script="run.sh", **environment):
    variables = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") and k not in ("RUNS", "RAW")}
    return subprocess.run(
        ["bash", str(SCRIPTS / script), *map(str, arguments)],
        env={**variables, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
