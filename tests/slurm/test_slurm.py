"""A real Slurm of two nodes on this machine: dependent jobs, preemption, a killed process, cancelling, two nodes."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from fairseq_xling.checkpoints import read_state
from fairseq_xling.formats.results import read_results
from tests.tasks.pretraining import assert_equal_states, load

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
NEEDED = ("slurmctld", "slurmd", "munged", "sbatch", "scontrol")
UPDATES = 300  # epochs of 50
TINY = (
    *("--encoder-layers", "2", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "16", "--separate", ""),
    *("--batch-size", "8", "--epoch-sequences", "400", "--log-interval", "1"),
    *("--warmup-updates", "20", "--dropout", "0.1"),
    *("--max-update", str(UPDATES), "--total-num-update", str(UPDATES)),
)
PAIR = "qaa-qab"
pytestmark = pytest.mark.slow


def environment(runs):
    return {
        **os.environ, "RUNS": str(runs), "LAB_OPTIONS": "--sentences 400 --gold 0.1",
        "GRID_FILE": str(HERE / "grid.toml"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Starts Slurm, and sets SLURM_CONF."""
    if os.environ.get("XLING_TEST_SLURM") != "1":
        pytest.skip("it starts system daemons and takes minutes: make test-slurm runs it")
    missing = [program for program in NEEDED if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)}: tests/slurm/slurm.sh install (Debian, as root) brings them")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons are started by root only")
    folder = tmp_path_factory.mktemp("slurm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1] - 10_000 if free.getsockname()[1] > 40_000 else 16817
    settings = {"SLURM_TEST": str(folder), "PORT": str(port)}
    os.environ.update({**settings, "SLURM_CONF": str(folder / "slurm.conf")})
    for parent in [folder, *folder.parents][:3]:
        parent.chmod(0o755)  # munge wants it
    script = HERE / "slurm.sh"
    started = subprocess.run([script, "start"], capture_output=True, text=True, check=False)
    if started.returncode:
        subprocess.run([script, "stop"], check=False)
        pytest.skip(f"Slurm does not start here: {started.stderr.strip()[-300:]}")
    yield folder
    subprocess.run(["scancel", "--user=root"], check=False)
    subprocess.run([script, "stop"], check=True)
    for name in (*settings, "SLURM_CONF"):
        del os.environ[name]


def submit(runs, *arguments):
    """train_scripts/submit.sh; Slurm's numbers by name of job."""
    command = ["bash", str(ROOT / "train_scripts/submit.sh"), *map(str, arguments)]
    sent = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(runs))
    assert sent.returncode == 0, sent.stderr
    return json.loads((runs / "jobs" / "slurm.json").read_text())


def job(number):
    """What scontrol shows of a job, as a dict."""
    shown = subprocess.run(
        ["scontrol", "--oneliner", "show", "job", number], capture_output=True, text=True, check=True
    )
    return dict(re.findall(r"(\w+)=(\S*)", shown.stdout.splitlines()[0]))


def wait_for(what, condition, seconds=1200):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"no {what} after {seconds} seconds")


def training_process(model):
    """Number of the fairseq-train process that saves to `model`, 0 if there is none."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        programs = [Path(word.decode(errors="replace")).name for word in words[:2]]
        if "fairseq-train" in programs and str(model).encode() in words:
            return int(path.parent.name)
    return 0


def last_update(model):
    lines = (model / "metrics.jsonl").read_text().splitlines() if (model / "metrics.jsonl").exists() else []
    return max((json.loads(line)["update"] for line in lines if line.endswith("}")), default=0)


def held(model, updates):
    """The training process, stopped in its tracks once it has done so many updates."""

    def hold():
        if last_update(model) < updates:
            return 0
        process = training_process(model)
        if process:
            os.kill(process, signal.SIGSTOP)
        return process

    process = wait_for(f"update {updates} in {model}", hold)
    assert last_update(model) < UPDATES
    return process


def undisturbed(runs, experiment, folder, *extra):
    """The same command as run.sh's, with another folder to save in, run at one go."""
    command = ["bash", str(ROOT / "train_scripts/run.sh"), experiment, PAIR, "--scale", "lab", "--stage", "pretrain"]
    command += ["--dry-run", "--", *TINY, *extra, "--save-dir", str(folder)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(runs))
    subprocess.run(shlex.split(shown.stdout), check=True, capture_output=True, cwd=ROOT, env=environment(runs))
    return load(folder)


@pytest.fixture(scope="module")
def matrix(slurm, tmp_path_factory):
    """Two experiments from text to table as jobs; one pretraining is preempted, the other killed."""
    runs = tmp_path_factory.mktemp("runs")
    for parent in [runs, *runs.parents][:3]:
        parent.chmod(0o755)
    arguments = ["default,no_anchors", PAIR, "--scale", "lab", "--parts", 2, "--machine", HERE / "machine.toml"]
    ids = submit(runs, *arguments, "--", *TINY)
    preempted, killed = (runs / name / PAIR / "seed1" for name in ("default", "no_anchors"))
    number = ids[f"pretrain.default.{PAIR}.seed1"]
    with ThreadPoolExecutor() as pool:  # either may run first, or both at a time
        to_be_killed = pool.submit(held, killed, 20)
        stopped_at = preempt(runs, preempted, number)
        os.kill(to_be_killed.result(), signal.SIGKILL)
    wait_for("end of all jobs", lambda: all(job(n)["JobState"] not in WAITING for n in ids.values()))
    return runs, ids, stopped_at


