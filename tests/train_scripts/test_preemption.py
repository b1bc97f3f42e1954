"""Stopping on a signal, killed in the middle, damaged checkpoints, full disks: nothing is lost but time."""

import errno
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import torch
from fairseq import checkpoint_utils

from fairseq_xling.checkpoints import read_state
from fairseq_xling.command import STOPPED
from fairseq_xling.formats.errors import InputError
from fairseq_xling.tasks import checkpoint_safety
from fairseq_xling.tasks.masked_lm import XlingMaskedLMTask
from tests.tasks.pretraining import assert_equal_states, command, load, run, train, write_data

UPDATES = 12  # epochs of 5 updates


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "shared", {"en": 60, "fr": 30})


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    train(data, folder, "--max-update", UPDATES)
    return folder


@pytest.fixture
def at_update(monkeypatch):
    """`at_update(n, action)`: call the action once, while update n is computed."""
    original = XlingMaskedLMTask.train_step

    def arrange(number, action):
        todo = [action]

        def train_step(self, *args, update_num, **kwargs):
            if update_num == number - 1 and todo:
                todo.pop()()
            return original(self, *args, update_num=update_num, **kwargs)

        monkeypatch.setattr(XlingMaskedLMTask, "train_step", train_step)

    return arrange


def updates_of(folder, name="checkpoint_last.pt"):
    return read_state(folder / name)["optimizer_history"][-1]["num_updates"]


