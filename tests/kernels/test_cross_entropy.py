"""The Triton kernel of the loss against torch in float64."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_xling.data.labelled import IGNORED

from . import triton_or_skip

DEVICE = triton_or_skip()

from fairseq_xling.kernels import cross_entropy  # noqa: E402
from fairseq_xling.kernels.cross_entropy import cross_entropy_sum  # noqa: E402


def scores_and_targets(count, words, added=0):
    torch.manual_seed(count)
    scores = (5 * torch.randn(count, words)).bfloat16()
    return F.pad(scores, (0, added), value=-torch.inf).to(DEVICE), torch.randint(0, words, (count,)).to(DEVICE)


@pytest.mark.parametrize("count", [0, 1, 9])
@pytest.mark.parametrize(("words", "block"), [(30, 64), (128, 64), (131, 64), (300, 16_384)])
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_as_torch(count, words, block, factor, monkeypatch):
    monkeypatch.setattr(cross_entropy, "BLOCK", block)
    monkeypatch.setattr(cross_entropy, "WARPS", 4)
    scores, target = scores_and_targets(count, words, 5)
    target[2:4] = IGNORED
    exact = scores.double().requires_grad_()
    expected = F.cross_entropy(exact, target, reduction="sum", ignore_index=IGNORED)
    (factor * expected).backward()
    given = scores.clone().requires_grad_()
    loss = cross_entropy_sum(given * 1, target)
    (factor * loss).backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(given.grad.double(), exact.grad, rtol=1e-2, atol=1e-6)
    assert not given.grad[2:4].any()
    assert not given.grad[:, words:].any()


def test_the_gradient_takes_the_place_of_the_scores_only_where_it_is_wanted():
    scores, target = scores_and_targets(4, 90)
    before = scores.clone()
    assert cross_entropy_sum(scores, target).isfinite()
    assert torch.equal(scores, before)
    given = scores.clone().requires_grad_()
    product = given * 1
    cross_entropy_sum(product, target)
    assert not torch.equal(product, before)


def test_large_scores():
    scores = torch.tensor([[3e4, -3e4, 0.0, 1e4]], device=DEVICE).bfloat16()
    assert cross_entropy_sum(scores, torch.tensor([0], device=DEVICE)).item() == pytest.approx(0, abs=0.01)
    assert cross_entropy_sum(scores, torch.tensor([2], device=DEVICE)).item() == pytest.approx(3e4, rel=1e-2)
