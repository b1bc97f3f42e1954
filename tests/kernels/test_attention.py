"""The Triton kernels of attention against torch in float64."""

import pytest
import torch

from fairseq_xling.kernels.constants import HASH_FACTORS, LENGTHS

from . import INTERPRETED, triton_or_skip

DEVICE = triton_or_skip()

from fairseq_xling.kernels.attention import attention, available  # noqa: E402

if not INTERPRETED and not available():
    pytest.skip("needs a GPU from the H100 on", allow_module_level=True)

DROPPED = round(0.1 * 2**16)


def kept(batch, heads, length, seeds, dropped):
    """The mask in int64: (batch, heads, length, length) bool."""
    spread, first, second = HASH_FACTORS
    seed, other = (seeds.cpu().long() % 2**32).tolist()
    rows, columns = torch.arange(batch * heads * length)[:, None], torch.arange(length)
    x = times((rows * (length // 2) + columns // 2 + seed) % 2**32, spread)
    x = times(x ^ (x >> 16), first) ^ other
    x = times(x ^ (x >> 15), second)
    x = x ^ (x >> 16)
    return ((x >> (16 * (columns % 2))) % 2**16 >= dropped).view(batch, heads, length, length)


def times(x, factor):
    """Modulo 2^32, within int64."""
    return (((x * (factor >> 16)) % 2**16 << 16) + x * (factor % 2**16)) % 2**32


def by_torch(qkv, mask, heads, dropped):
    """Attention in float64."""
    batch, length, _ = qkv.shape
    queries, keys, values = qkv.view(batch, length, 3, heads, 64).permute(2, 0, 3, 1, 4)
    weights = (queries @ keys.transpose(-1, -2) / 8).softmax(-1) * mask * (2**16 / (2**16 - dropped))
    return (weights @ values).transpose(1, 2).reshape(batch, length, -1)


def distance(found, exact):
    return float((found.double().cpu() - exact).norm() / exact.norm())


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("heads", "dropped"), [(2, DROPPED), (3, 0)])
def test_as_torch(length, heads, dropped):
    torch.manual_seed(length)
    qkv = (torch.randn(2, length, 3 * heads * 64) * 1.5).bfloat16()
    grad, seeds = torch.randn(2, length, heads * 64).bfloat16(), torch.tensor([2**31 - 100, -7], dtype=torch.int32)
    exact = qkv.double().requires_grad_()
    expected = by_torch(exact, kept(2, heads, length, seeds, dropped), heads, dropped)
    expected.backward(grad.double())
    given = qkv.to(DEVICE).requires_grad_()
    out, lse = attention(given, seeds.to(DEVICE), heads, dropped)
    out.backward(grad.to(DEVICE))
    assert out.dtype == given.grad.dtype == torch.bfloat16
    assert lse.shape == (2 * heads, length)
    assert distance(out.detach(), expected.detach()) < 5e-3
    for ours, theirs in zip(given.grad.chunk(3, -1), exact.grad.chunk(3, -1), strict=True):
        assert distance(ours, theirs) < 5e-3


def test_the_mask():
    """Columns and rows that are neighbours, heads, and seeds, are independent."""
    masks = []
    for seed in range(4):
        seeds = torch.randint(-(2**31), 2**31, (2,), generator=torch.Generator().manual_seed(seed))
        masks.append(~kept(4, 4, 256, seeds, DROPPED))
    found = torch.stack(masks).double()
    assert float(found.mean()) == pytest.approx(0.1, abs=0.001)
    assert float((found.mean(-1) - 0.1).abs().max()) < 6 * 0.3 / 16
    assert float((found.mean(-2) - 0.1).abs().max()) < 6 * 0.3 / 16
    found = (found - found.mean()) / found.std()
    for dim in range(5):
        for step in (1, 2, 3, 4, 8, 16, 32, 64, 128):
            if step < found.shape[dim]:
                first, second = (
                    found.narrow(dim, step, found.shape[dim] - step),
                    found.narrow(dim, 0, found.shape[dim] - step),
                )
                assert abs(float((first * second).mean())) < 5 / first.numel() ** 0.5


def test_as_an_operation_of_torch():
    qkv = torch.randn(1, 64, 192).bfloat16().to(DEVICE).requires_grad_()
    torch.library.opcheck(attention, (qkv, torch.tensor([5, -7], dtype=torch.int32, device=DEVICE), 1, DROPPED))