def metrics(folder):
    """Phase, update and loss of every line (times differ from run to run)."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["phase"], line["update"], line["nats"]) for line in lines]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
@pytest.mark.parametrize(
    ("told_in", "saved"), [(1, 1), (3, 3), (8, 8), (5, 6)], ids=["first", "epoch 1", "epoch 2", "at an epoch's end"]
)
def test_a_signal_saves_after_the_current_update(data, undisturbed, tmp_path, at_update, number, told_in, saved):
    at_update(told_in, lambda: os.kill(os.getpid(), number))
    with pytest.raises(SystemExit) as stopped:
        train(data, tmp_path, "--max-update", UPDATES)
    assert stopped.value.code == STOPPED
    assert updates_of(tmp_path) == saved
    assert_equal_states(train(data, tmp_path, "--max-update", UPDATES), load(undisturbed))
    assert updates_of(tmp_path, "checkpoint_best.pt") == updates_of(undisturbed, "checkpoint_best.pt")
    assert metrics(tmp_path) == metrics(undisturbed)


def test_a_signal_in_the_last_update_changes_nothing(data, undisturbed, tmp_path, at_update):
    at_update(UPDATES, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert_equal_states(train(data, tmp_path, "--max-update", UPDATES), load(undisturbed))


def test_a_finished_run_that_is_started_again_makes_no_update(data, undisturbed, tmp_path):
    """As after a kill between the last save and the end; fairseq would make one more update."""
    shutil.copytree(undisturbed, tmp_path / "run")
    before = (tmp_path / "run" / "checkpoint_last.pt").read_bytes()
    assert_equal_states(train(data, tmp_path / "run", "--max-update", UPDATES), load(undisturbed))
    assert (tmp_path / "run" / "checkpoint_last.pt").read_bytes() == before
    assert updates_of(tmp_path / "run") == UPDATES
    assert metrics(tmp_path / "run") == metrics(undisturbed)


def test_signals_have_their_old_effect_after_training(data, tmp_path):
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    train(data, tmp_path, "--max-update", 1)
    assert signal.signal(signal.SIGUSR1, before) == signal.SIG_IGN


def start(arguments):
    """A training program in a process group of its own; returns when it has done its first update."""
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    for line in process.stdout:
        if '"train_inner"' in line or "train_inner |" in line or '"loss"' in line:
            return process
    raise AssertionError(f"ended with {process.wait()} before its first update")


def test_a_signal_to_the_whole_group_leaves_data_loaders_alone(data, tmp_path):
    process = start(command(data, tmp_path, "--max-update", 100000, "--num-workers", 2))
    os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == STOPPED, output
    stopped_at = int(re.search(r"stopped by a signal after update (\d+), which is saved", output)[1])
    assert updates_of(tmp_path) == stopped_at


def two_workers(data, folder, *extra):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        command(
            data, folder, "--distributed-world-size", 2, "--distributed-rank", rank, "--distributed-backend", "gloo",
            "--distributed-no-spawn", "--ddp-backend", "legacy_ddp", "--load-checkpoint-on-all-dp-ranks",
            "--distributed-init-method", f"tcp://127.0.0.1:{port}", *extra,
        )
        for rank in range(2)
    ]  # fmt: skip


def test_a_signal_to_one_worker_stops_all_of_them_at_the_same_update(data, tmp_path):
    processes = [
        subprocess.Popen(each, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for each in two_workers(data, tmp_path, "--max-update", 100000)
    ]
    deadline = time.monotonic() + 120
    while not (tmp_path / "checkpoint_last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    processes[1].send_signal(signal.SIGUSR1)
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [STOPPED, STOPPED], outputs
    said = re.search(r"stopped by a signal after update (\d+)", outputs[0])[1]
    assert int(said) == updates_of(tmp_path)
    more = int(said) + 3
    for each in [subprocess.Popen(each) for each in two_workers(data, tmp_path, "--max-update", more)]:
        assert each.wait(timeout=120) == 0
    assert updates_of(tmp_path) == more


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_a_byte, cut, empty])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(data, undisturbed, tmp_path, damage, caplog):
    caplog.set_level(logging.INFO)
    train(data, tmp_path, "--max-update", 7)  # saves at 5 and 7
    assert updates_of(tmp_path, "checkpoint_previous.pt") == 5
    (tmp_path / "checkpoint_best.pt").unlink()  # may be the same file
    damage(tmp_path / "checkpoint_last.pt")
    state = train(data, tmp_path, "--max-update", UPDATES)
    assert "is damaged (kept as checkpoint_last.pt.damaged); going on from checkpoint_previous.pt" in caplog.text
    assert "@ 5 updates" in caplog.text
    assert_equal_states(state, load(undisturbed))
    assert (tmp_path / "checkpoint_last.pt.damaged").exists()


def test_a_damaged_checkpoint_without_one_before_is_an_error(data, tmp_path):
    train(data, tmp_path, "--max-update", 1)
    cut(tmp_path / "checkpoint_last.pt")
    result = run(data, tmp_path, "--max-update", 2)
    assert result.returncode == 2
    assert "checkpoint_last.pt: truncated or not a checkpoint" in result.stderr.splitlines()[-1]


def test_a_removed_checkpoint_means_to_begin_anew(data, tmp_path):
    train(data, tmp_path, "--max-update", 7)
    (tmp_path / "checkpoint_last.pt").unlink()
    assert checkpoint_safety.fall_back(tmp_path) is None


def test_a_crash_while_saving_leaves_whole_files(data, undisturbed, tmp_path, monkeypatch):
    """The copy to checkpoint_last.pt is where fairseq alone would leave half a file."""
    train(data, tmp_path, "--max-update", 7)
    with monkeypatch.context() as crash:
        crash.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path, "--max-update", 10)
    assert updates_of(tmp_path) == 7
    assert not list(tmp_path.glob("*.tmp"))
    assert_equal_states(train(data, tmp_path, "--max-update", UPDATES), load(undisturbed))


def test_a_full_disk_is_one_clear_line(data, tmp_path, monkeypatch):
    train(data, tmp_path, "--max-update", 3)

    def full(state, filename, **_):
        Path(f"{filename}.tmp").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint_utils, "torch_persistent_save", full)
    with pytest.raises(
        InputError, match=r"the disk is full, so update 5 was not saved; the checkpoint before is whole"
    ):
        train(data, tmp_path, "--max-update", 7)
    assert updates_of(tmp_path) == 3
    assert not list(tmp_path.glob("*.tmp"))


def test_a_disk_that_is_really_full(data, tmp_path):
    """torch gives its own error there; a file system of 700 kB, which root can make on Linux."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small file system can be mounted here (not root)")
    try:
        result = run(data, disk, "--max-update", 12, "--encoder-embed-dim", 32)
        last = result.stderr.splitlines()[-1]
        assert result.returncode == 2
        assert "the disk is full, so update 10 was not saved; the checkpoint before is whole" in last
        assert updates_of(disk) == 5
        assert not list(disk.glob("*.tmp"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_other_errors_of_saving_stay_what_they_are(data, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(checkpoint_utils, "torch_persistent_save", refuse)
    with pytest.raises(PermissionError):
        train(data, tmp_path, "--max-update", 1)


def test_put_in_place_where_links_are_not_possible(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"old")
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links here")))
    checkpoint_safety.put_in_place(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"new"
    assert (tmp_path / "b").stat().st_ino != (tmp_path / "a").stat().st_ino
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_checkpoints_are_links_and_saving_again_does_not_write_through_them(data, tmp_path):
    state = train(data, tmp_path, "--max-update", 5)
    shutil.copytree(tmp_path, tmp_path / "copy", ignore=lambda *_: ["copy"])
    best, last = tmp_path / "checkpoint_best.pt", tmp_path / "checkpoint_last.pt"
    assert best.stat().st_ino == last.stat().st_ino
    torch.save({"other": 1}, tmp_path / "new.pt")
    os.replace(tmp_path / "new.pt", best)
    assert_equal_states(load(tmp_path), state)


@pytest.mark.parametrize("option", ["--no-last-checkpoints", "--no-save-optimizer-state"])
def test_a_stop_saves_what_a_run_goes_on_from(data, tmp_path, undisturbed, at_update, option):
    at_update(8, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    with pytest.raises(SystemExit):
        train(data, tmp_path, "--max-update", UPDATES, option)
    assert updates_of(tmp_path) == 8
    train(data, tmp_path, "--max-update", UPDATES)
    assert_equal_states(load(undisturbed), load(tmp_path))


def test_no_old_last_checkpoint_of_a_stop_stays_behind(data, tmp_path, undisturbed, at_update):
    """`--no-last-checkpoints` to the end: it would be evaluated in good faith, and the rest be trained again."""
    at_update(8, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    with pytest.raises(SystemExit):
        train(data, tmp_path, "--max-update", UPDATES, "--no-last-checkpoints")
    state = train(data, tmp_path, "--max-update", UPDATES, "--no-last-checkpoints")
    assert updates_of(tmp_path) == UPDATES
    assert_equal_states(state, load(undisturbed))


def test_a_stop_of_a_run_that_saves_nothing_does_not_claim_to_have_saved(data, tmp_path, at_update, caplog):
    at_update(8, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    with pytest.raises(SystemExit), caplog.at_level(logging.INFO):
        train(data, tmp_path, "--max-update", UPDATES, "--no-save")
    assert "stopped by a signal after update 8, and --no-save: nothing of it is saved" in caplog.text
    assert not list(tmp_path.glob("*.pt"))
