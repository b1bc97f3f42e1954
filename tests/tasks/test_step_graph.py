"""CUDA graphs of training steps, as far as they need no GPU (tests/tasks/test_on_gpu.py needs one)."""

import logging

import pytest
import torch
from fairseq.optim.fp16_optimizer import FP16Optimizer
from scipy.stats import binom
from torch import nn

from fairseq_xling.data.labelled import IGNORED
from fairseq_xling.formats.errors import InputError
from fairseq_xling.optim.adam import XlingAdam
from fairseq_xling.tasks import step_graph
from fairseq_xling.tasks.step_graph import StepGraphs, room_for_predictions

from .pretraining import assert_equal_states, train, write_data


@pytest.mark.parametrize("tokens", [4_096, 24_576, 49_152])
def test_the_room_is_seldom_exceeded_and_not_much_too_large(tokens):
    room = room_for_predictions(tokens, 0.15)
    assert room % 64 == 0
    assert 1e-12 < binom.sf(room, tokens, 0.15) < 1e-6
    assert room < 1.3 * 0.15 * tokens


def test_there_is_room_for_all_of_a_small_batch_and_no_more():
    assert room_for_predictions(32, 0.15) == 32
    assert room_for_predictions(1000, 1.0) == 1000


def batch(count, tokens=(2, 4)):
    inputs = {"src_tokens": torch.arange(8).view(tokens), "masked": torch.arange(count) + 1, "padding_mask": None}
    return {"net_input": {**inputs, "lang": "en"}, "target": torch.arange(count) + 10}


def test_a_smaller_batch_leaves_nothing_of_the_one_before():
    static = {"net_input": {"src_tokens": torch.zeros(2, 4).long(), "masked": torch.zeros(6).long()}}
    static["target"] = torch.zeros(6).long()
    StepGraphs._fill(static, batch(5))
    StepGraphs._fill(static, batch(2))
    assert static["target"].tolist() == [10, 11, *[IGNORED] * 4]
    assert static["net_input"]["masked"][:2].tolist() == [1, 2]
    assert torch.equal(static["net_input"]["src_tokens"], batch(2)["net_input"]["src_tokens"])


class OnGpu(torch.Tensor):
    """Says that it is on a GPU."""

    is_cuda = True


def test_the_reasons_against_a_graph(caplog):
    caplog.set_level(logging.INFO)
    graphs, model = StepGraphs(0.15, False, lambda sample: None), nn.Linear(2, 2)
    adam, scaled = object.__new__(XlingAdam), object.__new__(FP16Optimizer)
    sample = batch(3)
    assert not graphs.fits(sample, model, adam)
    sample["net_input"]["src_tokens"] = sample["net_input"]["src_tokens"].as_subclass(OnGpu)
    assert graphs.fits(sample, model, adam)
    assert not graphs.fits(sample, model, scaled)
    assert not graphs.fits(sample, object.__new__(nn.parallel.DistributedDataParallel), adam)
    sample["target"] = torch.arange(9)
    assert not graphs.fits(sample, model, adam)
    sample["net_input"]["padding_mask"] = torch.zeros(2, 4).bool()
    for _ in range(2):
        assert not graphs.fits(sample, model, adam)
    assert [record.message.partition(" where ")[2] for record in caplog.records] == [
        "there is no GPU",
        "the loss is scaled before the backward pass (--fp16)",
        "gradients are reduced during the backward pass (--ddp-backend legacy_ddp does it after)",
        "a batch has far more predictions than usual",
        "a batch is padded",
    ]


def test_what_cannot_be_captured_is_one_line_and_lack_of_memory_is_left_to_fairseq(monkeypatch):
    graphs, said = StepGraphs(0.15, False, lambda sample: None), ["not permitted when stream is capturing\nSearch for"]

    def fail(*_):
        raise RuntimeError(said[-1])

    monkeypatch.setattr(graphs, "_capture", fail)
    with pytest.raises(InputError, match=r"captured \(not permitted when stream is capturing\); leave out"):
        graphs.forward_and_backward(batch(3), nn.Linear(2, 2), None)
    said.append("CUDA out of memory. Tried to")
    with pytest.raises(RuntimeError, match="out of memory"):
        graphs.forward_and_backward(batch(3), nn.Linear(2, 2), None)


def test_gradients_of_several_batches_add_up():
    """As a graph does it: each batch writes its gradient to the same memory."""
    parameters = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2))]
    memory = [(parameter, torch.empty_like(parameter)) for parameter in parameters]
    for number in (1.0, 2.0, 4.0):
        step_graph._keep(memory)
        for _, gradient in memory:
            gradient.fill_(number)
        step_graph._hand_over(memory)
    assert [parameter.grad.tolist() for parameter in parameters] == [[7.0] * 3, [7.0] * 2]
    parameters[0].grad = None  # the next update
    step_graph._keep(memory)
    memory[0][1].fill_(5)
    step_graph._hand_over(memory[:1])
    assert parameters[0].grad is memory[0][1]


def test_without_a_gpu_the_run_is_the_same_and_the_log_says_so(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    data = write_data(tmp_path / "bin", {"en": 60, "fr": 30})
    plain = train(data, tmp_path / "plain", "--max-update", 3)
    asked = train(data, tmp_path / "asked", "--max-update", 3, "--cuda-graph", "--torch-compile")
    assert_equal_states(plain, asked)
    assert caplog.text.count("launched one operation after the other where there is no GPU") == 1
