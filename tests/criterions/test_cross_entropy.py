"""Cross-entropy of scores in bfloat16 against torch's in float64."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_xling.criterions import cross_entropy
from fairseq_xling.criterions.cross_entropy import cross_entropy_sum
from fairseq_xling.data.labelled import IGNORED


@pytest.mark.parametrize("count", [0, 1, 5, 64])
@pytest.mark.parametrize("elements", [1, 100, 2**20], ids=["one row at a time", "parts", "at once"])
def test_as_torch(count, elements, monkeypatch):
    monkeypatch.setitem(cross_entropy.ELEMENTS, "cpu", elements)
    torch.manual_seed(count)
    scores = (5 * torch.randn(count, 30)).bfloat16()
    target = torch.randint(0, 30, (count,))
    exact = scores.double().requires_grad_()
    expected = F.cross_entropy(exact, target, reduction="sum")
    (3 * expected).backward()
    given = scores.clone().requires_grad_()
    loss = cross_entropy_sum(given * 1, target)
    (3 * loss).backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(given.grad.double(), exact.grad, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("elements", [1, 100, 2**20], ids=["one row at a time", "parts", "at once"])
def test_ignored_rows_count_nothing(dtype, elements, monkeypatch):
    monkeypatch.setitem(cross_entropy.ELEMENTS, "cpu", elements)
    torch.manual_seed(1)
    scores, target = torch.randn(12, 30).to(dtype), torch.randint(0, 30, (12,))
    target[[0, 5, 6, 11]] = IGNORED
    given, only = scores.clone().requires_grad_(), scores[target != IGNORED].requires_grad_()
    loss, expected = cross_entropy_sum(given * 1, target), cross_entropy_sum(only * 1, target[target != IGNORED])
    (loss + expected).backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert not given.grad[target == IGNORED].any()
    assert torch.allclose(given.grad[target != IGNORED], only.grad, atol=1e-6)


def test_words_of_no_probability_change_nothing():
    scores, target = torch.randn(4, 9).bfloat16(), torch.tensor([0, 8, 3, 3])
    wider = F.pad(scores, (0, 7), value=-torch.inf)
    first, second = scores.requires_grad_(), wider.requires_grad_()
    loss, same = cross_entropy_sum(first * 1, target), cross_entropy_sum(second * 1, target)
    (loss + same).backward()
    assert torch.equal(loss, same)
    assert torch.equal(second.grad, F.pad(first.grad, (0, 7)))


def test_without_gradient_the_scores_stay():
    scores = torch.randn(4, 9).bfloat16()
    before = scores.clone()
    assert cross_entropy_sum(scores, torch.tensor([0, 8, 3, 3])).isfinite()
    assert torch.equal(scores, before)


def test_float32_is_torchs():
    scores, target = torch.randn(4, 9), torch.tensor([0, 8, 3, 3])
    assert torch.equal(cross_entropy_sum(scores, target), F.cross_entropy(scores, target, reduction="sum"))
