"""The grid: selection by the source's dev set, resuming, what is done again, warnings, grid files."""

import contextlib
import json
import os
import runpy
import shlex
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fairseq_xling.evaluation import grid
from fairseq_xling.evaluation.grid_file import Grid, Setting, read_grids, refuse_options_of_the_grid
from fairseq_xling.evaluation.processes import Job, run_jobs
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import Result, Run, append_results, parse_signature, read_results

from ..tasks.pretraining import ROOT

TINY = Grid(epochs=2, batch_size=(16,), lr=(0.003, 0.01), warmup=0.1, options=("--cpu",))


@pytest.fixture
def model(shared_model):
    databin, checkpoint = shared_model
    return grid.Model(checkpoint, databin, "en", "fr", "test", Run("default", "en-fr", "lab", 3))


def attempts_of(model, data, out, task="ner", wanted=TINY, **options):
    folder = grid.data_folder(data, task)
    return [
        grid.Attempt(model, task, folder, setting, wanted, out / task / setting.name, **options)
        for setting in wanted.settings()
    ]


def test_a_grid_from_training_to_summary(model, data, tmp_path):
    attempts = attempts_of(model, data, tmp_path)
    assert run_jobs([attempt.job() for attempt in attempts], 2, "test") == []
    assert all(attempt.is_done for attempt in attempts)
    for attempt in attempts:
        assert (attempt.folder / "predictions" / "fr.test.tsv").is_file()
        assert (attempt.folder / "log.txt").read_text().startswith(attempt.command)
        assert not (attempt.checkpoints / "checkpoint_last.pt").exists()
    results = {result.metric: result for result in grid.summarise(attempts)}
    tables = [{r.metric: r.value for r in read_results(attempt.folder / "results.jsonl")} for attempt in attempts]
    for metric in ("f1", "f1_source", "f1_source_dev"):
        assert results[metric].value == pytest.approx(sum(table[metric] for table in tables) / 2)
    parts = parse_signature(results["f1"].signature)
    assert parts["select"] == "mean_of_best_2_of_2_by_source_dev"
    assert set(parts["settings"].split("+")) == {"lr0.003_bs16", "lr0.01_bs16"}
    changed = replace(attempts[0], extra=("--feature-dropout", "0.1"))
    assert not changed.is_done  # other options: to be made again
    other = replace(attempts[0], model=replace(model, test_split="dev"))
    assert not other.is_done


def test_fine_tuning_has_the_seed_of_the_model(model, data, tmp_path):
    arguments = attempts_of(replace(model, run=replace(model.run, seed=7)), data, tmp_path)[0].arguments
    assert arguments[arguments.index("--seed") + 1] == "7"


@pytest.mark.parametrize("changed", ["ner/en.train.tsv", "ner/en.dev.tsv", "model.pt", "bin/manifest.json"])
def test_what_was_made_from_other_inputs_goes_away(model, data, tmp_path, changed):
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    shutil.copy(model.checkpoint, folder / "model.pt")
    shutil.copytree(model.vocabulary, folder / "bin")
    model = replace(model, checkpoint=folder / "model.pt", vocabulary=folder / "bin")
    (attempt,) = attempts_of(model, folder, tmp_path, wanted=replace(TINY, lr=(0.01,)))
    attempt.prepare()
    (attempt.checkpoints).mkdir()
    (attempt.checkpoints / "checkpoint_last.pt").touch()
    (attempt.folder / "results.jsonl").write_text("")
    attempt.prepare()  # nothing changed: kept, so that training goes on
    assert attempt.is_done
    assert (attempt.checkpoints / "checkpoint_last.pt").exists()
    with open(folder / changed, "ab") as out:
        out.write(b"abc\tO\n\n")
    (attempt,) = attempts_of(model, folder, tmp_path, wanted=replace(TINY, lr=(0.01,)))
    assert not attempt.is_done
    attempt.prepare()
    assert not attempt.checkpoints.exists()
    assert not (attempt.folder / "results.jsonl").exists()


