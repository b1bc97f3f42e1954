"""run.sh: the commands of every experiment, bad input, and a run that is killed and goes on."""

import itertools
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fairseq_xling.checkpoints import read_state
from fairseq_xling.corpus.conditions import CONDITIONS
from fairseq_xling.runs.plan import ROWS
from tests.tasks.pretraining import assert_equal_states, load

from .scripts import ROOT, SCRIPTS, run

GOLDEN = Path(__file__).parent / "golden"


def commands(*arguments, **environment):
    shown = run("--dry-run", *arguments, **environment)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


@pytest.mark.parametrize("scale", ["paper", "lab"])
def test_the_commands_of_the_ten_rows(scale):
    """After a change that was meant: XLING_RENEW_GOLDEN=1 make test TESTS=tests/train_scripts, and read the diff."""
    pair = {"paper": "en-ru", "lab": "qaa-qab"}[scale]
    text = "".join(f"# {row}\n{commands(row, pair, '--scale', scale)}" for row in ROWS)
    path = GOLDEN / f"{scale}.txt"
    if os.environ.get("XLING_RENEW_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_the_pocket_scale_for_cpus_overrides_the_pocket_scale():
    """Its options come last, so that they win, and those that none can take back are left out."""
    script = {"script": "pocket_cpu.sh"}
    shown = run("run.sh", "sep_l1-6", "en-fr", "--dry-run", **script)
    assert shown.returncode == 0, shown.stderr
    _text, vocabulary, pretraining, finetuning = shown.stdout.splitlines()
    options = dict(itertools.pairwise(shlex.split(pretraining)))
    assert options["--separate"] == "1-6"
    assert options["--encoder-embed-dim"] == "128"
    assert options["--batch-size"] == "16"
    assert "--bf16-autocast" not in pretraining
    assert "runs/pocket-cpu/data-bin/default_anchors/en-fr" in vocabulary
    assert "eval/grids/pocket_cpu.toml" in finetuning
    wrong = run("submit.sh", **script)
    assert wrong.returncode == 2
    assert "usage: train_scripts/pocket_cpu.sh" in wrong.stderr


def test_the_recipe_of_the_paper():
    """Section 3.1 and XLM's defaults, number by number."""
    text, vocabulary, pretraining, finetuning = commands("default", "en-fr", "--scale", "paper").splitlines()
    words = shlex.split(pretraining)
    options = dict(itertools.pairwise(words))
    expected = {
        "--arch": "xling_base", "--tokens-per-sample": "256", "--batch-size": "96", "--update-freq": "8",
        "--max-update": "416800", "--epoch-sequences": "1600000", "--nproc-per-node": "8", "--blocks": "stream",
        "--lr": "1e-4", "--lr-scheduler": "inverse_sqrt", "--warmup-updates": "30000", "--warmup-init-lr": "1e-7",
        "--adam-betas": "(0.9, 0.999)", "--adam-eps": "1e-6", "--weight-decay": "0.01", "--clip-norm": "5",
        "--dropout": "0.1", "--attention-dropout": "0.1", "--mask-prob": "0.15", "--lang-sampling-alpha": "0.7",
        "--best-checkpoint-metric": "nats_en",
    }  # fmt: skip
    assert {name: options.get(name) for name in expected} == expected
    assert "--bf16-autocast" in words
    epochs, sequences_a_gpu = 200, 200_000
    assert int(options["--max-update"]) == epochs * -(-sequences_a_gpu // 96)
    assert "--bpe-joint 80000 --bpe-each 40000" in vocabulary
    assert "--scale paper" in finetuning
    assert '--sets wiki --langs "en fr"' in shlex.split(text)[2]


def test_what_experiments_fetch():
    for row, wanted in [("wiki_cc", "--sets cc100 --langs fr"), ("extra_anchors", "--sets panlex")]:
        assert wanted in shlex.split(commands(row, "en-fr", "--scale", "paper", "--stage", "text"))[2]
    assert "cc100" not in commands("default", "en-fr", "--scale", "paper", "--stage", "text")


def test_every_experiment_is_a_few_lines_that_name_a_condition():
    for path in (SCRIPTS / "experiments").glob("*.sh"):
        lines = path.read_text().splitlines()
        assert len(lines) <= 3, path
        named = [word.partition("=")[2] for line in lines for word in line.split() if word.startswith("CONDITION=")]
        assert all(name in CONDITIONS for name in named)
    assert {path.stem for path in (SCRIPTS / "experiments").glob("*.sh")} >= {*ROWS, "mono", "random"}


def test_options_after_the_dashes_come_last():
    line = commands("default", "qaa-qab", "--scale", "lab", "--stage", "pretrain", "--", "--lr", "7").rstrip()
    assert line.endswith("--lr 7")


def inputs_of_stages(folder, *arguments, **environment):
    """What each stage depends on, as run.sh tells it; nothing is run."""
    python = folder / "python"
    python.write_text(f"#!/bin/bash\nprintf '%s\\n' \"${{*@Q}}\" >> {folder}/calls\n")
    python.chmod(0o755)
    (folder / "calls").unlink(missing_ok=True)
    shown = run(*arguments, PYTHON=str(python), RUNS=str(folder), **environment)
    assert shown.returncode == 0, shown.stderr
    stages = {}
    for line in (folder / "calls").read_text().splitlines():
        words = shlex.split(line)
        if words[:2] == ["-m", "fairseq_xling.runs.stage"]:
            stages[words[2]] = words[words.index("--input") + 1 : words.index("--makes")]
    return stages


def test_the_scores_depend_on_the_file_of_the_grid(tmp_path):
    """Epochs or rates changed in it: the stage is done again, and makes what is missing."""
    arguments = ("default", "qaa-qab", "--scale", "lab", "--stage", "finetune")
    assert "eval/grids/lab.toml" in inputs_of_stages(tmp_path, *arguments)["finetune"]
    assert "my.toml" in inputs_of_stages(tmp_path, *arguments, GRID_FILE="my.toml")["finetune"]


@pytest.mark.parametrize("scale", ["pocket", "paper"])
def test_the_scores_depend_on_the_data_of_their_tasks_only(tmp_path, scale):
    """Own data for one task: the folders of the others are not asked for."""
    arguments = ("default", "en-fr", "--scale", scale, "--stage", "finetune")
    for options, folders in (
        ((), {"nli", "ner", "ud"}),
        (("--tasks", "ner"), {"ner"}),
        (("--tasks", "parsing"), {"ud"}),
    ):
        inputs = inputs_of_stages(tmp_path, *arguments, *options)["finetune"]
        assert {Path(name).name for name in inputs[3:]} == folders


def test_switched_text_depends_on_the_dictionaries(tmp_path):
    """Those of the pair, or of both with English, as build_condition takes them; others and other conditions not."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/bash\nprintf '%s\\n' \"$*\" >> {tmp_path}/calls\n")
    python.chmod(0o755)
    (tmp_path / "lab/dictionaries").mkdir(parents=True)
    for pair in ("qaa-qab", "en-qaa", "qaa-qac"):
        (tmp_path / f"lab/dictionaries/{pair}.weighted.tsv").write_text("soti\tgemu\t0.5\n")
    for experiment in ("extra_anchors", "default"):
        arguments = (experiment, "qaa-qab", "--scale", "lab", "--stage", "vocabulary")
        assert run(*arguments, PYTHON=str(python), RUNS=str(tmp_path)).returncode == 0
    switched, plain = (tmp_path / "calls").read_text().splitlines()
    assert [word.split("/")[-1] for word in switched.split() if "/dictionaries/" in word] == [
        "qaa-qab.weighted.tsv",
        "en-qaa.weighted.tsv",
    ]
    assert "dictionaries" not in plain


@pytest.mark.parametrize("written", ["runs/x/", "./runs/x", "runs//./x", f"{ROOT}/runs/x/"])
def test_the_same_folder_of_runs_is_the_same_however_it_is_written(written):
    """A shell completes a name with a slash; everything would be made again for that."""
    arguments = ("default", "qaa-qab", "--scale", "lab")
    assert commands(*arguments, RUNS=written) == commands(*arguments, RUNS="runs/x")


@pytest.mark.parametrize("written", [str(ROOT), f"{ROOT}/"])
def test_the_repository_itself_as_the_folder_of_runs(written):
    """Without its name everything would be made in the root of the file system."""
    shown = run("default", "qaa-qab", "--scale", "lab", "--stage", "text", "--dry-run", RUNS=written)
    assert f"{ROOT}/lab" in shlex.split(shown.stdout)


@pytest.mark.parametrize(("options", "gpus"), [([], 1), (["--scores"], 0)])
def test_the_means_of_the_parts_need_no_gpu(tmp_path, options, gpus):
    """At paper scale fine-tuning does; the job after its array is of a kind that has none (machines/slurm.toml)."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/bash\nprintf '%s\\n' \"$*\" >> {tmp_path}/calls\n")
    python.chmod(0o755)
    arguments = ("default", "en-fr", "--scale", "paper", "--stage", "finetune", *options)
    assert run(*arguments, PYTHON=str(python), RUNS=str(tmp_path)).returncode == 0
    assert f"runs.stage finetune {tmp_path}/transfer/default/en-fr/seed1 " in (tmp_path / "calls").read_text()
    assert f" --gpus {gpus} -- " in (tmp_path / "calls").read_text()
    assert (tmp_path / "calls").read_text().rstrip().endswith("--scores") == bool(options)  # else it would fine-tune


def test_processes_are_started_by_torchrun_and_under_slurm_by_srun():
    options = ("default", "qaa-qab", "--scale", "lab", "--stage", "pretrain")
    assert "fairseq_xling.runs.process" not in commands(*options)
    assert "torch.distributed.run --standalone --nproc-per-node 2 -m" in commands(*options, "--processes", "2")
    slurm = commands(*options, SLURM_JOB_ID="7", SLURM_NTASKS="4", SLURM_CPUS_PER_TASK="3")
    assert slurm.startswith("srun --kill-on-bad-exit=1 --ntasks 4 --cpus-per-task 3 ")
    assert "srun" not in commands(*options, SLURM_JOB_ID="7", SLURM_NTASKS="1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["default"], "usage:"),
        (["defualt", "qaa-qab", "--scale", "lab"], "no experiment 'defualt'; there are default default_anchors"),
        (["default", "qaa-qab", "--scale", "large"], "--scale 'large': expected lab, pocket or paper"),
        (["default", "qaa-qab", "--scale", "lab", "--seed", "one"], "'one': expected a number"),
        (["default", "qaa-qab", "--scale", "lab", "--stage", "train"], "no stage 'train'"),
        (["default", "qaa-qab", "--scale"], "--scale needs a value"),
        (["default", "qaa-qab", "qac", "--scale", "lab"], "one word too many: qac"),
        (["default", "pt-br-en", "--scale", "pocket"], "a language code has none, so write pt_br"),
        (["default", "qaa-qab", "--fast"], "unknown option --fast"),
    ],
)
def test_bad_input(arguments, says):
    shown = run(*arguments)
    assert shown.returncode == 2
    assert says in shown.stderr


