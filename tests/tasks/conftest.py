"""What tests of training share."""

import pytest

from fairseq_xling.criterions.masked_lm import XlingMaskedLMCriterion


@pytest.fixture
def spoil(monkeypatch):
    """`spoil({(epoch, batch): factor})`: losses of these training batches are multiplied."""
    original = XlingMaskedLMCriterion.forward

    def arrange(factors):
        def forward(self, model, sample, reduce=True):
            loss, size, log = original(self, model, sample, reduce)
            return loss * factors.get(tuple(sample["id"].tolist()), 1.0), size, log

        monkeypatch.setattr(XlingMaskedLMCriterion, "forward", forward)

    return arrange
