"""What commands share."""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_xling.command import name, seed_number
from fairseq_xling.corpus import process_pool


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("1", 1), (str(2**32 - 1), 2**32 - 1), (" 7 ", 7)])
def test_seeds(text, number):
    assert seed_number(text) == number


@pytest.mark.parametrize("text", ["-1", str(2**32), "9" * 5000, "1.5", "", "x", "nan"])
def test_what_is_no_seed_is_refused_in_few_words(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number from 0 to 4294967295") as caught:
        seed_number(text)
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        ("InputError('no such layer')", 2),
        ("RuntimeError('wrapped') from InputError('no such layer')", 2),
        ("RuntimeError('a bug')", 1),
    ],
)
def test_bad_input_of_a_program_that_is_not_ours_has_its_status(raised, status):
    """As `run_command` gives it; jobs that end with 2 are not started again."""
    script = "from fairseq_xling.command import show_input_errors_in_one_line\n"
    script += "from fairseq_xling.formats.errors import InputError\n"
    script += f"show_input_errors_in_one_line()\nraise {raised}\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert ("Traceback" in done.stderr) == (status == 1)


@pytest.mark.parametrize("command", ["fairseq_xling.runs.hours --scale paper", "fairseq_xling.doctor"])
def test_output_that_nobody_reads_any_more_is_no_failure_to_talk_about(command):
    """As in `doctor | head -1`, whose status 1 would say that something is broken."""
    script = f"{shlex.quote(sys.executable)} -m {command} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")


def test_without_shared_locks_one_process_does_the_work(monkeypatch, capsys):
    """A container without /dev/shm: the same results in the same order, and a line that says so."""

    class NoLocks:
        def Lock(self):  # noqa: N802
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(process_pool.multiprocessing, "get_context", lambda kind: NoLocks())
    assert list(process_pool.ordered_map(str, range(5), 2)) == ["0", "1", "2", "3", "4"]
    assert "one process only" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "\x1b[2J", "x" * 101])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a name"):
        name(text)
    assert name("sep_emb,l1-6 é") == "sep_emb,l1-6 é"


def test_no_output_at_all_is_no_failure():
    command = f"{shlex.quote(sys.executable)} -m fairseq_xling.runs.hours --scale paper >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_package_leaves_logging_to_the_script():
    """fairseq calls basicConfig on import, so that the script's own call did nothing and its INFO lines were lost."""
    script = "import logging, fairseq_xling\nlogging.basicConfig(level=logging.INFO)\nlogging.info('my own line')\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "INFO:root:my own line" in done.stderr


@pytest.mark.parametrize("imported", [True, False], ids=["as a module", "by its path"])
def test_fairseqs_programs_are_known_however_they_are_started(tmp_path, imported):
    """`torchrun .../fairseq_cli/train.py` imports no package of that name."""
    program = tmp_path / "fairseq_cli" / "train.py"
    program.parent.mkdir()
    (program.parent / "__init__.py").touch()
    program.write_text("from fairseq_xling.command import runs_fairseq\nprint(runs_fairseq())\n")
    words = ["-m", "fairseq_cli.train"] if imported else [str(program)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"
