"""A training step asks the device for no value: on a GPU the host runs ahead and never waits for it."""

import json

import pytest
import torch
from fairseq.logging.meters import AverageMeter

from fairseq_xling.tasks import bad_loss
from fairseq_xling.tasks.masked_lm import XlingMaskedLMTask

from . import without_values
from .pretraining import assert_equal_states, train, write_data


@pytest.mark.parametrize("options", [(), ("--blocks", "sentence", "--separate", "emb,1-2")])
def test_pretraining_waits_for_nothing(tmp_path, monkeypatch, options):
    data = write_data(tmp_path / "bin", {"en": 60, "fr": 30})
    losses = without_values.watch(monkeypatch, XlingMaskedLMTask)
    train(data, tmp_path / "run", "--max-update", 4, "--optimizer", "xling_adam", "--clip-norm", 1, *options)
    without_values.assert_none_has_a_value(losses)


def test_the_check_notices_a_wait(tmp_path, monkeypatch):
    data = write_data(tmp_path / "bin", {"en": 60, "fr": 30})
    without_values.watch(monkeypatch, XlingMaskedLMTask)
    monkeypatch.setattr(bad_loss.LossWatch, "note", lambda self, sample, *rest: sample["id"].tolist())
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        train(data, tmp_path / "run", "--max-update", 1, "--optimizer", "xling_adam")


def test_no_number_of_the_log_is_read_during_an_update(tmp_path, monkeypatch):
    data = write_data(tmp_path / "bin", {"en": 60, "fr": 30})
    step, average, reads = bad_loss._train_step, AverageMeter.smoothed_value.fget, []

    def noted(self, samples, raise_oom=False):
        with monkeypatch.context() as patch:
            patch.setattr(AverageMeter, "smoothed_value", property(lambda meter: reads.append(meter) or average(meter)))
            return step(self, samples, raise_oom)

    monkeypatch.setattr(bad_loss, "_train_step", noted)
    with_numbers = train(data, tmp_path / "run", "--max-update", 4)
    assert not reads
    monkeypatch.setattr(XlingMaskedLMTask, "numbers_stay_unread", False)
    assert_equal_states(with_numbers, train(data, tmp_path / "as_fairseq", "--max-update", 4))
    assert reads  # the check notices it
    ours, theirs = (read_numbers(tmp_path / name / "metrics.jsonl") for name in ("run", "as_fairseq"))
    assert len(ours) >= 4
    assert ours == theirs


def read_numbers(path):
    """The lines of `metrics.jsonl` without what depends on the clock."""
    timed = {"wps", "ups", "wall", "train_wall", "mfu", "data_wait", "gb_free"}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in timed} for line in lines]


def test_a_batch_is_described_only_when_it_is_bad():
    watch = bad_loss.LossWatch()
    model, ids = torch.nn.Linear(2, 2), torch.tensor([3, 4])
    watch.note({"net_input": {"lang": "en"}, "id": ids}, model, torch.tensor(float("nan")), 1)
    assert watch.worst() == "loss nan nats in language en, epoch 3, batch 5"
    watch.batches.clear()
    sample = {"net_input": {"lang": "fr"}, "id": torch.arange(9), "gold": object()}
    watch.note(sample, model, torch.tensor(5e6), 2)
    assert watch.worst() == "loss 2.5e+06 nats in language fr, examples 1, 2, 3, 4, 5, 6, 7, 8 ..."
