"""Compiled layers compute the same, and are compiled seldom."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from fairseq_xling.models import compilation, layers
from fairseq_xling.models.compilation import can_compile, compile_layers
from fairseq_xling.models.dropout import random_bits
from fairseq_xling.models.encoder import Shape, VocabularyInfo, XlingEncoder
from fairseq_xling.models.layers import TransformerLayer
from fairseq_xling.sharing import Sharing


def test_compiled_layers_compute_the_same_and_share_their_compilation():
    torch.manual_seed(0)
    torch._dynamo.reset()
    stack = torch.nn.ModuleList(TransformerLayer(16, 2, 32, 0.0, 0.0) for _ in range(4))

    def run(count):
        x = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(count)).requires_grad_()
        for layer in stack[:-1]:
            x = layer(x)
        out = stack[-1](x, only=torch.arange(count))
        stack.zero_grad()
        out.sum().backward()
        return out.detach(), [parameter.grad.clone() for parameter in stack.parameters()]

    plain = {count: run(count) for count in (4, 7, 9, 5)}
    counter = CompileCounterWithBackend("aot_eager")
    compile_layers(stack, backend=counter)
    for count, (out, gradients) in plain.items():
        compiled, theirs = run(count)
        assert torch.allclose(compiled, out, atol=1e-5)
        assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(theirs, gradients, strict=True))
    assert counter.frame_count == 3  # all positions; some; another number of them, and from then on any
    torch._dynamo.reset()


def test_dropout_is_torchs_own_where_it_is_compiled():
    torch._dynamo.reset()
    layer = TransformerLayer(16, 2, 32, 0.5, 0.5)
    compile_layers(layer, backend="aot_eager", fullgraph=True)  # masks drawn outside of torch would break the graph
    assert layer(torch.randn(2, 3, 16)).isfinite().all()
    torch._dynamo.reset()


@pytest.mark.parametrize("norm_before", [False, True])
def test_a_compiled_layer_takes_the_bits_of_its_dropout(norm_before):
    torch._dynamo.reset()
    layer = TransformerLayer(16, 2, 32, 0.5, 0.0, norm_before)
    x = torch.randn(2, 3, 16)
    assert layer.bits_for(x, None) is None  # not compiled
    compile_layers(layer, backend="aot_eager", fullgraph=True)
    for only, shape in ((None, (2, 2, 3, 16)), (torch.tensor([0, 4]), (2, 2, 16))):
        bits = layer.bits_for(x, only)
        assert bits.shape == shape
        first, again = (layer(x, None, only, bits) for _ in range(2))
        assert torch.equal(first, again)  # nothing else is random
        assert not torch.equal(layer(x, None, only, layer.bits_for(x, only)), first)
        all_kept = torch.full_like(bits, 2**15 - 1)  # and scaled, which a layer norm after the sum notices as well
        assert torch.allclose(layer(x, None, only, all_kept), layer.forward(x, None, only, all_kept), atol=1e-5)
    assert layer.eval().bits_for(x, None) is None
    torch._dynamo.reset()


def test_a_compiled_encoder_draws_anew_in_every_layer(monkeypatch):
    torch._dynamo.reset()
    drawn = []
    monkeypatch.setattr(layers, "random_bits", lambda *args: drawn.append(random_bits(*args)) or drawn[-1])
    encoder = XlingEncoder(Shape(3, 16, 2, 32, 8), Sharing(3), {"en": VocabularyInfo(20)})
    compile_layers(encoder, backend="aot_eager")
    encoder(torch.arange(2, 10).view(2, 4), "en", only=torch.tensor([1, 2, 5]))
    assert [tuple(bits.shape) for bits in drawn] == [(2, 2, 4, 16), (2, 2, 4, 16), (2, 3, 16)]
    assert not torch.equal(drawn[0], drawn[1])
    torch._dynamo.reset()


def test_without_a_c_compiler_training_goes_on_uncompiled(monkeypatch, caplog):
    monkeypatch.setattr(compilation.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(compilation.shutil, "which", lambda name: "/usr/bin/cc" if name == "cc" else None)
    assert can_compile()
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    assert not can_compile()
    assert "--torch-compile needs Triton and a C compiler; training goes on without it" in caplog.text
