"""table1.sh and alignment.sh: what they run for all models of a table or of the figures, and how they end."""

import os
import signal
import subprocess
import time

import pytest

from .scripts import SCRIPTS, run


def test_table1_runs_each_row_for_each_pair_and_seed():
    options = ("--scale", "lab", "--pairs", "qaa-qab qaa-qac", "--seeds", "1 2", "--experiments", "default sep_emb")
    shown = run(*options, "--dry-run", script="table1.sh")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("fairseq-train") == 8
    assert run("--scale", "small", script="table1.sh").returncode == 2


def test_what_is_measured_depends_on_every_file_that_it_is_measured_on(tmp_path):
    """Figures 4a and 4b have the same dictionaries; Figures 5 and 8 align words of the parallel sentences."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/bash\nprintf '%s\\n' \"$*\" >> {tmp_path}/calls\n")
    python.chmod(0o755)
    options = ("--scale", "lab", "--targets", "qab", "--jobs", "1")
    shown = run(*options, script="alignment.sh", PYTHON=str(python), RUNS=str(tmp_path))
    assert shown.returncode == 0, shown.stderr
    stages = [line for line in (tmp_path / "calls").read_text().splitlines() if " --makes  --when-changed " in line]
    measured = [line.partition(" --makes ") for line in stages if " eval/" in line]
    assert len(measured) == 9 + 4 + 2
    for inputs, _, command in measured:
        for option in ("--test", "--train", "--parallel", "--supervision"):
            if f" {option} " in command:
                assert f" {command.partition(f' {option} ')[2].split()[0]}" in inputs


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_the_figures_stops_all_models_and_waits_until_they_are_saved(tmp_path, number):
    """As submit.sh and Slurm send it: to the script alone. Nothing goes on behind the back of who stopped it."""
    python = tmp_path / "python"
    python.write_text(f"""#!/bin/bash
[ "$3" = pretrain ] || exit 0
trap 'sleep 0.5; touch {tmp_path}/saved.$$; exit 75' TERM
touch {tmp_path}/training.$$
for _ in $(seq 600); do sleep 0.05; done
""")
    python.chmod(0o755)
    process = subprocess.Popen(
        ["bash", str(SCRIPTS / "alignment.sh"), "--scale", "lab", "--targets", "qab", "--jobs", "2", "--no-transfer"],
        env={**os.environ, "PYTHON": str(python), "RUNS": str(tmp_path)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while len(list(tmp_path.glob("training.*"))) < 2:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert len(list(tmp_path.glob("saved.*"))) == 2


def test_the_table_of_what_is_there(tmp_path):
    """Rows that are still being made are left out, and named."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/bash\nprintf '%s\\n' \"$*\" >> {tmp_path}/calls\n")
    python.chmod(0o755)
    options = ("--scale", "lab", "--pairs", "qaa-qab", "--table-only")
    variables = {"script": "table1.sh", "PYTHON": str(python), "RUNS": str(tmp_path)}
    nothing = run(*options, **variables)
    assert nothing.returncode == 2
    assert "none of these rows has scores" in nothing.stderr
    there = tmp_path / "transfer/sep_emb/qaa-qab/seed1/results.jsonl"
    there.parent.mkdir(parents=True)
    there.touch()
    made = run(*options, **variables)
    assert made.returncode == 0, made.stderr
    assert made.stderr.count("not there yet: ") == 9
    assert f"eval/table1.py {there} --scale lab" in (tmp_path / "calls").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--jobs", "0"], "--jobs 0: expected a number from 1"),
        (["--jobs", "x"], "--jobs x: expected a number from 1"),
        (["--seeds", "1", "two"], "'two': expected numbers for --seeds and --layers"),
        (["--layers", "0-8"], "'0-8': expected numbers"),
        (["--bilingual", "no_anchor"], "--bilingual no_anchor: no such experiment"),
    ],
)
def test_bad_input_of_the_figures_is_told_before_anything_is_trained(tmp_path, options, says):
    shown = run("--scale", "lab", *options, script="alignment.sh", RUNS=str(tmp_path), PYTHON="true")
    assert shown.returncode == 2
    assert says in shown.stderr


@pytest.mark.parametrize(("ends", "status"), [("exit 2", 2), ("kill -9 $$", 1), ("exit 1", 1)])
def test_the_figures_end_as_their_parts_did(tmp_path, ends, status):
    """A job that died is started again (docs/cluster.md), one with bad input is not."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/bash\n[ "$3" != pretrain ] || {ends}\n')
    python.chmod(0o755)
    options = ("--scale", "lab", "--targets", "qab", "--jobs", "2", "--no-transfer")
    shown = run(*options, script="alignment.sh", PYTHON=str(python), RUNS=str(tmp_path))
    assert shown.returncode == status
    assert "a part failed, see above" in shown.stderr
