"""Plans of jobs, this machine as a cluster, the job script's answer to every way to end, and the state of things."""

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fairseq_xling.formats.errors import InputError
from fairseq_xling.runs import slurm
from fairseq_xling.runs.local import LocalRunner, unrolled
from fairseq_xling.runs.plan import ROWS, Job, Machine, Plan, read_machine
from fairseq_xling.runs.record import Record, beside
from fairseq_xling.runs.status import stages, waiting

ROOT = Path(__file__).resolve().parents[2]


def test_the_whole_matrix():
    plan = Plan("paper", parts=30)
    plan.table(ROWS, ["en-fr"], [1, 2])
    names = [job.name for job in plan.jobs]
    assert len(names) == len(set(names))
    kinds = [job.kind for job in plan.jobs]
    assert kinds.count("data") == 6  # joint, web text, prefixed, union, code-switched, separate
    assert (kinds.count("pretrain"), kinds.count("finetune"), kinds.count("scores")) == (20, 20, 21)
    for place, job in enumerate(plan.jobs):
        assert set(job.after) <= set(names[:place]), f"{job.name} comes before what it waits for"
    by_name = {job.name: job for job in plan.jobs}
    assert by_name["pretrain.sep_l1-3.en-fr.seed2"].after == ("data.default_anchors.en-fr",)
    assert by_name["finetune.wiki_cc.en-fr.seed1"].array == 30
    assert by_name["finetune.wiki_cc.en-fr.seed1"].command[-2:] == ("--part", "{part}/30")
    assert by_name["scores.wiki_cc.en-fr.seed1"].command[-1] == "--scores"  # such a job has no GPU
    assert len(by_name["table1"].after) == 20


def test_the_models_of_the_figures():
    plan = Plan("lab", ("--max-update", "5"))
    plan.figures("qaa", ["qab", "qac"], [1], "no_anchors")
    after = plan.jobs[-1].after
    assert set(after) == {
        *("pretrain.mono.qaa.seed1", "pretrain.mono.qaa.seed2", "pretrain.mono.qab.seed1", "pretrain.mono.qac.seed1"),
        *("pretrain.no_anchors.qaa-qab.seed1", "pretrain.no_anchors.qaa-qac.seed1"),
    }
    assert plan.jobs[-1].command[-3:] == ("--", "--max-update", "5")


def test_an_array_on_this_machine_is_so_many_jobs():
    jobs = unrolled(
        [Job("a", "data", ("x",)), Job("b", "finetune", ("y", "{part}/2"), ("a",), 2), Job("c", "scores", (), ("b",))]
    )
    assert [(job.name, job.command, job.after) for job in jobs] == [
        ("a", ("x",), ()),
        ("b.1", ("y", "1/2"), ("a",)),
        ("b.2", ("y", "2/2"), ("a",)),
        ("c", (), ("b.1", "b.2")),
    ]


def shell(script):
    return ("bash", "-c", script)


def run_locally(folder, jobs, at_a_time=2, most_failures=1):
    lines = []
    return LocalRunner(folder, at_a_time, most_failures, lines.append).run(jobs), "\n".join(lines)


def test_jobs_run_after_those_that_they_wait_for(tmp_path):
    log = tmp_path / "order"
    jobs = [
        Job("first", "data", shell(f"sleep 0.3; echo first >> {log}")),
        Job("second", "pretrain", shell(f"echo second >> {log}"), ("first",)),
        Job("parts", "finetune", shell(f"echo part {{part}} >> {log}"), ("second",), 2),
        Job("last", "scores", shell(f"echo last >> {log}"), ("parts",)),
    ]
    status, said = run_locally(tmp_path, jobs)
    assert status == 0, said
    lines = log.read_text().split("\n")[:-1]
    assert lines[:2] == ["first", "second"]
    assert sorted(lines[2:4]) == ["part 1", "part 2"]
    assert lines[4:] == ["last"]


@pytest.mark.parametrize(("most", "starts", "status"), [(0, 1, 1), (2, 3, 1), (3, 4, 0)])
def test_a_job_that_dies_is_started_again_so_many_times(tmp_path, most, starts, status):
    count = tmp_path / "count"
    job = Job("dies", "pretrain", shell(f"echo x >> {count}; test $(wc -l < {count}) -ge 4"))
    found, said = run_locally(tmp_path, [job, Job("later", "scores", ("true",), ("dies",))], most_failures=most)
    assert found == status
    assert count.read_text().count("x") == starts
    assert ("later: not started, as what it waits for failed" in said) == (status == 1)


