"""The fused optimiser against fairseq's own."""

import pytest
import torch
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig

from fairseq_xling.formats.errors import InputError
from fairseq_xling.optim.adam import XlingAdam, XlingAdamConfig


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_takes_the_same_steps_as_fairseq(decay):
    start = [torch.randn(5, 3, dtype=torch.float64), torch.randn(7, dtype=torch.float64)]
    ours, theirs = ([torch.nn.Parameter(value.clone()) for value in start] for _ in range(2))
    settings = {"adam_betas": "(0.9, 0.98)", "adam_eps": 1e-12, "weight_decay": decay, "lr": [0.01]}
    mine = XlingAdam(XlingAdamConfig(**settings), ours)
    reference = FairseqAdam(FairseqAdamConfig(**settings), theirs)
    for step in range(20):
        for optimizer in (mine, reference):
            optimizer.set_lr(0.01 / (step + 1))
        for a, b in zip(ours, theirs):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    for a, b, before in zip(ours, theirs, start):
        assert not torch.allclose(a, before, atol=1e-3)
        assert torch.allclose(a, b, atol=1e-9)


@pytest.mark.parametrize("text", ["0.9", "(0.9,)", "__import__('os')", "(0.9, 'x')", ""])
def test_betas_are_data(text):
    with pytest.raises(InputError, match="expected two numbers"):
        XlingAdam(XlingAdamConfig(adam_betas=text, lr=[0.1]), [torch.nn.Parameter(torch.zeros(1))])


@pytest.mark.parametrize("max_norm", [0.0, 0.3, 100.0])
def test_scaling_and_clipping_are_those_of_fairseq(max_norm):
    torch.manual_seed(0)
    start = [torch.randn(5, 3), torch.randn(7), torch.randn(2)]
    ours, theirs = ([torch.nn.Parameter(value.clone()) for value in start] for _ in range(2))
    settings = {"adam_betas": "(0.9, 0.98)", "adam_eps": 1e-12, "weight_decay": 0.1, "lr": [0.01]}
    mine = XlingAdam(XlingAdamConfig(**settings), ours)
    reference = FairseqAdam(FairseqAdamConfig(**settings), theirs)
    for step in range(10):
        gradients = [torch.randn_like(value) for value in start]
        norms = []
        for optimizer, parameters in ((mine, ours), (reference, theirs)):
            optimizer.zero_grad()
            assert all(parameter.grad is None for parameter in parameters)
            for parameter, gradient in list(zip(parameters, gradients))[: 2 + step % 2]:  # the last one not always
                parameter.grad = gradient.clone()
            optimizer.multiply_grads(1 / 7)
            norms.append(optimizer.clip_grad_norm(max_norm))
            optimizer.step()
        assert torch.allclose(*norms, rtol=1e-6)
    for a, b, before in zip(ours, theirs, start):
        assert not torch.allclose(a, before, atol=1e-3)
        assert torch.allclose(a, b, atol=1e-6)


def test_the_norm_of_several_processes_and_a_factor_on_the_device():
    parameter = torch.nn.Parameter(torch.zeros(4))
    optimizer = XlingAdam(XlingAdamConfig(lr=[1.0], adam_eps=1e-12), [parameter])
    parameter.grad = torch.full((4,), 3.0)
    optimizer.multiply_grads(torch.tensor(0.5))
    norm = optimizer.clip_grad_norm(1.0, aggregate_norm_fn=lambda mine: mine * 2)
    assert norm.item() == pytest.approx(6.0)
    optimizer.step()
    assert parameter.grad.tolist() == pytest.approx([0.25] * 4, rel=1e-5)  # 3 / 2, clipped by 1 / 6
    optimizer.step(scale=5.0)  # the factors of the step before are used up
    assert parameter.grad.tolist() == pytest.approx([0.05] * 4, rel=1e-5)


def test_without_gradients_nothing_happens():
    parameter = torch.nn.Parameter(torch.ones(4))
    optimizer = XlingAdam(XlingAdamConfig(lr=[1.0]), [parameter])
    assert optimizer.clip_grad_norm(1.0).item() == 0
    optimizer.step()
    assert torch.equal(parameter, torch.ones(4))
