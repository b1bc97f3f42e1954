"""Compiled layers compute the same, and are compiled seldom."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from fairseq_xling.models import compilation, encoder
from fairseq_xling.models.compilation import can_compile, compile_layers
from fairseq_xling.models.dropout import random_seeds
from fairseq_xling.models.encoder import VocabularyInfo, XlingEncoder
from fairseq_xling.models.layers import TransformerLayer
from fairseq_xling.models.shape import Shape
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
def test_a_compiled_layer_takes_the_seeds_of_its_dropout(norm_before):
    torch._dynamo.reset()
    layer = TransformerLayer(16, 2, 32, 0.5, 0.0, norm_before)
    compile_layers(layer, backend="aot_eager", fullgraph=True)
    x, seeds = torch.randn(2, 3, 16), random_seeds(torch.ones(()), 3, 2, 2)
    for only in (None, torch.tensor([0, 4])):
        first, again = (layer(x, None, only, seeds[0]) for _ in range(2))
        assert torch.equal(first, again)  # nothing else is random
        assert torch.allclose(first, layer.forward(x, None, only, seeds[0]), atol=1e-5)
        for other in (seeds[1], torch.stack([seeds[0, 0], seeds[1, 1]]), torch.stack([seeds[1, 0], seeds[0, 1]])):
            assert not torch.equal(layer(x, None, only, other), first)  # both sublayers' count
    torch._dynamo.reset()


def test_a_compiled_encoder_draws_seeds_for_every_dropout_anew(monkeypatch):
    torch._dynamo.reset()
    drawn = []
    monkeypatch.setattr(encoder, "random_seeds", lambda *args: drawn.append(random_seeds(*args)) or drawn[-1])
    model = XlingEncoder(Shape(3, 16, 2, 32, 8), Sharing(3), {"en": VocabularyInfo(20)})
    tokens = torch.arange(2, 10).view(2, 4)
    model(tokens, "en")
    assert not drawn  # not compiled
    compile_layers(model, backend="aot_eager")
    for _ in range(2):
        model(tokens, "en", only=torch.tensor([1, 2, 5]))
    assert [tuple(seeds.shape) for seeds in drawn] == [(4, 4, 2)] * 2
    assert not torch.equal(*drawn)
    model.eval()(tokens, "en")
    assert len(drawn) == 2
    torch._dynamo.reset()


@pytest.mark.parametrize("options", [{}, {"language_embeddings": True, "norm_before": True}])
@pytest.mark.parametrize("separate", ["", "emb,1-2"])
def test_a_compiled_encoder_computes_the_same(options, separate):
    torch.manual_seed(0)
    torch._dynamo.reset()
    vocabularies = {"en": VocabularyInfo(20), "fr": VocabularyInfo(20)}
    sharing = Sharing.parse(separate, 3)
    plain = XlingEncoder(Shape(3, 16, 2, 32, 8, dropout=0.0, attention_dropout=0.0, **options), sharing, vocabularies)
    tokens, mask = torch.arange(2, 10).view(2, 4), torch.tensor([[False] * 4, [False, False, True, True]])

    def run(language, padding):
        plain.zero_grad()
        states = plain(tokens, language, mask if padding else None)
        (states[-1] * torch.arange(16)).sum().backward()
        return [*states, *(p.grad for p in plain.parameters() if p.grad is not None)]

    expected = {(lang, padding): run(lang, padding) for lang in vocabularies for padding in (False, True)}
    compile_layers(plain, backend="aot_eager")
    for case, values in expected.items():
        for one, other in zip(run(*case), values, strict=True):
            assert torch.allclose(one, other, atol=1e-4, rtol=1e-4)
    torch._dynamo.reset()


def test_without_a_c_compiler_training_goes_on_uncompiled(monkeypatch, caplog):
    monkeypatch.setattr(compilation.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(compilation.shutil, "which", lambda name: "/usr/bin/cc" if name == "cc" else None)
    assert can_compile()
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    assert not can_compile()
    assert "--torch-compile needs Triton and a C compiler; training goes on without it" in caplog.text


def test_kernels_of_our_own_can_be_left_out(monkeypatch):
    monkeypatch.setattr(compilation.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(compilation.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("XLING_NO_KERNEL", "1")
    assert not compilation._has_kernels()
    monkeypatch.setattr(compilation.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("XLING_NO_KERNEL", "")
    assert not compilation._has_kernels()  # nor without Triton
