"""What tests of training share."""

import pytest

from fairseq_xling.criterions.masked_lm import XlingMaskedLMCriterion

from .pretraining import write_data


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


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "shared", {"en": 60, "fr": 30})


@pytest.fixture(scope="session")
def per_language(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "separate", {"en": 60, "fr": 30}, shared=False)
