"""One gradient for the two uses of the embeddings in bfloat16, against torch's sum of two; on a CPU and on a GPU."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_xling.models.tied_gpu import TiedTable, aligned

DIM, PADDING = 8, 1
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


@pytest.mark.parametrize("vocabulary", [48, 49, 55])
@pytest.mark.parametrize("device", DEVICES)
def test_as_torch(vocabulary, device):
    torch.manual_seed(vocabulary)
    weight, bias = torch.randn(vocabulary, DIM).to(device), torch.randn(vocabulary).to(device)
    tokens = torch.randint(0, vocabulary, (5, 9)).to(device)
    tokens[0, :3] = PADDING
    tokens[1, :4] = 7  # the same token several times
    layer, chosen = torch.randn(DIM, DIM).to(device), torch.randperm(45)[:20].to(device)
    target = torch.randint(0, vocabulary, (20,)).to(device)

    def found(ours):
        parameters = weight.clone().requires_grad_(), bias.clone().requires_grad_()
        with torch.autocast(device, torch.bfloat16):
            table = TiedTable(parameters[0], tokens, PADDING) if ours else None
            rows = table.rows if ours else F.embedding(tokens, parameters[0], padding_idx=PADDING)
            hidden = (rows @ layer).tanh().reshape(-1, DIM)[table.filled(chosen) if ours else chosen]
            scores = table.scores(hidden, parameters[1]) if ours else F.linear(hidden, *parameters)
        F.cross_entropy(scores.float(), target, reduction="sum").backward()
        return [scores.detach().float(), *(parameter.grad for parameter in parameters)]

    scores, *gradients = found(ours=True)
    expected, *theirs = found(ours=False)
    assert scores.shape == (20, -(-vocabulary // 8) * 8)
    assert (scores[:, vocabulary:] == -torch.inf).all()
    for one, other in zip((scores[:, :vocabulary], *gradients), (expected, *theirs), strict=True):
        assert one.dtype == other.dtype
        assert torch.allclose(one, other, rtol=3e-2, atol=3e-2 * float(other.abs().max()))


def test_padding_gets_only_the_gradient_of_the_scores():
    weight = torch.randn(50, DIM).requires_grad_()
    table = TiedTable(weight, torch.tensor([[PADDING, 3]]), PADDING)
    (table.rows.sum() + table.scores(torch.zeros(1, 1, DIM), torch.zeros(50))[..., :50].sum() * 0).backward()
    expected = torch.zeros(50, DIM)
    expected[3] = 1
    assert torch.equal(weight.grad, expected)


def test_the_prediction_layer_keeps_its_gradient():
    weight, bias = torch.randn(9, DIM).requires_grad_(), torch.randn(9).requires_grad_()
    factor, shift = aligned(weight, bias, torch.bfloat16)
    assert factor.shape == (16, DIM)
    assert factor.dtype == shift.dtype == torch.bfloat16
    (factor.float().sum() + 2 * shift[:9].float().sum()).backward()
    assert torch.equal(weight.grad, torch.ones(9, DIM))
    assert torch.equal(bias.grad, torch.full((9,), 2.0))