def test_bad_input_is_not_tried_again_and_a_signal_is_no_failure(tmp_path):
    count = tmp_path / "count"
    status, said = run_locally(tmp_path, [Job("bad", "data", shell(f"echo x >> {count}; echo no such file; exit 2"))])
    assert (status, count.read_text()) == (1, "x\n")
    assert "bad: FAILED with status 2: no such file" in said
    stopped = Job("stopped", "pretrain", shell(f"echo y >> {count}; test $(grep -c y {count}) = 3 || exit 75"))
    assert run_locally(tmp_path, [stopped], most_failures=0)[0] == 0


def test_a_signal_stops_the_jobs_on_this_machine(tmp_path):
    ready = tmp_path / "ready"
    job = Job("long", "pretrain", shell(f"trap 'exit 75' TERM; touch {ready}; while :; do sleep 0.05; done"))

    def tell():
        deadline = time.monotonic() + 60
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    teller = threading.Thread(target=tell)
    teller.start()
    status, said = run_locally(tmp_path, [job, Job("later", "scores", ("true",), ("long",))])
    teller.join()
    assert status == 75
    assert "later" not in said
    assert signal.signal(signal.SIGTERM, before) == signal.SIG_DFL


def test_a_signal_reaches_a_job_that_is_just_being_started(tmp_path, monkeypatch):
    """It arrives after the process is there, and before the runner has noted it."""
    really = subprocess.Popen

    def popen(*arguments, **options):
        process = really(*arguments, **options)
        os.kill(os.getpid(), signal.SIGTERM)
        return process

    monkeypatch.setattr(subprocess, "Popen", popen)
    status, _ = run_locally(tmp_path, [Job("long", "pretrain", ("sleep", "1000"))])
    assert status == 75


def test_the_commands_for_slurm(tmp_path):
    machine = Machine("slurm", 3, sbatch={"finetune": ("--gpus=1",)})
    job = Job("fine", "finetune", ("run", "{part}/4"), ("a", "b"), 4)
    command = slurm.sbatch_command(job, machine, tmp_path, {"a": "11", "b": "12"})
    assert "--dependency=afterok:11:12" in command
    assert "--kill-on-invalid-dep=yes" in command
    assert "--array=1-4" in command
    assert "--gpus=1" in command
    assert command[-5:] == ["train_scripts/job.sh", "fine", "3", "run", "{part}/4"]


def fake(folder, name, script):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(0o755)


def test_when_sbatch_refuses_a_job_those_before_are_cancelled(tmp_path, monkeypatch):
    fake(
        tmp_path / "bin",
        "sbatch",
        f'echo x >> {tmp_path}/n; [ $(wc -l < {tmp_path}/n) = 1 ] && echo 41 && exit; echo "no partition" >&2; exit 1',
    )
    fake(tmp_path / "bin", "scancel", f'echo "$@" > {tmp_path}/cancelled')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with pytest.raises(InputError, match="sbatch refuses b: no partition"):
        slurm.submit([Job("a", "data", ("x",)), Job("b", "data", ("x",))], Machine("slurm"), tmp_path)
    assert (tmp_path / "cancelled").read_text() == "41\n"


