"""NaN and exploded losses: the batch is named, nothing is spoilt, training stops or leaves the update out."""

import math

import pytest
import torch

from fairseq_xling.formats.errors import InputError
from fairseq_xling.tasks import bad_loss

from .pretraining import assert_equal_states, load, run, train, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "shared", {"en": 60, "fr": 30})


@pytest.mark.parametrize(
    ("factor", "says"), [(math.nan, "nan nats"), (math.inf, "inf nats"), (1e6, r"4\.\d+e\+06 nats")]
)
def test_it_stops_names_the_batch_and_spoils_nothing(data, tmp_path, spoil, factor, says):
    whole = train(data, tmp_path / "whole", "--max-update", 3)
    spoil({(1, 3): factor})
    expected = rf"update 4 was not made: loss {says} in language (en|fr), epoch 1, batch 4; .*--on-bad-loss skip"
    with pytest.raises(InputError, match=expected):
        train(data, tmp_path / "run", "--max-update", 7, "--save-interval-updates", 3, "--keep-interval-updates", 1)
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.name.startswith("c")) == [
        "checkpoint_1_3.pt",
        "checkpoint_best.pt",
        "checkpoint_last.pt",
    ]
    assert_equal_states(load(tmp_path / "run"), whole)


def test_it_skips_and_goes_on_as_without_the_batch(data, tmp_path, spoil, caplog):
    spoil({(1, 3): math.nan, (2, 0): math.inf})
    skipped = train(data, tmp_path / "skip", "--max-update", 9, "--on-bad-loss", "skip")
    assert skipped["optimizer_history"][-1]["num_updates"] == 9
    assert skipped["extra_state"]["train_iterator"]["iterations_in_epoch"] == 1  # 11 batches were taken, 5 an epoch
    assert all(torch.isfinite(value).all() for value in skipped["model"].values() if value.is_floating_point())
    assert caplog.text.count("left out (--on-bad-loss skip)") == 2


def test_a_run_that_skipped_resumes_bit_for_bit(data, tmp_path, spoil):
    spoil({(1, 3): math.nan})
    whole = train(data, tmp_path / "whole", "--max-update", 8, "--on-bad-loss", "skip")
    train(data, tmp_path / "parts", "--max-update", 4, "--on-bad-loss", "skip")
    assert_equal_states(train(data, tmp_path / "parts", "--max-update", 8, "--on-bad-loss", "skip"), whole)


def test_it_does_not_skip_for_ever(data, tmp_path, spoil, monkeypatch):
    monkeypatch.setattr(bad_loss, "MOST_SKIPPED", 3)
    spoil({(epoch, batch): math.nan for epoch in range(9) for batch in range(9)})
    with pytest.raises(InputError, match=r"update 1 was not made: .*3 updates before it were left out"):
        train(data, tmp_path, "--max-update", 9, "--on-bad-loss", "skip")


def test_one_of_several_batches_of_an_update_is_named(data, tmp_path, spoil):
    spoil({(1, 1): math.nan})
    with pytest.raises(InputError, match=r"loss nan nats in language \w\w, epoch 1, batch 2; "):
        train(data, tmp_path, "--max-update", 2, "--update-freq", 2)


def test_a_rate_that_explodes_ends_the_program_in_one_line(data, tmp_path):
    result = run(data, tmp_path, "--max-update", 30, "--lr", "1e30", "--warmup-updates", 1)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "was not made: " in result.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "crash.pt").exists()


def on_a_gpu(monkeypatch):
    """The answer comes an update later, as on a GPU; here from the host's own memory."""
    monkeypatch.setattr(bad_loss, "_can_wait", lambda trainer, norm: hasattr(trainer.optimizer, "leave_out_if"))


@pytest.mark.parametrize("last", [4, 7])
def test_later_it_stops_names_the_batch_and_spoils_nothing(data, tmp_path, spoil, monkeypatch, last):
    options = ("--optimizer", "xling_adam", "--clip-norm", 1, "--save-interval-updates", 1)
    whole = train(data, tmp_path / "whole", "--max-update", 3, *options)
    on_a_gpu(monkeypatch)
    spoil({(1, 3): math.nan})
    with pytest.raises(InputError, match=r"update 4 was not made: loss nan nats in language (en|fr), epoch 1, batch 4"):
        train(data, tmp_path / "run", "--max-update", last, *options)
    after = load(tmp_path / "run")
    assert all(torch.equal(after["model"][name], value) for name, value in whole["model"].items())


def test_later_it_skips_and_goes_on(data, tmp_path, spoil, caplog, monkeypatch):
    options = ("--optimizer", "xling_adam", "--clip-norm", 1, "--max-update", 9, "--lr-scheduler", "fixed")
    on_a_gpu(monkeypatch)
    spoil({(1, 0): math.nan, (1, 3): math.nan, (1, 4): math.inf})
    skipped = train(data, tmp_path / "skip", *options, "--on-bad-loss", "skip")
    assert skipped["optimizer_history"][-1]["num_updates"] == 9
    assert [f"update {number} was not made" in caplog.text for number in range(1, 10)] == [
        number in (1, 4, 5) for number in range(1, 10)
    ]
    steps = {float(state["step"]) for state in skipped["last_optimizer_state"]["state"].values()}
    assert steps == {6.0}


def test_later_the_run_is_the_same(data, tmp_path, monkeypatch):
    options = ("--optimizer", "xling_adam", "--clip-norm", 1, "--max-update", 7)
    at_once = train(data, tmp_path / "at once", *options)
    on_a_gpu(monkeypatch)
    assert_equal_states(train(data, tmp_path / "later", *options), at_once)


def test_later_too_many_in_a_row_stop(data, tmp_path, spoil, monkeypatch):
    on_a_gpu(monkeypatch)
    monkeypatch.setattr(bad_loss, "MOST_SKIPPED", 2)
    spoil({(1, number): math.nan for number in range(1, 5)})
    with pytest.raises(InputError, match=r"update 4 was not made: .*; 2 updates before it were left out"):
        train(
            *(data, tmp_path / "run", "--max-update", 9, "--optimizer", "xling_adam", "--on-bad-loss", "skip"),
        )
