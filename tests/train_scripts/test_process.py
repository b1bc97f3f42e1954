"""One process of several: which it is, and the same number of sequences in an update whatever their number."""

import os
import subprocess

import pytest

from fairseq_xling.formats.errors import InputError
from fairseq_xling.runs.process import divided_batch, first_address, worker_options

SLURM = {
    "SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "40001", "SLURM_STEP_ID": "2",
    "SLURM_JOB_NODELIST": "n[1-2]",
}  # fmt: skip


def options(environment, gpu=False):
    words = worker_options(environment, gpu, lambda nodes: f"first-of-{nodes}")
    return dict(zip(words[::2], words[1::2], strict=False)), words


def test_torchrun():
    found, words = options({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"})
    assert found["--distributed-world-size"] == "2"  # without it, every process would train alone
    assert found["--distributed-rank"] == "1"
    assert found["--distributed-init-method"] == "env://"
    assert words[-2:] == ["--distributed-backend", "gloo"]
    assert "--load-checkpoint-on-all-dp-ranks" in words  # resuming on several processes fails without


def test_srun():
    found, _ = options(SLURM)
    assert found["--distributed-world-size"] == "8"
    assert found["--distributed-rank"] == "5"
    assert found["--distributed-init-method"] == "tcp://first-of-n[1-2]:20263"  # 20000 + (40001 + 2 * 131) % 20000


def test_torchrun_inside_a_slurm_job_counts_as_torchrun():
    assert options({**SLURM, "RANK": "0", "WORLD_SIZE": "2"})[0]["--distributed-world-size"] == "2"


@pytest.mark.parametrize(("visible", "device"), [("", "1"), ("0,1,2,3", "1"), ("2", "0")])
def test_the_gpu_of_a_process(visible, device):
    words = options({**SLURM, "CUDA_VISIBLE_DEVICES": visible}, gpu=True)[1]
    assert words[-2:] == ["--device-id", device]
    assert "--distributed-backend" not in words


def test_neither_torchrun_nor_srun():
    with pytest.raises(InputError, match="neither torchrun nor srun"):
        options({"PATH": "/bin"})


@pytest.mark.parametrize(
    ("recipe", "size", "divided"),
    [
        ("--batch-size 96 --update-freq 8", 8, "--update-freq 1"),
        ("--batch-size 96 --update-freq 8", 4, "--update-freq 2"),
        ("--batch-size 96 --update-freq 8", 16, "--update-freq 1 --batch-size 48"),
        ("--batch-size 32", 2, "--update-freq 1 --batch-size 16"),
        ("--batch-size 32 --update-freq=3", 1, "--update-freq 3"),
        ("--batch-size 32 --batch-size=30", 3, "--update-freq 1 --batch-size 10"),  # the last one counts
    ],
)
def test_an_update_has_the_same_number_of_sequences(recipe, size, divided):
    assert divided_batch(["fairseq-train", "DATA", *recipe.split()], size) == divided.split()


@pytest.mark.parametrize("recipe", ["--batch-size 32", "--max-tokens 4096", "--batch-size 32 --update-freq 5"])
def test_what_cannot_be_divided_is_refused(recipe):
    with pytest.raises(InputError, match="cannot be divided evenly among 7 processes"):
        divided_batch(["fairseq-train", "DATA", *recipe.split()], 7)


def test_a_schedule_of_accumulation_is_refused():
    with pytest.raises(InputError, match="--update-freq 4,8: with several processes expected one number"):
        divided_batch(["--update-freq", "4,8"], 2)


def test_the_address_of_the_first_node(tmp_path, monkeypatch):
    (tmp_path / "scontrol").write_text(
        '#!/bin/bash\ncase "$*" in\n"show hostnames n[1-2]") printf "n1\\nn2\\n";;\n'
        '"--oneliner show node n1") echo "NodeName=n1 Arch=x NodeAddr=10.0.0.7 NodeHostName=vm";;\nesac\n'
    )
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert first_address("n[1-2]") == "10.0.0.7"


def test_the_program_becomes_fairseq_train(tmp_path):
    command = ["python", "-m", "fairseq_xling.runs.process", "echo", "DATA", "--batch-size", "4"]
    environment = {**os.environ, "RANK": "0", "WORLD_SIZE": "2"}
    shown = subprocess.run([".venv/bin/" + command[0], *command[1:]], env=environment, capture_output=True, text=True)
    assert shown.stdout.startswith("DATA --batch-size 4 --distributed-world-size 2 --distributed-rank 0")
    assert shown.stdout.rstrip().endswith("--update-freq 1 --batch-size 2")
