"""One gradient for the two uses of the embeddings, against torch's sum of two."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_xling.models import tied
from fairseq_xling.models.tied import TiedTable, write_gradient

VOCABULARY, DIM, PADDING = 50, 8, 1


def found_by(way, bf16, tokens, chosen, target, write_over=False, filled=False):
    torch.manual_seed(0)
    weight = torch.randn(VOCABULARY, DIM).requires_grad_()
    bias = torch.randn(VOCABULARY).requires_grad_()
    layer = torch.randn(DIM, DIM)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        if way == "ours":
            table = TiedTable(weight, tokens, PADDING, len(chosen))
            rows = table.rows
        else:
            rows = F.embedding(tokens, weight, padding_idx=PADDING)
        only = table.filled(chosen) if way == "ours" and filled else chosen
        hidden = (rows @ layer).tanh().reshape(-1, DIM)[only]
        scores = table.scores(hidden, bias) if way == "ours" else F.linear(hidden, weight, bias)
    values = scores.detach().float().clone()
    if write_over:  # as `_CrossEntropy` does
        gradient = scores.detach()
        gradient.copy_((values.softmax(-1) - F.one_hot(target, VOCABULARY)).to(scores.dtype))
        scores.backward(gradient)
    else:
        F.cross_entropy(scores.float(), target, reduction="sum").backward()
    return values, weight.grad, bias.grad


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("write_over", [False, True])
@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("count", [1, 31, 32, 33])
def test_as_torch(bf16, write_over, filled, count, monkeypatch):
    monkeypatch.setattr(tied, "ROWS", 16)
    torch.manual_seed(count)
    tokens = torch.randint(0, VOCABULARY, (5, 9))
    tokens[0, :3] = PADDING
    tokens[1, :4] = 7  # the same token several times
    chosen, target = torch.randperm(45)[:count], torch.randint(0, VOCABULARY, (count,))
    ours = found_by("ours", bf16, tokens, chosen, target, write_over, filled)
    theirs = found_by("torch", bf16, tokens, chosen, target)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype == torch.float32
        assert a.shape == b.shape
        assert torch.allclose(
            a, b, rtol=1e-5 if not bf16 else 3e-2, atol=1e-5 if not bf16 else 3e-2 * float(b.abs().max())
        )


def test_padding_gets_only_the_gradient_of_the_scores():
    weight = torch.randn(VOCABULARY, DIM).requires_grad_()
    table = TiedTable(weight, torch.tensor([[PADDING, 3]]), PADDING, 1)
    (table.rows.sum() + 0 * table.scores(torch.zeros(1, DIM), torch.zeros(VOCABULARY)).sum()).backward()
    expected = torch.zeros(VOCABULARY, DIM)
    expected[3] = 1
    assert torch.equal(weight.grad, expected)


def test_gradients_of_several_batches_are_added():
    weight, bias = torch.randn(VOCABULARY, DIM).requires_grad_(), torch.zeros(VOCABULARY)
    sums = []
    for seed in (1, 2):
        tokens = torch.randint(2, VOCABULARY, (2, 3), generator=torch.Generator().manual_seed(seed))
        table = TiedTable(weight, tokens, PADDING, 6)
        table.scores(table.rows, bias).square().sum().backward()
        sums.append(weight.grad.clone())
    again = torch.autograd.grad(F.linear(F.embedding(tokens, weight), weight).square().sum(), weight)[0]
    assert torch.allclose(sums[1] - sums[0], again, rtol=1e-4, atol=1e-3)


def test_a_layer_of_another_batch_shape():
    weight, bias = torch.randn(VOCABULARY, DIM).requires_grad_(), torch.randn(VOCABULARY)
    tokens = torch.randint(2, VOCABULARY, (2, 3))
    table = TiedTable(weight, tokens, PADDING, 6)
    scores = table.scores(table.rows, bias)
    assert torch.allclose(scores, F.linear(F.embedding(tokens, weight), weight, bias), atol=1e-5)
    assert scores.shape == (2, 3, VOCABULARY)


def test_gradient_in_parts(monkeypatch):
    monkeypatch.setattr(tied, "ROWS", 7)  # does not divide the number of rows
    grad, x = torch.randn(20, 30), torch.randn(20, 6)
    exact, parts = torch.empty(30, 6), torch.empty(30, 6)
    write_gradient(grad, x, exact)
    assert torch.allclose(exact, grad.t() @ x, atol=1e-5)
    write_gradient(grad.bfloat16(), x.bfloat16(), parts)
    assert torch.allclose(parts, exact, rtol=2e-2, atol=0.1)


def test_a_graph_that_is_kept_is_passed_twice():
    """One gradient a score, of one forward pass: it ended with ``IndexError: pop from empty list``."""
    weight, bias = torch.randn(VOCABULARY, DIM).requires_grad_(), torch.randn(VOCABULARY).requires_grad_()
    tokens = torch.randint(2, VOCABULARY, (2, 3))
    table = TiedTable(weight, tokens, PADDING, 6)
    scores = table.scores(table.rows, bias)
    plain = F.linear(F.embedding(tokens, weight), weight, bias)
    for place in ((0, 1, 4), (1, 2, 5)):
        ours, theirs = (torch.autograd.grad(s[place], (weight, bias), retain_graph=True) for s in (scores, plain))
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))
    for _ in range(2):
        scores[0, 1, 4].backward(retain_graph=True)
    once = torch.autograd.grad(plain[0, 1, 4], weight)[0]
    assert torch.allclose(weight.grad, 2 * once, atol=1e-5)
