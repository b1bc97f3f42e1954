"""Stages: skipped when done, resumed when interrupted, redone when inputs changed; signals, locks, what is shown."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairseq_xling.command import STOPPED
from fairseq_xling.formats.errors import InputError
from fairseq_xling.runs.identity import HASHED, Identity, identity, known_by, significant
from fairseq_xling.runs.progress import PlainProgress, TrainingProgress, duration
from fairseq_xling.runs.record import Record, beside, last_line, read_record
from fairseq_xling.runs.stage import Stage, explain

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def same_signals():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def shell(script):
    return ["bash", "-c", script]


def run(stage):
    lines = []
    return stage.run(lines.append), lines


def test_done_once_and_then_skipped(tmp_path):
    out = tmp_path / "out"
    stage = Stage("make", out, shell(f"echo x >> {out}"))
    assert run(stage)[0] == 0
    status, lines = run(stage)
    assert (status, lines) == (0, [f"done ({out})"])
    assert out.read_text() == "x\n"
    assert read_record(beside(out, "make", "json")).state == "done"


@pytest.mark.parametrize("change", ["input", "command", "output gone"])
def test_done_again_when_something_changed(tmp_path, change):
    out, source = tmp_path / "out", tmp_path / "source"
    source.write_text("1")
    assert run(Stage("make", out, shell(f"cat {source} >> {out}"), [source]))[0] == 0
    command = shell(f"cat {source} >> {out}")
    if change == "input":
        source.write_text("2")
    elif change == "command":
        command = shell(f"cat {source} {source} >> {out}")
    else:
        out.unlink()
    status, lines = run(Stage("make", out, command, [source]))
    assert status == 0
    assert out.read_text() == {"input": "2", "command": "11", "output gone": "1"}[change]
    if change == "input":
        assert lines[0] == f"changed: {source}; it is done again"


def test_a_file_that_was_only_touched_has_not_changed(tmp_path):
    out, source = tmp_path / "out", tmp_path / "source"
    source.write_text("1")
    stage = Stage("make", out, shell(f"echo x >> {out}"), [source])
    run(stage)
    os.utime(source, (1, 1))
    run(stage)
    assert out.read_text() == "x\n"


def test_interrupted_work_is_given_to_the_command_again(tmp_path):
    out = tmp_path / "out"
    stage = Stage("make", out, shell(f"mkdir -p {out}; echo x >> {out}/log; test $(wc -l < {out}/log) = 2"))
    status, lines = run(stage)
    assert status == 1
    assert read_record(beside(out, "make", "json")).state == "failed"
    status, lines = run(stage)
    assert status == 0
    assert lines[0].startswith("goes on")


def test_interrupted_work_from_other_inputs_is_not_gone_on_with(tmp_path):
    out = tmp_path / "out"
    run(Stage("make", out, shell(f"mkdir -p {out}; echo old >> {out}/log; exit 1")))
    assert run(Stage("make", out, shell(f"mkdir -p {out}; echo new >> {out}/log")))[0] == 0
    assert (out / "log").read_text() == "new\n"


def test_a_model_made_from_other_inputs_is_kept_under_another_name(tmp_path):
    out = tmp_path / "model"
    for number in (1, 2, 3):
        assert run(Stage("train", out, shell(f"mkdir {out}; echo {number} > {out}/last"), when_changed="keep"))[0] == 0
    assert (out / "last").read_text() == "3\n"
    kept = sorted(path.name for path in tmp_path.glob("model.replaced-*"))
    assert kept == ["model.replaced-1", "model.replaced-2"]
    assert (tmp_path / "model.replaced-2/last").read_text() == "2\n"


def test_a_model_of_which_nothing_is_known_is_kept_too(tmp_path):
    out = tmp_path / "model"
    out.mkdir()
    (out / "last").write_text("somebody's\n")
    assert run(Stage("train", out, shell(f"mkdir {out}"), when_changed="keep"))[0] == 0
    assert (tmp_path / "model.replaced-1/last").read_text() == "somebody's\n"


def test_update_leaves_the_output_to_the_command(tmp_path):
    out = tmp_path / "scores"
    for number in (1, 2):
        run(Stage("scores", out, shell(f"mkdir -p {out}; touch {out}/{number}"), when_changed="update"))
    assert sorted(path.name for path in out.iterdir()) == ["1", "2"]


def test_a_command_that_does_not_make_its_output_has_failed(tmp_path):
    status, lines = run(Stage("train", tmp_path / "model", shell(f"mkdir {tmp_path}/model"), makes="best.pt"))
    assert status == 1
    assert "did not make" in lines[-1]


def test_a_missing_input_is_named(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path}/text: is missing; it is an input of stage 'vocabulary'"):
        run(Stage("vocabulary", tmp_path / "out", ["true"], [tmp_path / "text"]))


@pytest.mark.parametrize(
    ("script", "status", "says"),
    [
        ("echo bad option; exit 2", 2, "exit status 2: bad option"),
        ("echo last words; kill -9 $$", 1, "killed from outside (SIGKILL), often because memory ran out"),
        ("kill -SEGV $$", 1, "ended by SIGSEGV"),
        ("exit 137", 1, "killed from outside (SIGKILL)"),
    ],
)
def test_a_failure_is_explained(tmp_path, script, status, says):
    found, lines = run(Stage("make", tmp_path / "out", shell(script)))
    assert found == status
    assert says in lines[-1]
    record = read_record(beside(tmp_path / "out", "make", "json"))
    assert record.state == "failed"
    assert says in record.message


def test_a_machine_without_gpu_is_named_before_anything_is_done(tmp_path):
    stage = Stage("train", tmp_path / "out", shell(f"touch {tmp_path}/out"), gpus=99)
    with pytest.raises(InputError, match=r"torch finds \d+ GPUs on .*, needed are 99: ask for a node that has them"):
        run(stage)
    assert not (tmp_path / "out").exists()
    asked = Stage("train", tmp_path / "out", ["bash", "-c", 'touch "$0"', str(tmp_path / "out"), "--cpu"], gpus=99)
    assert run(asked)[0] == 0


@pytest.mark.parametrize("script", ["exit 75", "kill -TERM $$", "kill -USR1 $$"])
def test_a_command_that_was_stopped_by_a_signal_has_not_failed(tmp_path, script):
    assert run(Stage("train", tmp_path / "out", shell(script)))[0] == STOPPED
    assert read_record(beside(tmp_path / "out", "train", "json")).state == "stopped"


def test_a_program_that_is_not_there(tmp_path):
    status, lines = run(Stage("make", tmp_path / "out", ["no-such-program"]))
    assert status == 127
    assert "No such file" in lines[-1]


def start(folder, script, name="make"):
    command = [sys.executable, "-m", "fairseq_xling.runs.stage", name, str(folder / "out"), "--", *shell(script)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_command_as_sigterm(tmp_path, number):
    trapped = (
        f"trap 'echo saved > {tmp_path}/saved; exit 75' TERM; touch {tmp_path}/ready; while :; do sleep 0.05; done"
    )
    process = start(tmp_path, trapped)
    wait_for(tmp_path / "ready")
    process.send_signal(number)
    assert process.wait(timeout=30) == STOPPED
    assert (tmp_path / "saved").exists()


def test_a_second_interrupt_ends_a_command_that_does_not_listen(tmp_path):
    process = start(tmp_path, f"trap '' TERM; touch {tmp_path}/ready; while :; do sleep 0.05; done")
    wait_for(tmp_path / "ready")
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == STOPPED


def test_two_runs_of_one_stage_make_it_once(tmp_path):
    script = f"sleep 0.3; echo x >> {tmp_path}/out"
    processes = [start(tmp_path, script) for _ in range(3)]
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert (tmp_path / "out").read_text() == "x\n"
    assert sum("another run is making it; waiting" in each for each in said) >= 1


def test_a_run_waits_for_the_command_of_one_that_was_killed(tmp_path):
    first = start(tmp_path, f"touch {tmp_path}/ready; sleep 1; echo first >> {tmp_path}/order")
    wait_for(tmp_path / "ready")
    first.kill()
    first.wait()
    second = start(tmp_path, f"echo second >> {tmp_path}/order; touch {tmp_path}/out")
    assert second.wait(timeout=60) == 0
    assert (tmp_path / "order").read_text() == "first\nsecond\n"


def test_the_log_has_everything_and_the_terminal_the_telling_lines(tmp_path):
    numbers = {"epoch": 1, "nats": "5.12", "ups": "10", "num_updates": "25"}
    script = tmp_path / "fairseq-train"
    script.write_text(
        "#!/bin/bash\necho '2026-01-01 | INFO | x | parameters: 7 in all'\necho '2026-01-01 | INFO | x | chatter'\n"
        f"echo '2026-01-01 | INFO | train_inner | {json.dumps(numbers)}'\n"
    )
    script.chmod(0o755)
    _, lines = run(Stage("train", tmp_path / "out", [str(script), "--max-update", "125"]))
    assert lines[1:3] == [
        "parameters: 7 in all",
        "update 25 of 125: 5.12 nats a predicted token, 10 updates/s, 10 s left",
    ]
    assert "chatter" in (tmp_path / "out.train.log").read_text()


def test_progress_lines_come_now_and_then():
    now = [0.0]
    progress = TrainingProgress(["--max-update", "100"], lambda: now[0])
    line = '2026 | INFO | train_inner | {"num_updates": "10", "nats": "5", "ups": "2"}'
    assert progress.line(line) == "update 10 of 100: 5 nats a predicted token, 2 updates/s, 45 s left"
    assert progress.line(line) is None
    now[0] = 20.0
    assert progress.line(line) is not None
    valid = {"valid_num_updates": "10", "valid_nats": "4", "valid_nats_en": "3.5", "valid_nats_fr": "4.5"}
    assert (
        progress.line(f"2026 | INFO | valid | {json.dumps(valid)}")
        == "update 10: 4 nats a predicted dev token (en 3.5, fr 4.5)"
    )
    bar = PlainProgress(lambda: now[0])
    assert bar.bar("50%") is None
    now[0] = 40.0
    assert bar.bar("60%") == "60%"


def test_seconds_for_people():
    assert [duration(x) for x in (40, 720, 12_600)] == ["40 s", "12 min", "3.5 h"]


def test_how_a_run_is_started_and_shown_does_not_count():
    plain = [".venv/bin/fairseq-train", "DATA", "--lr", "1", "--seed", "2"]
    launched = ["srun", "--ntasks", "8", "python", "-m", "x", "/else/fairseq-train", "DATA", "--lr", "1"]
    launched += ["--num-workers", "4", "--log-interval=5", "--cpu", "--tensorboard-logdir", "logs", "--seed", "2"]
    assert significant(plain) == significant(launched) == ["fairseq-train", "DATA", "--lr", "1", "--seed", "2"]
    assert significant([".venv/bin/python", "a.py", "x"]) == significant(["/usr/bin/python3", "a.py", "x"])


def test_what_differs_is_named():
    before = identity(["fairseq-train", "DATA", "--lr", "1", "--cpu", "--clip", "5", "--lr", "2"], []).as_dict()
    now = identity(["fairseq-train", "DATA", "--lr", "3", "--seed", "4"], [])
    assert now.difference(before) == "--lr 3 (was 2), --seed 4 (new), no --clip"
    same = identity(["fairseq-train", "DATA", "--num-workers", "3", "--lr", "2", "--clip", "5"], [])
    assert same.difference(before) is None  # of an option that is given twice the last counts
    before = {"command": ["fairseq-train"], "inputs": {"a": "1", "b": "2"}}
    assert Identity(("fairseq-train",), {"a": "1"}).difference(before) == "b (no longer an input)"
    assert Identity(("fairseq-train",), {"a": "1", "b": "2", "c": "3"}).difference(before) == "c"


def test_large_files_are_known_by_size_and_time_and_folders_by_their_files(tmp_path):
    with open(tmp_path / "large", "wb") as out:
        out.truncate(HASHED + 1)
    assert known_by(tmp_path / "large").startswith(f"{HASHED + 1} bytes of ")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("a")
    first = known_by(folder)
    (folder / "b").write_text("b")
    assert known_by(folder) != first


def test_a_record_that_is_none(tmp_path):
    (tmp_path / "x.json").write_text('{"something": "else"}')
    with pytest.raises(InputError, match="not the record of a stage"):
        read_record(tmp_path / "x.json")
    assert read_record(tmp_path / "missing.json") is None


def test_a_running_stage_whose_process_is_gone_does_not_live(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    record = Record("make", str(tmp_path / "out"), pid=gone.pid)
    assert not record.lives()
    assert Record("make", str(tmp_path / "out"), pid=os.getpid()).lives()
    elsewhere = Record("make", str(tmp_path / "out"), host="another")
    elsewhere.write()
    assert elsewhere.lives()
    os.utime(elsewhere.path, (1, 1))
    assert not elsewhere.lives()


def test_of_several_processes_the_reason_is_what_the_first_to_fail_said(tmp_path):
    """As torchrun really reports it, after an attempt of one process; the end of its table says nothing."""
    elastic = "9309 /x/site-packages/torch/distributed/elastic/multiprocessing/api.py:1002]"
    lines = ["# 2026-11-26 19:58:25 on vm", "an earlier attempt", "# 2026-11-26 19:58:33 on vm"]
    lines += ["fairseq-train: --separate 1-99: there is no layer 99"]
    lines += [f"E1126 19:58:42.695000 {elastic} failed (exitcode: 2) local_rank: 0 (pid: 9321) of binary: /x/python"]
    lines += ["Traceback (most recent call last):", "  exitcode  : 2 (pid: 9321)", "=" * 60]
    (tmp_path / "log").write_text("\n".join(lines) + "\n")
    assert last_line(tmp_path / "log") == "fairseq-train: --separate 1-99: there is no layer 99"
    with open(tmp_path / "log", "a") as log:
        log.write("# 2026-11-26 20:00:00 on vm\nanother end\n")
    assert last_line(tmp_path / "log") == "another end"


def test_the_last_line_that_says_something(tmp_path):
    (tmp_path / "log").write_text("a\nTraceback\nValueError: no\n\n \n")
    assert last_line(tmp_path / "log") == "ValueError: no"
    assert last_line(tmp_path / "none") == ""
    assert explain(1, "ValueError: no") == "exit status 1: ValueError: no"


def test_bad_input_of_several_processes_keeps_its_status(tmp_path):
    """torchrun ends with 1; jobs that end with 2 are not started again."""
    report = "E1126 19:58:42.695000 9309 /x/torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: "
    for status, expected in ((2, 2), (1, 1), (-9, 1)):
        said = f"{report}{status}) local_rank: 0 (pid: 9321) of binary: /x/python"
        stage = Stage("pretrain", tmp_path / "model", ["bash", "-c", f"echo '{said}'; exit 1"])
        assert stage.run(lambda line: None) == expected


def test_the_reason_of_a_job_is_what_its_stage_said(tmp_path):
    """And not where its log is, or whether Slurm starts it again."""
    lines = [
        "19:58:25  job 8 (pretrain), start number 1, on n1",
        "19:58:33  pretrain: FAILED: exit status 2: no layer 99",
    ]
    lines += ["  the whole log: runs/m.pretrain.log", "19:58:33  job 8: died with status 1; start 1 of 3 again"]
    lines += ["19:58:33  Slurm refuses to start it again; submit it again yourself"]
    (tmp_path / "log").write_text("\n".join(lines) + "\n")
    assert last_line(tmp_path / "log") == "19:58:33  pretrain: FAILED: exit status 2: no layer 99"
