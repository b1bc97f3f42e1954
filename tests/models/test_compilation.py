"""Compiled layers compute the same, and are compiled seldom."""

import torch
from torch._dynamo.testing import CompileCounterWithBackend

from fairseq_xling.models import compilation
from fairseq_xling.models.compilation import can_compile, compile_layers
from fairseq_xling.models.layers import TransformerLayer


def test_compiled_layers_compute_the_same_and_share_their_compilation():
    torch.manual_seed(0)
    torch._dynamo.reset()
    layers = torch.nn.ModuleList(TransformerLayer(16, 2, 32, 0.0, 0.0) for _ in range(4))

    def run(count):
        x = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(count)).requires_grad_()
        for layer in layers[:-1]:
            x = layer(x)
        out = layers[-1](x, only=torch.arange(count))
        layers.zero_grad()
        out.sum().backward()
        return out.detach(), [parameter.grad.clone() for parameter in layers.parameters()]

    plain = {count: run(count) for count in (4, 7, 9, 5)}
    counter = CompileCounterWithBackend("aot_eager")
    compile_layers(layers, backend=counter)
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


def test_without_a_c_compiler_training_goes_on_uncompiled(monkeypatch, caplog):
    monkeypatch.setattr(compilation.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(compilation.shutil, "which", lambda name: "/usr/bin/cc" if name == "cc" else None)
    assert can_compile()
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    assert not can_compile()
    assert "--torch-compile needs Triton and a C compiler; training goes on without it" in caplog.text
