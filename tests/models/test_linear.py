"""The linear map for CPUs in bfloat16 against torch's own, values and gradients."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_xling.models import linear
from fairseq_xling.models.linear import Linear, weight_gradient


@pytest.mark.parametrize(("inputs", "outputs"), [(24, 64), (64, 24), (32, 32)], ids=["wider", "narrower", "square"])
@pytest.mark.parametrize("shape", [(40,), (4, 10), (1, 1)], ids=["matrix", "batch", "one row"])
def test_as_torch(inputs, outputs, shape, monkeypatch):
    monkeypatch.setattr(linear, "LARGE", 0)
    torch.manual_seed(0)
    ours, theirs = Linear(inputs, outputs), torch.nn.Linear(inputs, outputs)
    theirs.load_state_dict(ours.state_dict())
    x, weight = torch.randn(*shape, inputs), torch.randn(*shape, outputs)
    found = []
    for module in (ours, theirs):
        given = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = module(given)
        assert out.dtype == torch.bfloat16
        assert out.shape == weight.shape
        (out.float() * weight).sum().backward()
        found.append([out.detach().float(), given.grad, module.weight.grad, module.bias.grad])
    for a, b in zip(*found, strict=True):
        assert a.dtype == b.dtype == torch.float32
        assert a.is_contiguous()
        assert torch.allclose(a, b, rtol=2e-2, atol=2e-2 * float(b.abs().max()))


def test_frozen_weights_get_no_gradient_and_the_input_does(monkeypatch):
    monkeypatch.setattr(linear, "LARGE", 0)
    module = Linear(8, 6).requires_grad_(False)
    x = torch.randn(5, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        module(x).float().sum().backward()
    assert module.weight.grad is None
    assert x.grad is not None


@pytest.mark.parametrize(("inputs", "outputs"), [(24, 64), (64, 24)])
def test_gradient_is_the_product(inputs, outputs):
    torch.manual_seed(1)
    x, grad = torch.randn(30, inputs).bfloat16(), torch.randn(30, outputs).bfloat16()
    expected = grad.double().t() @ x.double()
    found = weight_gradient(x, grad, torch.float32)
    assert found.is_contiguous()
    assert torch.allclose(found.double(), expected, rtol=1e-2, atol=0.05)


@pytest.mark.parametrize("shape", [(128, 5), (130, 7), (1, 1)], ids=["blocks", "no blocks", "one"])
def test_transposed(shape):
    matrix = torch.arange(shape[0] * shape[1]).view(shape).float()
    assert linear._transposed(matrix).is_contiguous()
    assert torch.equal(linear._transposed(matrix), matrix.t())
    assert torch.equal(linear._transposed(matrix[:, :3]), matrix[:, :3].t())


@pytest.mark.parametrize("why", ["small", "float32", "no gradient"])
def test_otherwise_it_is_torchs(why, monkeypatch):
    if why != "small":
        monkeypatch.setattr(linear, "LARGE", 0)
    monkeypatch.setattr(linear._Product, "apply", lambda *_: pytest.fail("not here"))
    module, x = Linear(8, 6), torch.randn(5, 8)
    with torch.autocast("cpu", torch.bfloat16, enabled=why != "float32"), torch.set_grad_enabled(why != "no gradient"):
        expected = F.linear(x, module.weight, module.bias)
        assert torch.equal(module(x), expected)
