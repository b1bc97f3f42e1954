"""NaN and exploded losses: the batch is named, nothing is spoilt, training stops or leaves the update out."""

import math

import pytest
import torch

from fairseq_xling.criterions.masked_lm import XlingMaskedLMCriterion
from fairseq_xling.formats.errors import InputError
from fairseq_xling.tasks import bad_loss

from .pretraining import assert_equal_states, load, run, train, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "shared", {"en": 60, "fr": 30})


@pytest.fixture
def spoil(monkeypatch):
    """`spoil({(epoch, batch): factor})`: losses of these training batches are multiplied."""
    original = XlingMaskedLMCriterion.forward

    def arrange(factors):
        def forward(self, model, sample, reduce=True):
            loss, size, log = original(self, model, sample, reduce)
            return loss * factors.get(tuple(sample["id"].tolist()), 1.0), size, log

        monkeypatch.setattr(XlingMaskedLMCriterion, "forward", forward)

    return arrange


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
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "was not made: " in result.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "crash.pt").exists()
