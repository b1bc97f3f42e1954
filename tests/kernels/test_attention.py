"""The Triton kernels against torch in float64: on a GPU, or in Triton's interpreter (TRITON_INTERPRET=1) on a CPU.

The interpreter of Triton 3.6 needs NumPy before 2.3.
"""

import os

import numpy as np
import pytest
import torch

from fairseq_xling.models.dropout import HASH_FACTORS

interpreted = os.environ.get("TRITON_INTERPRET") == "1"
if not torch.cuda.is_available() and not interpreted:
    pytest.skip("needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)
pytest.importorskip("triton", reason="needs Triton")

from fairseq_xling.kernels import attention as attention_kernel  # noqa: E402
from fairseq_xling.kernels.attention import attention  # noqa: E402
from fairseq_xling.models.layers import FUSED_LENGTHS, SelfAttention  # noqa: E402

if not interpreted and not attention_kernel.available():
    pytest.skip("needs a GPU from the H100 on", allow_module_level=True)

DEVICE = "cpu" if interpreted else "cuda"
DROPPED = round(0.1 * 2**16)


@pytest.fixture(autouse=True)
def mend_the_interpreter(monkeypatch):
    """It holds bfloat16 as integers, multiplies those, and rounds down."""
    if not interpreted:
        return
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    dot, cast = InterpreterBuilder.create_dot, InterpreterBuilder.cast_impl

    def wide(x):
        if x.dtype.scalar != tl.bfloat16:
            return x
        return TensorHandle((x.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def rounded(self, x, kind):
        if x.dtype.scalar != tl.float32 or kind.scalar != tl.bfloat16:
            return cast(self, x, kind)
        bits = np.ascontiguousarray(x.data).view(np.uint32)
        return TensorHandle(((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16), tl.bfloat16)

    monkeypatch.setattr(InterpreterBuilder, "create_dot", lambda self, a, b, *rest: dot(self, wide(a), wide(b), *rest))
    monkeypatch.setattr(InterpreterBuilder, "cast_impl", rounded)


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


@pytest.mark.parametrize("length", FUSED_LENGTHS)
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


def test_a_layer_that_is_compiled():
    torch._dynamo.reset()
    torch.manual_seed(0)
    layer, x = SelfAttention(128, 2, 0.1).to(DEVICE), torch.randn(2, 64, 128, device=DEVICE)
    layer.fused = True
    seeds = torch.tensor([[5, -7], [6, 8]], dtype=torch.int32, device=DEVICE)

    def run(function, which):
        layer.zero_grad()
        with torch.autocast(DEVICE, torch.bfloat16):
            out = function(x, None, torch.arange(9, device=DEVICE), seeds[which])
        out.float().square().sum().backward()
        return [out.detach().float(), *(parameter.grad for parameter in layer.parameters())]

    plain, other = run(layer, 0), run(layer, 1)
    compiled = run(torch.compile(layer, backend="aot_eager" if interpreted else "inductor", fullgraph=True), 0)
    for one, same, different in zip(plain, compiled, other, strict=True):
        assert torch.allclose(one, same, rtol=0.05, atol=0.02 * float(one.abs().max()))
        assert not torch.allclose(one, different, rtol=0.05, atol=0.02 * float(one.abs().max()))
    layer.dropout = 0.0
    fused = run(layer, 0)
    layer.fused = False
    for one, other in zip(fused, run(layer, 0), strict=True):
        assert torch.allclose(one, other, rtol=0.05, atol=0.02 * float(one.abs().max()))
    torch._dynamo.reset()


def test_what_it_is_not_made_for_goes_to_torch():
    layer = SelfAttention(128, 2, 0.1)
    layer.fused = True
    good = torch.empty(2, 64, 384, dtype=torch.bfloat16)
    assert layer._fits(good)
    assert not layer._fits(good[:, :63])
    assert not layer._fits(good.float())
    assert not SelfAttention(128, 4, 0.1)._fits(good)
    assert not layer.eval()._fits(good)
