"""Temporary files: gone after success, failure and kill; those of living processes stay."""

import fcntl
import os
import subprocess
import sys

import pytest

from fairseq_xling.formats.files import atomic_write, temporary_beside


def killed_while_writing(path, folder=False):
    """A process is killed inside the block; the name of what it leaves."""
    program = (
        "import os, signal, sys\nfrom fairseq_xling.formats.files import temporary_beside\n"
        "with temporary_beside(sys.argv[1], folder=bool(sys.argv[2])) as temporary:\n"
        "    (temporary / 'x' if sys.argv[2] else temporary).write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path), "1" * folder], check=False)
    assert done.returncode == -9
    return {each.name for each in path.parent.iterdir()}


@pytest.mark.parametrize("folder", [False, True])
def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path, folder):
    target = tmp_path / "out"
    (left,) = killed_while_writing(target, folder)
    assert left.startswith(".out.")
    assert left.endswith(".tmp")
    with atomic_write(tmp_path / "out2") as out:
        out.write("of another name")
    assert left in os.listdir(tmp_path)
    with atomic_write(target) as out:
        out.write("whole")
    assert sorted(os.listdir(tmp_path)) == ["out", "out2"]


def test_what_a_living_process_writes_stays(tmp_path):
    """Of this machine by its number; of another one, whose number says nothing here, by its lock."""
    ours, theirs = tmp_path / f".out.{os.getppid()}.tmp", tmp_path / ".out.99999999.tmp"
    ours.write_text("x")
    theirs.write_text("y")
    handle = os.open(theirs, os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with atomic_write(tmp_path / "out") as out:
        out.write("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"out", ours.name, theirs.name}
    os.close(handle)
    with atomic_write(tmp_path / "out") as out:
        out.write("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"out", ours.name}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "out").write_text("old")

    def fail(context):
        with context:
            raise RuntimeError

    for context in (atomic_write(tmp_path / "out"), temporary_beside(tmp_path / "out", folder=True)):
        with pytest.raises(RuntimeError):
            fail(context)
    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "old"