def test_other_test_data_is_scored_without_training_again(model, data, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    (folder / "ner" / "en.test.tsv").unlink()
    only = replace(TINY, lr=(0.01,))
    (attempt,) = attempts_of(model, folder, tmp_path, wanted=only)
    grid.run_attempt(attempt)
    monkeypatch.setattr(grid, "train", lambda arguments: pytest.fail("trained again"))
    for text in ("abc\tO\n\n", "abc\tB-PER\n\n"):  # a test set of the source that comes later, and changes
        (folder / "ner" / "en.test.tsv").write_text(text)
        (attempt,) = attempts_of(model, folder, tmp_path, wanted=only)
        assert not attempt.is_done
        grid.run_attempt(attempt)
        assert attempt.is_done
    results = {result.metric: result for result in read_results(attempt.folder / "results.jsonl")}
    assert results["f1_source"].n == 1
    (attempt,) = attempts_of(replace(model, test_split="dev"), folder, tmp_path, wanted=only)
    grid.run_attempt(attempt)
    assert "f1_dev" in {result.metric for result in read_results(attempt.folder / "results.jsonl")}


def test_a_grid_of_the_code_before_is_done(model, data, tmp_path):
    (attempt,) = attempts_of(model, data, tmp_path, wanted=replace(TINY, lr=(0.01,)))
    attempt.prepare()
    (attempt.folder / "results.jsonl").touch()
    note = attempt.folder / "inputs.json"
    noted = json.loads(note.read_text())
    target = str(attempt.file("fr", "test"))
    noted["files"][target] = noted.pop("evaluated")[target]  # the source's test set was not noted
    note.write_text(json.dumps(noted))
    assert attempt.is_done
    noted["files"][target] = "another"
    note.write_text(json.dumps(noted))
    assert not attempt.is_done


def test_without_its_checkpoints_a_setting_is_trained_again(model, data, tmp_path):
    (attempt,) = attempts_of(model, data, tmp_path, wanted=replace(TINY, lr=(0.01,)))
    grid.run_attempt(attempt)
    shutil.rmtree(attempt.checkpoints)  # to make room
    assert attempt.is_done
    (attempt,) = attempts_of(replace(model, test_split="dev"), data, tmp_path, wanted=replace(TINY, lr=(0.01,)))
    grid.run_attempt(attempt)
    assert "f1_dev" in {result.metric for result in read_results(attempt.folder / "results.jsonl")}


def test_the_code_may_move(model, data, tmp_path, monkeypatch):
    attempts_of(model, data, tmp_path)[0].prepare()
    (attempts_of(model, data, tmp_path)[0].folder / "results.jsonl").touch()
    monkeypatch.setattr(grid, "USER_DIR", tmp_path / "another place" / "fairseq_xling")
    assert attempts_of(model, data, tmp_path)[0].is_done


def test_early_epochs_can_be_selected(model, data, tmp_path):
    (attempt,) = attempts_of(model, data, tmp_path, wanted=replace(TINY, lr=(0.01,)), epochs=(1, 2))
    assert "--no-epoch-checkpoints" not in attempt.arguments
    write_validations(attempt, (1, 0.2), (2, 0.5), (3, 0.9))
    assert grid.best_checkpoint(attempt).name == "checkpoint2.pt"
    assert grid.best_checkpoint(replace(attempt, epochs=(1, 9))).name == "checkpoint3.pt"
    assert grid.best_checkpoint(replace(attempt, epochs=None)).name == "checkpoint_best.pt"
    with pytest.raises(InputError, match="there are 3 epochs"):
        grid.best_checkpoint(replace(attempt, epochs=(4, 5)))


def write_validations(attempt, *reached):
    """Lines of metrics.jsonl for (epoch, f1)."""
    attempt.checkpoints.mkdir(parents=True, exist_ok=True)
    lines = [{"phase": "valid", "epoch": float(epoch), "f1": value} for epoch, value in reached]
    (attempt.checkpoints / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("reached", "best"),
    [
        ([(1, 0.1), (1, 0.4), (2, 0.2), (2, 0.3)], 1),  # --validate-interval-updates: the end of an epoch counts
        ([(1, 0.9), (1, 0.2), (2, 0.3)], 2),
        ([(2, 0.5), (4, 0.9)], 2),  # --validate-interval 2: epoch 4 is not among 1-3
        ([(1, 0.5), (2, 0.5)], 1),
    ],
)
def test_epochs_with_more_or_fewer_validations(model, data, tmp_path, reached, best):
    (attempt,) = attempts_of(model, data, tmp_path, wanted=replace(TINY, lr=(0.01,)), epochs=(1, 3))
    write_validations(attempt, *reached)
    assert grid.best_checkpoint(attempt).name == f"checkpoint{best}.pt"


@pytest.mark.parametrize(
    ("target", "epochs", "added", "says"),
    [
        ("fr", None, None, None),
        ("de", None, None, "the model knows no language 'de'; it has en, fr"),
        ("fr", (3, 4), None, "--epochs 3-4: the grid has 2 epochs of ner"),
        ("fr", (2, 4), None, None),
        ("fr", None, "abc\tB-MISC\n\n", "entity type MISC unknown to the model"),
        ("fr", None, "abc\n\n", "expected a token and a tag"),
    ],
)
def test_what_would_fail_after_training_fails_before(model, data, tmp_path, target, epochs, added, says):
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    if added:
        with open(folder / "ner" / "fr.test.tsv", "a") as out:
            out.write(added)
    attempts = attempts_of(replace(model, target=target), folder, tmp_path, epochs=epochs)
    with pytest.raises(InputError, match=says) if says else contextlib.nullcontext():
        grid.check_before_training(attempts)
    grid.check_before_training([])  # nothing to train


def line(metric, value, n=600, task="nli", **fields):
    return Result("default", "en-fr", "lab", 1, task, metric, None, value, None, n, "setting:x|rule:y", **fields)


def test_the_two_best_on_dev_count_whatever_the_target_says(model, data, tmp_path):
    wanted = replace(TINY, lr=(0.1, 0.2, 0.3))
    attempts = attempts_of(model, data, tmp_path, "nli", wanted)
    for attempt, dev, target in zip(attempts, (0.7, 0.9, 0.8), (0.99, 0.5, 0.6)):
        lines = [line("accuracy_source_dev", dev), line("accuracy", target)]
        append_results(attempt.folder / "results.jsonl", lines)
    results = {result.metric: result for result in grid.summarise(attempts)}
    assert results["accuracy"].value == pytest.approx(0.55)
    assert parse_signature(results["accuracy"].signature)["settings"] == "lr0.2_bs16+lr0.3_bs16"
    assert parse_signature(results["accuracy"].signature)["select"] == "mean_of_best_2_of_3_by_source_dev"
    one = grid.summarise(attempts[:1])
    assert {result.metric: result.value for result in one}["accuracy"] == 0.99


def test_results_bear_the_present_name_and_scale(model, data, tmp_path):
    """Settings that are done are not run again under another --experiment or --scale, but are counted under it."""
    other = replace(model, run=Run("mine", "en-fr", "pocket", 3))
    attempts = attempts_of(other, data, tmp_path, "nli")
    for attempt in attempts:
        append_results(attempt.folder / "results.jsonl", [line("accuracy_source_dev", 0.8), line("accuracy", 0.6)])
    found = grid.summarise(attempts)
    assert {(r.experiment, r.pair, r.scale, r.seed) for r in found} == {("mine", "en-fr", "pocket", 3)}


def test_dev_of_the_target_stands_in_for_a_missing_test_set(model, data, tmp_path):
    attempts = attempts_of(replace(model, test_split="dev"), data, tmp_path, "nli")
    assert grid.wanted_splits(attempts[0]) == [("en", "dev"), ("fr", "dev")]
    for attempt in attempts:
        lines = [line("accuracy_source_dev", 0.8), line("accuracy_dev", 0.6), line("accuracy_dev_majority", 0.3)]
        append_results(attempt.folder / "results.jsonl", lines)
    metrics = {result.metric for result in grid.summarise(attempts)}
    assert metrics == {"accuracy_source_dev", "accuracy", "accuracy_majority"}


@pytest.mark.parametrize(("reached", "warns"), [(0.33, True), (0.38, True), (0.45, False)])
def test_nli_at_chance_is_said(reached, warns):
    lines = [line("accuracy_source_dev", reached), line("accuracy_source_dev_majority", 0.34)]
    warning = grid.at_chance(lines)
    assert (warning is not None) == warns
    if warning:
        assert "NLI stays at chance" in warning
        assert "try a lower --lr" in warning
    assert grid.at_chance([line("f1", 0.0, task="ner")]) is None


def test_results_are_added_once(tmp_path):
    path = tmp_path / "results.jsonl"
    grid.add_results(path, [line("accuracy", 0.5)])
    grid.add_results(path, [line("accuracy", 0.5), line("f1", 0.1)])
    grid.add_results(path, [line("accuracy", 0.6)])
    grid.add_results(path, [line("accuracy", 0.5)])  # as it was first: a new line, as the last one counts
    assert [result.value for result in read_results(path)] == [0.5, 0.1, 0.6, 0.5]


def test_the_schedule_counts_the_last_batch_that_is_not_full():
    options = Grid(epochs=3, batch_size=(16,), lr=(1e-5,), warmup=0.25).schedule_options(examples=49, batch_size=16)
    assert options[options.index("--total-num-update") + 1] == "12"
    assert options[options.index("--warmup-updates") + 1] == "3"


def test_the_papers_grid_is_the_papers():
    grids = read_grids(ROOT / "eval" / "grids" / "paper.toml")
    assert sorted({s.lr for s in grids["nli"].settings()}) == [1.25e-6, 2.5e-6, 5e-6]
    assert sorted({s.head_lr for s in grids["nli"].settings()}) == [5e-6, 2.5e-5, 1.25e-4]
    assert {s.batch_size for s in grids["nli"].settings()} == {4, 8}
    assert grids["nli"].epochs == 200
    assert grids["nli"].schedule_options(393000, 8) == ["--lr-scheduler", "fixed"]
    for task in ("ner", "parsing"):
        assert {(s.lr, s.batch_size) for s in grids[task].settings()} == {
            (lr, size) for lr in (2e-5, 3e-5, 5e-5) for size in (16, 32)
        }
        assert grids[task].epochs == 10
    # 12,544 sentences at 32: 392 updates an epoch; 10 % of 3,920 are warm-up
    options = grids["parsing"].schedule_options(12544, 32)
    assert options == ["--lr-scheduler", "polynomial_decay", "--total-num-update", "3920", "--warmup-updates", "392"]


@pytest.mark.parametrize("scale", ["lab", "pocket", "pocket_cpu", "paper"])
def test_every_scale_has_the_three_tasks(scale):
    grids = read_grids(ROOT / "eval" / "grids" / f"{scale}.toml")
    assert list(grids) == ["nli", "ner", "parsing"]
    assert all(len(list(each.settings())) >= 2 for each in grids.values())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[ner", "not a grid file"),
        ("ner = 1", r"expected a table \[ner\]"),
        ("[ner]\nepochs = 1\nlr = [1.0]", "lacks the entry 'batch_size'"),
        ("[ner]\nepochs = 1\nlr = [1.0]\nbatch_size = [8]\nrate = 1", "unknown entry 'rate'"),
        ("[ner]\nepochs = 1\nlr = 1.0\nbatch_size = [8]", "lr: expected a list of positive numbers"),
        ("[ner]\nepochs = 0\nlr = [1.0]\nbatch_size = [8]", "epochs: expected positive"),
        ("[ner]\nepochs = 1\nlr = []\nbatch_size = [8]", "at least one learning rate"),
        ("[ner]\nepochs = 1\nlr = [1.0]\nbatch_size = [8]\nschedule = 'cosine'", "expected one of linear, fixed"),
        ("[ner]\nepochs = 1\nlr = [1.0]\nbatch_size = [8]\nwarmup = 2", "warmup: expected a number between 0 and 1"),
        ("[ner]\nepochs = 1\nlr = [1.0]\nbatch_size = [8]\noptions = ['--max-epoch', '9']", "its own, 'epochs'"),
    ],
)
def test_malformed_grid_files(tmp_path, text, says):
    path = tmp_path / "grid.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_grids(path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--cpu", "--feature-dropout", "0.1"], None),
        (["--cpu", "--lr", "0.1"], "--lr after --: change 'lr' in a copy of the grid file"),
        (["--batch-size=8"], "change 'batch_size'"),
        (["--max-epoch", "9"], "change 'epochs'"),
    ],
)
def test_what_the_grid_file_says_is_not_overridden_unseen(options, says):
    """Else all settings of the grid would be one, under names that are not theirs, and the schedule another's."""
    with pytest.raises(InputError, match=says) if says else contextlib.nullcontext():
        refuse_options_of_the_grid(options)


