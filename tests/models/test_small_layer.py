"""The C kernel of a narrow layer against torch and against float64, and when it is used."""

import copy
import math
import pickle
import re
import shutil

import pytest
import torch
import torch.nn.functional as F

from fairseq_xling.models import small_layer
from fairseq_xling.models.encoder import VocabularyInfo, XlingEncoder
from fairseq_xling.models.layers import LAYER_NORM_EPS, TransformerLayer
from fairseq_xling.models.shape import Shape
from fairseq_xling.sharing import Sharing

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler")


@pytest.fixture
def torch_kernels(monkeypatch):
    """A function that calls another while the kernel is switched off."""

    def call(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(small_layer, "library", lambda: None)
            return function(*arguments)

    return call


@pytest.fixture
def calls(monkeypatch):
    """Whether each layer that was computed was the kernel's."""
    seen = []
    original = small_layer.parameters

    def parameters(*arguments):
        found = original(*arguments)
        seen.append(found is not None)
        return found

    monkeypatch.setattr(small_layer, "parameters", parameters)
    return seen


def make(dim=64, heads=2, hidden=128, norm_before=True, dropout=0.0, seed=0):
    torch.manual_seed(seed)
    layer = TransformerLayer(dim, heads, hidden, dropout, dropout, norm_before)
    for name, parameter in layer.named_parameters():  # ones and zeros at the start: a forgotten one would not show
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, mean=float("norm.weight" in name), std=0.3)
    return layer


def mask(batch, length):
    """Rows of different lengths; the first is whole."""
    lengths = torch.tensor([length - (5 * row) % length for row in range(batch)])
    return (torch.arange(length)[None] < lengths[:, None])[:, None, None]


def results(layer, x, attend, only, direction):
    """The output and the gradients of its product with `direction`, of the input and of all parameters."""
    x = x.clone().requires_grad_()
    y = layer(x, attend, only)
    return [y.detach(), *torch.autograd.grad((y * direction).sum(), [x, *layer.parameters()])]


def check(layer, x, attend, only, torch_kernels):
    """Kernel and torch in float32 against torch in float64: the kernel's error is about as small as torch's."""
    assert small_layer.library() is not None
    n = x.shape[0] * x.shape[1] if only is None else len(only)
    direction = torch.randn(n, x.shape[2])
    direction = direction.view(x.shape) if only is None else direction
    ours = results(layer, x, attend, only, direction)
    theirs = torch_kernels(results, layer, x, attend, only, direction)
    exact = results(copy.deepcopy(layer).double(), x.double(), attend, only, direction.double())
    names = ["output", "input", *dict(layer.named_parameters())]
    for name, a, b, c in zip(names, ours, theirs, exact, strict=True):
        assert a.shape == b.shape, name
        size = float(c.abs().max()) + 1e-3
        error, usual = float((a - c).abs().max()) / size, float((b - c).abs().max()) / size
        assert error <= 3 * usual + 2e-6, f"{name}: {error:.2g}, torch {usual:.2g}"
    with torch.no_grad():
        assert torch.equal(layer(x, attend, only), ours[0])


