"""Cross-entropy of scores in bfloat16 against torch's in float64."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_xling.criterions import cross_entropy
from fairseq_xling.criterions.cross_entropy import cross_entropy_sum


@pytest.mark.parametrize("count", [0, 1, 5, 64])
@pytest.mark.parametrize("elements", [1, 100, 2**20], ids=["one row at a time", "parts", "at once"])
def test_as_torch(count, elements, monkeypatch):
    monkeypatch.setattr(cross_entropy, "ELEMENTS", elements)
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


def test_without_gradient_the_scores_stay():
    scores = torch.randn(4, 9).bfloat16()
    before = scores.clone()
    assert cross_entropy_sum(scores, torch.tensor([0, 8, 3, 3])).isfinite()
    assert torch.equal(scores, before)


def test_float32_is_torchs():
    scores, target = torch.randn(4, 9), torch.tensor([0, 8, 3, 3])
    assert torch.equal(cross_entropy_sum(scores, target), F.cross_entropy(scores, target, reduction="sum"))