def test_names_of_settings_differ():
    grids = read_grids(ROOT / "eval" / "grids" / "paper.toml")
    names = [setting.name for setting in grids["nli"].settings()]
    assert len(set(names)) == len(names) == 18
    assert Setting(2e-5, 16).name == "lr2e-05_bs16"


def fail():
    print("something was printed")
    raise InputError("the file is odd", "x.tsv", 7)


def succeed():
    print("fine")


def test_a_failing_job_is_reported_and_the_others_go_on(tmp_path):
    jobs = [Job(f.__name__, f, (), tmp_path / f"{f.__name__}.txt") for f in (fail, succeed)]
    (failure,) = run_jobs(jobs, 1, "test")
    assert failure == (f"fail failed, see {tmp_path / 'fail.txt'}: x.tsv:7: the file is odd", True)
    assert (tmp_path / "succeed.txt").read_text() == "fine\n"


def test_the_command_prints_what_it_would_run(shared_model, data, tmp_path, monkeypatch, capsys):
    databin, checkpoint = shared_model
    command = ["grid.py", str(checkpoint), "--vocabulary", str(databin), "--data", str(data), "--pair", "en-fr"]
    command += ["--experiment", "default", "--out", str(tmp_path / "out"), "--dry-run"]
    main = runpy.run_path(str(ROOT / "eval" / "grid.py"))["main"]
    monkeypatch.setattr(sys, "argv", [*command, "--", "--cpu"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert all(text.endswith(" --cpu") for text in lines)
    program = shlex.split(lines[0])[0]  # pasted, it is found without an activated environment
    assert Path(program) == Path(sys.executable).with_name("fairseq-train")
    assert os.access(program, os.X_OK)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(sys, "argv", [*command, "--tasks", "qa"])
    with pytest.raises(InputError, match="no grid for task 'qa'; there is nli, ner, parsing"):
        main()
    monkeypatch.setattr(sys, "argv", [*command, "--epochs", "3-1"])
    with pytest.raises(InputError, match="--epochs 3-1: expected a number or a range"):
        main()
    monkeypatch.setattr(sys, "argv", [argument for argument in command if argument != "--dry-run"] + ["--scores"])
    with pytest.raises(InputError, match=r"--scores: 6 of 6 settings are not done \(nli .*, \.\.\.\); fine-tune them"):
        main()
    assert not (tmp_path / "out").exists()


def die():
    """A function for `run_jobs`: as if memory had run out."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_job_is_no_bad_input(tmp_path):
    [failure] = run_jobs([Job("die", die, (), tmp_path / "die.txt")], at_a_time=1, progress="test")
    assert not failure.bad_input
