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
