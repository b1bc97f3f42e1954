"""Layers made of the kernels against those made of torch's operations."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from . import INTERPRETED, triton_or_skip

DEVICE = triton_or_skip()

from fairseq_xling.kernels import attention, residual_norm  # noqa: E402

if not INTERPRETED and not attention.available():
    pytest.skip("needs a GPU from the H100 on", allow_module_level=True)

from fairseq_xling.models import compilation, fused_layers  # noqa: E402
from fairseq_xling.models.encoder import VocabularyInfo, XlingEncoder  # noqa: E402
from fairseq_xling.models.shape import Shape  # noqa: E402
from fairseq_xling.sharing import Sharing  # noqa: E402

ONLY = torch.tensor([3, 64, 127, 5])


@pytest.fixture(autouse=True)
def many_rows_at_a_time(monkeypatch):
    """The interpreter takes as long for a row as for many."""
    if INTERPRETED:
        monkeypatch.setattr(residual_norm, "ROWS", 64)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def make(dropout=0.0, **options):
    torch.manual_seed(0)
    shape = Shape(3, 128, 2, 256, 64, dropout=dropout, attention_dropout=dropout, **options)
    vocabularies = {"en": VocabularyInfo(90), "fr": VocabularyInfo(90)}
    return XlingEncoder(shape, Sharing.parse("1", 3), vocabularies).to(DEVICE)


def states_of(model, language="en", only=ONLY):
    tokens = torch.randint(2, 90, (2, 64), generator=torch.Generator().manual_seed(1)).to(DEVICE)
    with torch.autocast(DEVICE, torch.bfloat16):
        return model(tokens, language, only=None if only is None else only.to(DEVICE))


def run(model, language="en", only=ONLY):
    model.zero_grad()
    states = states_of(model, language, only)
    (states[-1].float() * torch.linspace(-1, 1, 128, device=DEVICE)).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return [state.detach() for state in states], gradients


def compile_with(model, monkeypatch, backend):
    monkeypatch.setattr(compilation, "_has_kernels", lambda: True)
    compilation.compile_layers(model, backend=backend)
    assert not fused_layers.fits(model.shape, torch.empty(2, 64))  # no autocast


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("only", [None, ONLY])
def test_without_dropout_as_torch(monkeypatch, rounded, only):
    model = make(bf16_residual=rounded)
    states, gradients = run(model, only=only)
    counter = CompileCounterWithBackend("aot_eager" if INTERPRETED else "inductor")
    compile_with(model, monkeypatch, counter)
    ours, theirs = run(model, only=only)
    assert counter.frame_count == (2 if only is None else 3)  # the input; layers; the last one
    run(model, "fr", only=only)
    assert counter.frame_count == (2 if only is None else 3)
    assert theirs.keys() == gradients.keys()
    for one, other in zip(ours, states, strict=True):
        assert one.dtype == other.dtype
        assert distance(one, other) < 0.01
    for name, gradient in gradients.items():
        assert theirs[name].dtype == torch.float32
        limit = 0.5 if "qkv.bias" in name else 0.03  # keys' biases have a gradient of 0
        assert distance(theirs[name], gradient) < limit, name


def distance(first, second):
    return float((first.float() - second.float()).norm() / second.float().norm())


def test_each_dropout_has_seeds_of_its_own(monkeypatch):
    model = make(dropout=0.2)
    compile_with(model, monkeypatch, "aot_eager")
    pairs = torch.randint(-(2**31), 2**31, (2, 4, 4, 2), generator=torch.Generator().manual_seed(2)).int().to(DEVICE)
    drawn = [pairs[0]]
    monkeypatch.setattr(model, "_seeds", lambda _: drawn[0])
    first, again = states_of(model), states_of(model)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    for layer, pair in ((0, 0), *((layer, pair) for layer in (1, 2, 3) for pair in (0, 2, 3))):
        drawn[0] = pairs[0].clone()
        drawn[0][layer, pair] = pairs[1, layer, pair]
        for number, (one, two) in enumerate(zip(first, states_of(model), strict=True)):
            assert torch.equal(one, two) == (number < layer)


def test_what_does_not_fit_goes_the_other_way(monkeypatch):
    model = make(norm_before=True)
    compile_with(model, monkeypatch, "aot_eager")
    assert states_of(model)[-1].isfinite().all()
    plain = make()
    with torch.autocast(DEVICE, torch.bfloat16):
        tokens = torch.empty(2, 64, device=DEVICE)
        assert fused_layers.fits(plain.shape, tokens)
        assert not fused_layers.fits(plain.shape, tokens[:, :63])
        assert not fused_layers.fits(model.shape, tokens)
        assert not fused_layers.fits(make(dropout=1.0).shape, tokens)
        assert not fused_layers.fits(Shape(3, 128, 4, 256, 64), tokens)
