"""Dropout with cheap masks: its probability, its scale, its seed; attention with it against torch's."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_xling.models.dropout import Dropout, dropout, dropout_by, random_seeds
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_to_drop(dtype):
    assert dropout(torch.ones(0, 16, dtype=dtype), 0.1).shape == (0, 16)


def hashed(seeds, probability=0.5, shape=(1_009, 991)):
    """Where dropout by a hash drops, as float64."""
    return (dropout_by(torch.ones(shape), probability, torch.tensor(seeds, dtype=torch.int32)) == 0).double()


@pytest.mark.parametrize("probability", [0.1, 0.33, 0.5])
def test_a_hash_decides(probability):
    torch.manual_seed(0)
    for _ in range(4):
        seeds = random_seeds(torch.ones(()), 2)
        out = dropout_by(torch.ones(1_009, 991), probability, seeds)
        assert out.unique().tolist() == [0.0, pytest.approx(1 / (1 - probability), rel=5e-5)]
        dropped = (out == 0).double()
        error = 5 * (probability * (1 - probability)) ** 0.5
        assert float(dropped.mean()) == pytest.approx(probability, abs=error / 1_000)
        assert float((dropped.mean(0) - probability).abs().max()) < error / 1_009**0.5
        assert float((dropped.mean(1) - probability).abs().max()) < error / 991**0.5


def test_no_element_knows_of_another():
    """The largest of 20 million correlations, of elements of one mask at any distance, and of two masks."""
    generator = torch.Generator().manual_seed(1)
    masks = []
    for _ in range(40):
        seeds = torch.randint(-(2**31), 2**31, (2,), generator=generator).int()
        mask = (dropout_by(torch.ones(2**20), 0.1, seeds) == 0).float()
        masks.append((mask - mask.mean()) / (mask - mask.mean()).norm())
        spectrum = torch.fft.rfft(masks[-1], n=2**21).abs().square()
        at_distance = torch.fft.irfft(spectrum)[1 : 2**19]
        assert at_distance.abs().max() < 6 / 2**10  # standard deviations
    between = torch.corrcoef(torch.stack(masks)).fill_diagonal_(0)
    assert between.abs().max() < 5 / 2**10


def test_the_hash_is_lowbias32_with_a_second_seed():
    def expected(number, first, second):
        x = (number + first) * 0x9E3779B1 % 2**32
        x = (x ^ x >> 16) * 0x7FEB352D % 2**32 ^ second % 2**32
        x = (x ^ x >> 15) * 0x846CA68B % 2**32
        return (x ^ x >> 16) % 2**16

    seeds = [2**31 - 3, -(2**31) + 9]  # the number overflows
    dropped = [expected(number, *seeds) < 2**15 for number in range(1000)]
    assert hashed(seeds, 0.5, (10, 100)).flatten().bool().tolist() == dropped


def test_seeds_extreme_probabilities_and_evaluation():
    seeds = random_seeds(torch.ones(()), 2)
    assert dropout_by(torch.ones(4), 1.0, seeds).tolist() == [0.0] * 4
    assert dropout_by(torch.ones(4), 0.0, seeds).tolist() == [1.0] * 4
    module, x = Dropout(0.5), torch.ones(100)
    assert torch.equal(module(x, seeds), dropout_by(x, 0.5, seeds))
    assert torch.equal(module.eval()(x, seeds), x)
    assert random_seeds(x, 3, 2, 2).shape == (3, 2, 2)
    many = random_seeds(x, 1000)
    assert len(many.unique()) == 1000
    assert many.min() < -(2**30)
    assert many.max() > 2**30


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