def preempt(runs, model, number):
    """A job of higher priority takes the node of a training in the middle of an epoch; its last update."""
    process = held(model, 20)
    node = job(number)["NodeList"]
    high = ["sbatch", "--parsable", "--partition=high", f"--nodelist={node}", "--cpus-per-task=4", "--output=/dev/null"]
    subprocess.run([*high, "--wrap", "sleep 2"], check=True, capture_output=True)
    told = runs / "jobs" / f"pretrain.default.{PAIR}.seed1.log"
    wait_for("preemption", lambda: job(number)["PreemptTime"] != "None")
    os.kill(process, signal.SIGCONT)
    wait_for("stop", lambda: "stopped by a signal; Slurm is asked to start it again" in told.read_text())
    return last_update(model)


WAITING = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "REQUEUED", "SUSPENDED", "PREEMPTED")


def test_all_jobs_end_well_in_the_order_of_their_dependencies(matrix):
    runs, ids, _ = matrix
    assert len(ids) == 9  # per experiment data, pretraining, fine-tuning (an array), scores; then the table
    assert {name: job(number)["JobState"] for name, number in ids.items()} == dict.fromkeys(ids, "COMPLETED")

    def times(path):
        record = json.loads((runs / path).read_text())
        return record["began"], record["ended"]

    for experiment in ("default", "no_anchors"):
        data = times(f"data-bin/{experiment}/{PAIR}.vocabulary.json")
        model = times(f"{experiment}/{PAIR}/seed1.pretrain.json")
        scores = times(f"transfer/{experiment}/{PAIR}/seed1.finetune.json")
        assert data[1] <= model[0] < model[1] <= scores[0]
        found = {result.task for result in read_results(runs / f"transfer/{experiment}/{PAIR}/seed1/results.jsonl")}
        assert found == {"nli", "ner", "parsing"}
    assert "no_anchors" in (runs / "tables" / "table1.md").read_text()


def test_both_disturbed_models_are_those_of_undisturbed_runs(matrix, tmp_path):
    runs, ids, stopped_at = matrix
    assert stopped_at % 50, "it was to be preempted in the middle of an epoch"
    for experiment in ("default", "no_anchors"):
        assert job(ids[f"pretrain.{experiment}.{PAIR}.seed1"])["Restarts"] == "1"
        assert_equal_states(
            load(runs / experiment / PAIR / "seed1"), undisturbed(runs, experiment, tmp_path / experiment)
        )
    said = (runs / "jobs" / f"pretrain.no_anchors.{PAIR}.seed1.log").read_text()
    assert "killed from outside (SIGKILL)" in said
    assert "start 1 of 2 again" in said


def test_status_shows_it(matrix):
    runs, _, _ = matrix
    command = ["bash", str(ROOT / "train_scripts/status.sh"), str(runs)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout
    assert f"{runs}: 7 done" in shown.stdout


def test_jobs_that_are_cancelled_stay_so_and_one_of_an_array_is_started_again_alone(slurm, tmp_path):
    (tmp_path / "jobs").mkdir()
    for parent in [tmp_path, *tmp_path.parents][:3]:
        parent.chmod(0o755)
    script = "trap 'sleep 1; exit 75' TERM; for i in $(seq 600); do sleep 0.1; done"
    command = ["sbatch", "--parsable", "--ntasks=1", "--array=1-2", f"--output={tmp_path}/%a.log"]
    command += ["train_scripts/job.sh", "work", "1", "bash", "-c", script]
    sent = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment(tmp_path))
    first, last = (f"{sent.stdout.strip()}_{part}" for part in (1, 2))  # the last has the number of the array
    wait_for("start", lambda: all((tmp_path / f"{part}.log").exists() for part in (1, 2)))
    time.sleep(1)
    subprocess.run(["scancel", "--signal=USR1", "--batch", last], check=True)
    wait_for("second start", lambda: "start number 2" in (tmp_path / "2.log").read_text())
    assert job(first)["Restarts"] == "0"
    subprocess.run(["scancel", first, last], check=True)
    wait_for("end", lambda: all(job(number)["JobState"] not in WAITING for number in (first, last)))
    time.sleep(10)  # a job that is asked for again waits for some seconds
    for part, number in ((1, first), (2, last)):
        assert job(number)["JobState"] == "CANCELLED"
        assert "cancelled; not started again" in (tmp_path / f"{part}.log").read_text()


def test_one_run_on_two_nodes_equals_one_process(matrix, tmp_path):
    runs, _, _ = matrix
    options = ["--dropout", "0", "--adam-eps", "0.01", "--max-update", "30", "--update-freq", "2", "--seed", "5"]
    nodes = ["--machine", HERE / "two_nodes.toml"]
    ids = submit(runs, "default", PAIR, "--scale", "lab", "--seeds", 5, *nodes, "--", *TINY, *options)
    number = ids[f"pretrain.default.{PAIR}.seed5"]
    wait_for("end of the run on two nodes", lambda: job(number)["JobState"] not in WAITING)
    log = (runs / "jobs" / f"pretrain.default.{PAIR}.seed5.log").read_text()
    assert job(number)["JobState"] == "COMPLETED", log
    assert job(number)["NumNodes"] == "2"
    assert "update of 8 x 2 workers x 1 accumulated" in log.replace("updates", "update")
    one = undisturbed(runs, "default", tmp_path / "one", *options)
    two = read_state(runs / "default" / PAIR / "seed5" / "checkpoint_last.pt")
    for name, value in one["model"].items():
        assert torch.allclose(value, two["model"][name], atol=1e-5), name
    subprocess.run(["scancel", *ids.values()], check=False)