def job_script(folder, script, restarts=0, most=2, shown="JobState=RUNNING"):
    """train_scripts/job.sh with a pretended Slurm: status, what it said, and whether it asked to be started again."""
    fake(folder / "bin", "scontrol", f'[ $1 = show ] && echo "{shown}" || echo "$@" >> {folder}/asked')
    fake(folder / "bin", "sleep", "true")
    (folder / "jobs").mkdir(exist_ok=True)
    environment = {
        **os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "RUNS": str(folder), "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "n1", "SLURM_RESTART_COUNT": str(restarts),
    }  # fmt: skip
    (folder / "asked").unlink(missing_ok=True)
    done = subprocess.run(
        ["bash", "train_scripts/job.sh", "name", str(most), "bash", "-c", script],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr, (folder / "asked").exists()


def test_a_job_under_slurm_that_ends_well_or_has_bad_input(tmp_path):
    assert job_script(tmp_path, "exit 0")[::2] == (0, False)
    assert job_script(tmp_path, "exit 2")[::2] == (2, False)


def test_a_job_under_slurm_that_is_stopped_is_always_started_again(tmp_path):
    for restarts, end in enumerate(["exit 75", "kill -USR1 $$", "kill -TERM $$", "exit 75"]):
        status, said, asked = job_script(tmp_path, end, restarts, most=0)
        assert asked
        assert f"start number {restarts + 1}" in said
        assert status == 75
    assert (tmp_path / "asked").read_text() == "requeue 7\n"


@pytest.mark.parametrize(
    ("script", "shown", "again"),
    [
        ("exit 75", "JobState=COMPLETING Reason=None PreemptTime=None", False),  # scancel
        ("exit 1", "JobState=COMPLETING Reason=None", False),
        ("exit 75", "JobState=COMPLETING PreemptTime=2026-11-27T00:45:11", True),
        ("kill -USR1 $PPID; sleep 1; exit 75", "JobState=COMPLETING PreemptTime=None", True),  # saved after the limit
    ],
)
def test_a_job_that_was_cancelled_is_not_started_again(tmp_path, script, shown, again):
    status, said, asked = job_script(tmp_path, script, shown=shown)
    assert asked == again
    assert status == (1 if script == "exit 1" else 75)
    assert ("cancelled; not started again" in said) != again


def test_one_job_of_an_array_is_started_again_not_all(tmp_path, monkeypatch):
    """The array has the number of its last job, here 7, which would mean all of them."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert job_script(tmp_path, "exit 75")[2]
    assert (tmp_path / "asked").read_text() == "requeue 7_3\n"


def test_a_job_under_slurm_that_dies_is_started_again_so_many_times(tmp_path):
    assert [job_script(tmp_path, "exit 1", most=2)[2] for _ in range(3)] == [True, True, False]
    assert (tmp_path / "jobs" / "name.failures").read_text().count("status 1") == 3
    job_script(tmp_path, "exit 0")
    assert not (tmp_path / "jobs" / "name.failures").exists()


def test_the_parts_of_an_array_know_their_number(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    job_script(tmp_path, f"echo {{part}}/9 > {tmp_path}/part")
    assert (tmp_path / "part").read_text() == "3/9\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("via = 'cloud'", "expected via = "),
        ("via = 'local'\nat_a_time = 0", "at_a_time = 0: expected a number from 1"),
        ("via = 'local'\nmost_failures = '3'", "most_failures = '3'"),
        ("via = 'slurm'\n[sbatch]\ntrain = ['x']", "train: expected one of data, pretrain"),
        ("via = 'slurm'\n[sbatch]\ndata = 'x'", "data: expected one of"),
        ("via = 'slurm'\npartition = 'x'", "unknown entry 'partition'"),
        ("via = ", "not a machine's file"),
    ],
)
def test_a_wrong_file_of_a_machine(tmp_path, content, says):
    (tmp_path / "m.toml").write_text(content)
    with pytest.raises(InputError, match=says):
        read_machine(tmp_path / "m.toml")


def test_the_machines_that_come_with_the_project():
    for path in [*ROOT.glob("train_scripts/machines/*.toml"), *ROOT.glob("tests/slurm/*_nodes.toml")]:
        assert read_machine(path).via in ("slurm", "local")


def test_status(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name, state, pid in [
        ("a", "done", 1),
        ("b", "running", os.getpid()),
        ("c", "running", gone.pid),
        ("d", "failed", 1),
    ]:
        record = Record("pretrain", str(tmp_path / name), state=state, pid=pid, message="out of memory", ended=1.0)
        record.write()
        beside(tmp_path / name, "pretrain", "lock").touch()
        beside(tmp_path / name, "pretrain", "log").write_text(f"last line of {name}\n")
    (tmp_path / "b").mkdir()
    others = {f"number_{n}": n / 7 for n in range(20)}  # a real line has some 330 characters
    line = json.dumps({"phase": "train_inner", "update": 1200, "nats": 5.1234, **others})
    (tmp_path / "b/metrics.jsonl").write_text(f"{line}\n")
    (tmp_path / "manifest.json").write_text("{}")
    found = {line.what: line for line in stages(tmp_path)}
    assert {name: line.state for name, line in found.items()} == {
        "a": "done",
        "b": "running",
        "c": "lost",
        "d": "failed",
    }
    assert "update 1,200, 5.123 nats" in found["b"].detail
    assert "last line of c" in found["c"].detail
    assert "out of memory" in found["d"].detail
    command = [sys.executable, "-m", "fairseq_xling.runs.status", str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert shown.returncode == 1
    assert "1 done, 1 running, 1 lost, 1 failed" in shown.stdout
    for name, status in (("d", 1), ("c", 0)):  # one that is lost is as bad as one that failed
        beside(tmp_path / name, "pretrain", "json").unlink()
        assert subprocess.run(command, capture_output=True, check=False, cwd=ROOT).returncode == status


def submitted(folder, *words):
    environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "RUNS": str(folder)}
    command = [sys.executable, "-m", "fairseq_xling.runs.submit", *words, "--scale", "lab", "--machine", "slurm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr


def test_jobs_of_an_earlier_call_still_show_that_they_wait(tmp_path, monkeypatch):
    fake(tmp_path / "bin", "sbatch", f"echo x >> {tmp_path}/n; wc -l < {tmp_path}/n")
    fake(tmp_path / "bin", "squeue", r"printf '%s|N/A|PENDING|Priority\n' 1 2 3 4 5 6 7 8")
    submitted(tmp_path, "default", "qaa-qab")
    submitted(tmp_path, "sep_emb", "qaa-qab")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    found = {line.what: line.detail for line in waiting(tmp_path)}
    assert found["data.default.qaa-qab"] == "job 1: Priority"
    assert found["data.sep_emb.qaa-qab"] == "job 5: Priority"
    assert found["table1"] == "job 8: Priority"  # the later of two of the same name


def test_status_says_which_part_of_an_array_failed_and_why(tmp_path, monkeypatch):
    """squeue has a line for each part that is not pending; the order is Slurm's."""
    lines = ["7|1|COMPLETED|None", "7|2|FAILED|NonZeroExitCode", "7|3|RUNNING|None", "7|4-9|PENDING|Resources"]
    lines += ["8|N/A|CANCELLED|DependencyNeverSatisfied"]
    fake(tmp_path / "bin", "squeue", "printf '%s\\n' " + " ".join(f"'{line}'" for line in lines))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/slurm.json").write_text('{"fine": "7", "scores": "8"}')
    said = "19:58:25  job 9 (fine), start number 1, on n1\nthe grid has no task ner\n"  # as job.sh has it
    said += "19:58:33  job 9: bad input, see above; not started again\n"
    (tmp_path / "jobs/fine.2.log").write_text(said)
    assert [(line.state, line.what, line.detail) for line in waiting(tmp_path)] == [
        ("failed", "fine.2", "job 7 failed: the grid has no task ner"),
        ("waiting", "fine", "job 7, part 4-9: Resources"),
        ("failed", "scores", "job 8 cancelled: DependencyNeverSatisfied"),
    ]


def test_submit_refuses_what_it_does_not_know():
    for words, says in [
        (["defualt", "en-fr", "--scale", "lab"], "no experiment 'defualt'"),
        (["figures", "en-fr", "ru-zh", "--scale", "lab"], "the same first language"),
        (["figures", "en-fr", "--scale", "paper"], "--scale paper has none; expected lab or pocket"),
        (["default", "en-fr", "--scale", "paper", "--parts", "-1"], "--parts -1: expected a number from 1"),
        (["default", "en-fr", "--scale", "lab", "--machine", "nowhere.toml"], "nowhere.toml"),
    ]:
        command = [sys.executable, "-m", "fairseq_xling.runs.submit", *words]
        shown = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert shown.returncode == 2
        assert says in shown.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("bash -c 'trap \"exit 75\" TERM; touch ready; while :; do sleep 0.05; done'", 75),
        ("bash -c 'touch ready; while :; do sleep 0.05; done'", 75),  # it does not listen
        ("bash -c 'trap \"exit 0\" TERM; touch ready; while :; do sleep 0.05; done'", 0),  # it was about to end well
    ],
)
def test_scripts_pass_signals_on(tmp_path, number, command, status):
    script = f"cd {tmp_path}; source '{ROOT}/train_scripts/stages.sh'; passing_signals_on {command}; exit $?"
    # a shell cannot trap what was ignored when it began, as under nohup
    as_ever = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
    process = subprocess.Popen(["bash", "-c", script], preexec_fn=as_ever)
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(timeout=30) == status