@pytest.mark.parametrize("norm_before", [False, True])
@pytest.mark.parametrize("length", [1, 2, 17, 18, 64])
@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("chosen", [False, True])
def test_as_torch(norm_before, length, batch, padded, chosen, torch_kernels):
    layer = make(norm_before=norm_before)
    only = torch.randint(0, batch * length, (batch * length // 6 + 1,)) if chosen else None
    x = torch.randn(batch, length, 64)
    check(layer, x, mask(batch, length) if padded else None, only, torch_kernels)


@pytest.mark.parametrize("norm_before", [False, True])
@pytest.mark.parametrize(
    ("dim", "heads", "hidden"), [(16, 1, 32), (32, 2, 48), (48, 3, 80), (96, 2, 112), (128, 4, 512)]
)
@pytest.mark.parametrize("length", [3, 19])
def test_widths(dim, heads, hidden, length, norm_before, torch_kernels):
    layer = make(dim, heads, hidden, norm_before)
    for only in (None, torch.tensor([7, 0, 7, 5 * length - 1])):
        check(layer, torch.randn(5, length, dim), mask(5, length), only, torch_kernels)


def test_many_sentences_and_a_long_one(torch_kernels):
    for batch, length in ((130, 7), (2, small_layer.LONGEST)):
        check(make(), torch.randn(batch, length, 64), None, None, torch_kernels)


@pytest.mark.parametrize("norm_before", [False, True])
@pytest.mark.parametrize("only", [[0] * 1200 + list(range(0, 1920, 3)), [1919] * 1600, [959] * 3000])
def test_positions_that_are_wanted_often_stay_within_the_memory(only, norm_before, monkeypatch, torch_kernels):
    """Fine-tuning asks for position 0 in the place of words that are not there: one sentence has most of the rows."""
    guards = []

    def guarded(count):
        memory = torch.full((count + 2**16,), 7.0)
        guards.append(memory[count:])
        return memory

    monkeypatch.setattr(small_layer, "_floats", guarded)
    check(make(norm_before=norm_before), torch.randn(32, 60, 64), mask(32, 60), torch.tensor(only), torch_kernels)
    assert guards
    assert all(torch.all(guard == 7) for guard in guards)


def test_by_hand():
    layer = make(16, 1, 16, norm_before=False)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.attention.qkv.weight[32:].copy_(torch.eye(16))  # values: the input; all keys alike
        layer.attention.out.weight.copy_(torch.eye(16))
        layer.attention_norm.weight.fill_(1)
        layer.feed_forward_norm.bias.fill_(0.5)
        layer.feed_forward_norm.weight.fill_(2)
        x = torch.zeros(1, 2, 16)
        x[0, 0, 0], x[0, 1, 1] = 4, 4
        # first position: [4, 0, ...] + [2, 2, 0, ...]; two norms in a row are one
        s = [6.0, 2.0] + 14 * [0.0]
        deviation = math.sqrt(sum((value - 0.5) ** 2 for value in s) / 16)
        expected = [2 * (value - 0.5) / deviation + 0.5 for value in s]
        assert layer(x)[0, 0].tolist() == pytest.approx(expected, abs=1e-5)


def test_gelu_is_exact_to_rounding():
    layer = make(16, 1, 2048)
    x = torch.linspace(-12, 12, 2048)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.feed_forward.expand.bias.copy_(x)
        found = []
        for start in range(0, 2048, 16):  # sixteen hidden units at a time
            layer.feed_forward.out.weight.zero_()
            layer.feed_forward.out.weight[:, start : start + 16] = torch.eye(16)
            found.append(layer(torch.zeros(1, 1, 16))[0, 0])
    exact = F.gelu(x.double())
    assert float((torch.cat(found) - exact).abs().div(1 + x.abs()).max()) < 1e-7


def test_a_sentence_has_the_same_values_in_any_batch():
    layer = make()
    x = torch.randn(9, 18, 64)
    with torch.no_grad():
        whole = layer(x)
        padded = layer(F.pad(x, (0, 0, 0, 14), value=3.0), (torch.arange(32) < 18).expand(9, 1, 1, 32))
        assert torch.equal(layer(x[4:5]), whole[4:5])
        assert torch.equal(padded[:, :18], whole)
        only = torch.tensor([40, 0, 161])
        assert torch.equal(layer(x, None, only), whole.view(-1, 64)[only])


@pytest.mark.parametrize("frozen", ["", "attention.qkv", "norm", "feed_forward.expand.bias", "x"])
def test_frozen_parameters(frozen, torch_kernels):
    layer = make()
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(frozen == "x" or frozen not in name or not frozen)
    x = torch.randn(3, 5, 64, requires_grad=frozen != "x")

    def gradients():
        layer.zero_grad()
        x.grad = None
        layer(x).square().sum().backward()
        return [x.grad, *(parameter.grad for parameter in layer.parameters())]

    for a, b in zip(gradients(), torch_kernels(gradients), strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.allclose(a, b, atol=1e-3, rtol=1e-4)


def test_all_frozen(calls):
    layer = make().requires_grad_(False)
    y = layer(torch.randn(3, 5, 64))
    assert not y.requires_grad
    assert calls == [True]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("norm_before", [False, True])
def test_bad_values_are_seen(value, norm_before, torch_kernels):
    layer = make(norm_before=norm_before)
    x, attend = torch.randn(3, 5, 64), mask(3, 5)
    x[1, 2, 3] = value
    direction = torch.ones(3, 5, 64)
    ours = results(layer, x, attend, None, direction)
    theirs = torch_kernels(results, layer, x, attend, None, direction)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a.isfinite(), b.isfinite())
    weight = make()
    with torch.no_grad():
        weight.feed_forward.expand.weight[0, 0] = value
    assert not weight(torch.randn(2, 3, 64)).isfinite().any()


def test_rows_without_any_position_to_attend_to(torch_kernels):
    layer, x = make(), torch.randn(2, 5, 64)
    attend = torch.tensor([[True] * 5, [False] * 5])[:, None, None]
    ours = results(layer, x, attend, None, torch.ones(2, 5, 64))
    for a, b in zip(ours, torch_kernels(results, layer, x, attend, None, torch.ones(2, 5, 64)), strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_positions_that_do_not_exist_are_refused():
    for position in (-1, 10):
        with pytest.raises(IndexError, match="outside of the batch"):
            make()(torch.randn(2, 5, 64), None, torch.tensor([0, position]))


def test_strided_arguments(torch_kernels):
    layer = make()
    x, attend = torch.randn(5, 3, 64).transpose(0, 1), mask(5, 3).permute(3, 1, 2, 0)
    only, direction = torch.arange(12)[::3], torch.randn(64, 4).t()
    ours = results(layer, x, attend, only, direction)
    for a, b in zip(ours, torch_kernels(results, layer, x, attend, only, direction), strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_backward_twice_and_changed_weights():
    layer = make()
    y = layer(torch.randn(2, 5, 64, requires_grad=True)).sum()
    first = torch.autograd.grad(y, layer.attention.qkv.weight, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(y, layer.attention.qkv.weight, retain_graph=True)[0])
    with torch.no_grad():
        layer.attention.qkv.weight += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_where_it_is_used(calls):
    x = torch.randn(2, 5, 64)
    make()(x)
    make(dropout=0.1).eval()(x)
    assert calls == [True, True]
    calls.clear()
    make(dropout=0.1)(x)  # in training
    make().double()(x.double())
    make(24, 1, 32)(torch.randn(2, 5, 24))  # no multiple of 16
    make(32, 4, 32)(torch.randn(2, 5, 32))  # nor its heads
    make(256, 4, 512)(torch.randn(2, 5, 256))  # wide
    make()(torch.randn(1, small_layer.LONGEST + 1, 64))
    make()(torch.randn(0, 5, 64))
    make().to("meta")(x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        make()(x)
    assert not any(calls)
    assert len(calls) == 9


def test_large_work_is_left_to_several_threads(calls):
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            for batch in (16, 100):
                make()(torch.randn(batch, 18, 64))
    finally:
        torch.set_num_threads(threads)
    assert calls == [True, True, True, False]


def test_hooks_and_replaced_parts_are_heeded(calls):
    layer, seen = make(), []
    handle = layer.attention.out.register_forward_hook(lambda *_: seen.append(1))
    layer(torch.randn(2, 5, 64))
    handle.remove()
    layer(torch.randn(2, 5, 64))
    layer.feed_forward = torch.nn.Identity()
    layer(torch.randn(2, 5, 64))
    assert calls == [False, True, False]
    assert seen == [1]


def test_layer_norms_add_the_same():
    text = small_layer.SOURCES[1].read_text()
    assert float(re.search(r"#define EPSILON (\S+)f\n", text)[1]) == LAYER_NORM_EPS


def test_copies_are_as_without_it():
    layer, x = make(), torch.randn(2, 5, 64)
    before = set(layer.state_dict())
    y = layer(x)
    assert set(layer.state_dict()) == before
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), y)


def test_language_specific_layers(calls, torch_kernels):
    torch.manual_seed(0)
    shape = Shape(layers=3, dim=32, heads=2, hidden=64, max_positions=12, dropout=0, attention_dropout=0)
    vocabulary = VocabularyInfo(40)
    encoder = XlingEncoder(shape, Sharing.parse("1-2", 3), {"en": vocabulary, "fr": vocabulary})
    tokens = torch.randint(4, 40, (3, 10))
    padding = torch.arange(10)[None] >= torch.tensor([10, 7, 1])[:, None]

    def run(language):
        encoder.zero_grad()
        encoder(tokens, language, padding, only=torch.tensor([3, 11]))[-1].square().sum().backward()
        return {name: parameter.grad for name, parameter in encoder.named_parameters()}

    for language in ("en", "fr"):
        ours, theirs = run(language), torch_kernels(run, language)
        for name in ours:
            assert (ours[name] is None) == (theirs[name] is None), name
            assert ours[name] is None or torch.allclose(ours[name], theirs[name], atol=1e-4), name
    assert calls == 2 * (3 * [True] + 3 * [False])