@pytest.mark.parametrize("script", ["run.sh", "table1.sh", "submit.sh", "status.sh"])
def test_help(script):
    shown = run("-h", script=script)
    assert shown.returncode == 0
    assert "example" in shown.stdout


TINY = ["--encoder-layers", "2", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "16", "--dropout", "0.1"]
TINY += ["--batch-size", "8", "--epoch-sequences", "160", "--log-interval", "1", "--warmup-updates", "20"]
UPDATES = 90  # epochs of 20
PRETRAIN = ["default_anchors", "qaa-qab", "--scale", "lab"]
MANY = ["--", *TINY, "--max-update", str(UPDATES), "--total-num-update", str(UPDATES)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder of runs with text and vocabulary."""
    runs = tmp_path_factory.mktemp("runs")
    made = run(*PRETRAIN, "--stage", "text", "--stage", "vocabulary", RUNS=str(runs), LAB_OPTIONS=LAB)
    assert made.returncode == 0, made.stderr
    return runs


LAB = "--sentences 300 --gold 0.02"


def pretrain(world, *options):
    return run(*PRETRAIN, "--stage", "pretrain", *options, RUNS=str(world), LAB_OPTIONS=LAB)


def started(world, *options):
    """run.sh in the background; returns when training has done some updates."""
    process = subprocess.Popen(
        ["bash", str(SCRIPTS / "run.sh"), *PRETRAIN, "--stage", "pretrain", *options],
        env={**os.environ, "RUNS": str(world), "LAB_OPTIONS": LAB}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    seed = options[options.index("--seed") + 1]
    metrics = world / f"default_anchors/qaa-qab/seed{seed}/metrics.jsonl"
    deadline = time.monotonic() + 300
    while not (metrics.exists() and metrics.read_text().count("train_inner") >= 30):
        assert time.monotonic() < deadline, "no updates"
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    return process


def children(number):
    listing = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout.split()[2:]
    mine = [int(pid) for pid, parent in zip(listing[::2], listing[1::2], strict=True) if int(parent) == number]
    return mine + [each for child in mine for each in children(child)]


@pytest.mark.slow
def test_killed_or_told_in_the_middle_and_run_again_it_ends_as_if_undisturbed(world):
    whole = pretrain(world, "--seed", "3", *MANY)
    assert whole.returncode == 0, whole.stderr
    model = world / "default_anchors/qaa-qab/seed3"
    expected = load(model)
    os.replace(model, world / "undisturbed")

    killed = started(world, "--seed", "3", *MANY)  # its output is gone, so it is done again
    for process in children(killed.pid):
        words = Path(f"/proc/{process}/cmdline").read_text().split("\0")[:2]
        if any(word.endswith("fairseq-train") for word in words):
            os.kill(process, signal.SIGKILL)
    _, said = killed.communicate(timeout=60)
    assert killed.returncode == 1
    assert "killed from outside (SIGKILL)" in said

    (model / "metrics.jsonl").unlink()  # so that `started` waits for updates of this run
    told = started(world, "--seed", "3", *MANY)
    told.send_signal(signal.SIGTERM)
    _, said = told.communicate(timeout=60)
    assert told.returncode == 75, said
    assert "the same command goes on from there" in said
    updates = read_state(model / "checkpoint_last.pt")["optimizer_history"][-1]["num_updates"]
    assert 20 < updates < UPDATES

    again = pretrain(world, "--seed", "3", *MANY)
    assert again.returncode == 0, again.stderr
    assert "goes on" in again.stderr
    assert_equal_states(load(model), expected)
    assert "done (" in pretrain(world, "--seed", "3", *MANY).stderr


@pytest.mark.slow
def test_two_processes_by_torchrun_stop_and_go_on_together(world):
    options = ["--seed", "4", "--processes", "2"]
    process = started(world, *options, *MANY)
    process.send_signal(signal.SIGUSR1)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75, said
    again = pretrain(world, *options, *MANY)
    assert again.returncode == 0, again.stderr
    state = load(world / "default_anchors/qaa-qab/seed4")
    assert state["optimizer_history"][-1]["num_updates"] == UPDATES
    assert "4 x 2 workers" in (world / "default_anchors/qaa-qab/seed4.pretrain.log").read_text()
