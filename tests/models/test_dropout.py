"""Dropout with cheap masks: its probability, its scale, its seed; attention with it against torch's."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_xling.models.dropout import Dropout, dropout, dropout_by, random_bits
from fairseq_xling.models.layers import _attention


@pytest.mark.parametrize("probability", [0.1, 0.33, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_probability_and_scale(probability, dtype):
    torch.manual_seed(0)
    count = 1_000_003  # no multiple of four
    out = dropout(torch.ones(count, dtype=dtype), probability).double()
    share = float((out == 0).double().mean())
    assert share == pytest.approx(probability, abs=5 * (probability * (1 - probability) / count) ** 0.5)
    assert set(out.unique().tolist()) == {0.0, torch.tensor(1 / (1 - probability), dtype=dtype).item()} or (
        dtype == torch.float32 and out.max().item() == pytest.approx(1 / (1 - probability), rel=5e-5)
    )
    for step in (1, 2, 4):  # neighbours are independent: all four parts of a random number are used as they should
        for offset in range(4):
            part = (out[offset::4] == 0).double()
            assert float(part.mean()) == pytest.approx(probability, abs=0.006)
        both = ((out[:-step] == 0) & (out[step:] == 0)).double().mean()
        assert float(both) == pytest.approx(probability**2, abs=0.002)


@pytest.mark.parametrize("probability", [0.1, 0.33, 0.5])
def test_bits_made_beforehand_decide(probability):
    torch.manual_seed(0)
    shape = (101, 9_901)  # no multiple of four
    bits = random_bits(torch.ones(()), *shape)
    out = dropout_by(torch.ones(shape), probability, bits).flatten()
    assert float((out == 0).double().mean()) == pytest.approx(probability, abs=0.0025)
    assert out.unique().tolist() == [0.0, pytest.approx(1 / (1 - probability), rel=5e-5)]
    for offset in range(4):  # all four parts of a random number
        assert float((out[offset::4] == 0).double().mean()) == pytest.approx(probability, abs=0.006)
    assert float(((out[:-1] == 0) & (out[1:] == 0)).double().mean()) == pytest.approx(probability**2, abs=0.002)


def test_extreme_bits_and_probabilities():
    bits = torch.tensor([-(2**15), -1, 0, 2**15 - 1], dtype=torch.int16)
    assert dropout_by(torch.ones(4), 2**-16, bits).tolist() == [0.0, *[pytest.approx(1.0, abs=2e-5)] * 3]
    assert dropout_by(torch.ones(4), 0.5, bits).tolist() == [0.0, 0.0, 2.0, 2.0]
    assert dropout_by(torch.ones(4), 1.0, bits).tolist() == [0.0] * 4
    module = Dropout(0.5)
    assert module(torch.ones(4), bits).tolist() == [0.0, 0.0, 2.0, 2.0]
    assert module.eval()(torch.ones(4), bits).tolist() == [1.0] * 4


def test_the_seed_decides_and_evaluation_drops_nothing():
    x = torch.randn(7, 5)
    module = Dropout(0.5)
    torch.manual_seed(3)
    first = module(x)
    second = module(x)
    torch.manual_seed(3)
    assert torch.equal(module(x), first)
    assert not torch.equal(first, second)
    assert torch.equal(module.eval()(x), x)
    assert torch.equal(dropout(x, 0.0), x)
    assert torch.equal(dropout(x, 1.0), torch.zeros_like(x))


def test_gradients_pass_where_values_do():
    x = torch.randn(100, requires_grad=True)
    out = dropout(x, 0.4)
    out.sum().backward()
    assert torch.equal(x.grad == 0, out == 0)
    assert torch.allclose(x.grad[out != 0], torch.tensor(1 / 0.6), rtol=1e-4)


@pytest.mark.parametrize("padded", [False, True])
def test_attention_is_torchs(padded):
    torch.manual_seed(1)
    queries, keys, values = (torch.randn(3, 2, 5, 8, requires_grad=True) for _ in range(3))
    attend = torch.arange(5)[None] < torch.tensor([5, 3, 1])[:, None] if padded else torch.ones(3, 5, dtype=torch.bool)
    attend = attend[:, None, None, :]
    ours = _attention(queries, keys, values, attend if padded else None, 0.0)
    theirs = F.scaled_dot_product_attention(queries, keys, values, attn_mask=attend)
    assert torch.allclose(ours, theirs, atol=1e-6)
    weight = torch.randn_like(ours)
    gradients = [torch.autograd.grad((out * weight).sum(), (queries, keys, values)) for out in (ours, theirs)]
    for a, b in zip(*gradients):
        assert torch.allclose(a, b, atol=1e-5)


def test_dropped_attention_keeps_its_mean():
    torch.manual_seed(2)
    queries, keys, values = (torch.randn(1, 2, 5, 8) for _ in range(3))
    many = torch.stack([_attention(queries, keys, values, None, 0.3) for _ in range(4000)]).mean(0)
    assert torch.allclose(many, F.scaled_dot_product_attention(queries, keys, values), atol=0.06)
