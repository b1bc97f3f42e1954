"""GELU by one exponential against torch's in float64; where it is used."""

import math

import torch
import torch.nn.functional as F
from torch._dynamo.testing import CompileCounterWithBackend

from fairseq_xling.models.gelu import Gelu, gelu


def test_values_and_gradients():
    x = torch.linspace(-12, 12, 100_001).requires_grad_()
    exact = x.detach().double().requires_grad_()
    ours, theirs = Gelu.apply(x), F.gelu(exact)
    ours.sum().backward()
    theirs.sum().backward()
    assert float((ours - theirs).abs().max().detach()) < 1e-6  # torch's own in float32: 1.2e-6
    assert float((x.grad - exact.grad).abs().max()) < 4e-7


def test_what_is_no_number_stays_none_and_infinity_passes():
    nan, inf = Gelu.apply(torch.tensor([torch.nan, torch.inf])).tolist()
    assert math.isnan(nan)
    assert inf == math.inf


def test_in_bfloat16_it_is_torchs_but_for_rounding():
    x = torch.linspace(-6, 6, 2_001).bfloat16()
    assert torch.allclose(Gelu.apply(x).float(), F.gelu(x.float()), rtol=2**-8, atol=1e-6)


def test_compiled_code_in_bfloat16_uses_it_and_nothing_else_does():
    torch._dynamo.reset()
    compiled = torch.compile(gelu, backend=(counter := CompileCounterWithBackend("aot_eager")))
    for dtype, uses in ((torch.bfloat16, True), (torch.float32, False)):
        x = torch.randn(9).to(dtype).requires_grad_()
        other = x.detach().clone().requires_grad_()
        compiled(x).sum().backward()
        gelu(other).sum().backward()
        assert ("autograd_function" in counter.graphs[-1].code) == uses
        assert torch.allclose(x.grad, other.grad, rtol=2**-7, atol=1e-6)
    assert type(gelu(other).grad_fn).__name__ == "GeluBackward0"  # torch's
    torch._dynamo.reset()
