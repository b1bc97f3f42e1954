"""Start one process of several of a training run, as torchrun and Slurm's srun do, with the same total batch.

The command is that of a run on one process; the accumulated batches (--update-freq) and then the batch itself are
divided by the number of processes, so that an update has the same number of sequences.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.formats.errors import InputError

EXPLANATION = """
The environment says which process this is: RANK, WORLD_SIZE and LOCAL_RANK of torchrun, or SLURM_PROCID, SLURM_NTASKS
and SLURM_LOCALID of srun. On machines without a GPU processes talk through gloo.

examples, which train_scripts/run.sh makes (two machines by torchrun: this on each, with its own --node-rank):
  torchrun --standalone --nproc-per-node 2 -m fairseq_xling.runs.process fairseq-train ...
  torchrun --nnodes 2 --node-rank 0 --nproc-per-node 8 --master-addr HOST --master-port 29500 \\
      -m fairseq_xling.runs.process fairseq-train ...
  srun --kill-on-bad-exit=1 python -m fairseq_xling.runs.process fairseq-train ...
"""


def worker_options(environment: Mapping[str, str], gpu: bool, address: Callable[[str], str]) -> list[str]:
    """Options of fairseq-train for the process that the environment describes.

    Parameters
    ----------
    environment : mapping
    gpu : bool
        Whether the machine has one.
    address : callable
        Address of the first node of a list of nodes as Slurm writes it.

    Raises
    ------
    InputError
        The environment is neither torchrun's nor srun's.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        rank, size = environment["RANK"], environment["WORLD_SIZE"]
        local, method = environment.get("LOCAL_RANK", "0"), "env://"
    elif "SLURM_PROCID" in environment:
        rank, size = environment["SLURM_PROCID"], environment["SLURM_NTASKS"]
        local = environment.get("SLURM_LOCALID", "0")
        job = int(environment["SLURM_JOB_ID"]) + 131 * int(environment.get("SLURM_STEP_ID", "0"))
        method = f"tcp://{address(environment['SLURM_JOB_NODELIST'])}:{20_000 + job % 20_000}"
    else:
        raise InputError("neither torchrun nor srun started this process (no RANK, no SLURM_PROCID)")
    options = [
        *("--distributed-world-size", size, "--distributed-rank", rank, "--distributed-init-method", method),
        *("--distributed-no-spawn", "--ddp-backend", "legacy_ddp", "--load-checkpoint-on-all-dp-ranks"),
    ]
    if not gpu:
        return [*options, "--distributed-backend", "gloo"]
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    device = int(local) % len(visible.split(",")) if visible else int(local)
    return [*options, "--device-id", str(device)]


def divided_batch(arguments: Sequence[str], size: int) -> list[str]:
    """Options that divide the batch of an update among `size` processes.

    Raises
    ------
    InputError
        It cannot be divided evenly.
    """
    accumulated, batch = _last(arguments, "--update-freq", 1), _last(arguments, "--batch-size", 0)
    if accumulated % size == 0:
        return ["--update-freq", str(accumulated // size)]
    if batch and accumulated * batch % size == 0:
        return ["--update-freq", "1", "--batch-size", str(accumulated * batch // size)]
    raise InputError(
        f"{accumulated} x {batch or '--max-tokens'} sequences of an update cannot be divided evenly among {size} "
        "processes; choose another number of processes, --batch-size or --update-freq"
    )


def _last(arguments: Sequence[str], option: str, default: int) -> int:
    """The value of an option, the last where it is given more than once, written as `--option 8` or `--option=8`."""
    value = default
    for place, word in enumerate(arguments):
        name, equals, given = word.partition("=")
        if name == option:
            given = given if equals else arguments[place + 1]
            if not re.fullmatch(r"[1-9]\d*", given):
                raise InputError(f"{option} {given}: with several processes expected one number")
            value = int(given)
    return value


def first_address(nodes: str) -> str:
    """The address of the first of Slurm's nodes, which need not be a name that resolves."""
    answer = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
    first = answer.stdout.split()[0]
    node = subprocess.run(["scontrol", "--oneliner", "show", "node", first], capture_output=True, text=True, check=True)
    found = re.search(r"NodeAddr=(\S+)", node.stdout)
    return found[1] if found else first


def main() -> None:
    """Replace this process by fairseq-train."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXPLANATION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="fairseq-train and its arguments")
    command = parser.parse_args().command
    if not command:
        raise InputError("no command; -h shows the usage")
    options = worker_options(os.environ, Path("/dev/nvidia0").exists(), first_address)
    options += divided_batch(command, int(options[1]))
    os.execvp(command[0], [*command, *options])


if __name__ == "__main__":
    run_command(main)
