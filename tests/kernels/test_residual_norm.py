"""The Triton kernels of dropout, residual sum and layer norm against torch in float64."""

import pytest
import torch
import torch.nn.functional as F

from . import triton_or_skip

DEVICE = triton_or_skip()

from fairseq_xling.kernels import residual_norm as kernels  # noqa: E402
from fairseq_xling.kernels.residual_norm import residual_norm  # noqa: E402
from fairseq_xling.models.dropout import dropout_by  # noqa: E402

EPS = 1e-12


def case(shape, stream, seed=0):
    torch.manual_seed(seed)
    x, added = torch.randn(shape).to(stream), (2 * torch.randn(shape)).bfloat16()
    weight, bias = 1 + 0.3 * torch.randn(shape[-1]), torch.randn(shape[-1])
    return x, added, weight, bias, torch.tensor([2**31 - 50, -5], dtype=torch.int32)


@pytest.mark.parametrize("shape", [(3, 7, 48), (1, 64), (33, 129)])
@pytest.mark.parametrize("stream", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("probability", [0.0, 0.1])
@pytest.mark.parametrize("used", ["both", "stream", "low"])
def test_as_torch(shape, stream, probability, used, monkeypatch):
    monkeypatch.setattr(kernels, "PARTS", 3)  # several rows each, and not as many
    *inputs, seeds = case(shape, stream)
    exact = [each.double().requires_grad_() for each in inputs]
    total = exact[0] + dropout_by(exact[1], probability, seeds)
    expected = F.layer_norm(total, shape[-1:], *exact[2:], EPS)
    given = [each.to(DEVICE).requires_grad_() for each in inputs]
    out, low, mean, scale = residual_norm(*given, seeds.to(DEVICE), round(probability * 2**16), EPS)
    assert (out.dtype, low.dtype) == (stream, torch.bfloat16)
    assert torch.equal(out.bfloat16(), low)
    assert torch.allclose(mean.cpu().double(), total.mean(-1), atol=1e-5)
    assert torch.allclose(scale.cpu().double(), 1 / total.std(-1, correction=0), rtol=1e-5)
    tolerance = 1e-5 if stream == torch.float32 else 1e-2
    assert torch.allclose(out.cpu().double(), expected, rtol=tolerance, atol=tolerance)
    grads = torch.randn(shape).to(stream), torch.randn(shape).bfloat16()
    loss = sum(
        (each * grad.to(DEVICE)).float().sum() for each, grad, name in pairs(out, low, grads) if used in ("both", name)
    )
    loss.backward()
    weights = sum(grad.double() for _, grad, name in pairs(out, low, grads) if used in ("both", name))
    (expected * weights).sum().backward()
    for ours, theirs in zip(given, exact, strict=True):
        assert ours.grad.dtype == ours.dtype
        error = (ours.grad.cpu().double() - theirs.grad).norm() / theirs.grad.norm()
        assert error < (1e-5 if ours.dtype == torch.float32 else 5e-3)


def pairs(out, low, grads):
    return ((out, grads[0], "stream"), (low, grads[1], "low"))


def test_as_an_operation_of_torch():
    *inputs, seeds = case((5, 64), torch.float32)
    given = [each.to(DEVICE).requires_grad_() for each in inputs]
    torch.library.opcheck(residual_norm, (*given, seeds.to(DEVICE), 6554, EPS))
