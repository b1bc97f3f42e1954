"""What the criterion logs."""

import math
from types import SimpleNamespace

import pytest
import torch
from fairseq.logging import metrics

from fairseq_xling.criterions.masked_lm import XlingMaskedLMCriterion


def logged(en, fr):
    """The logging output of a batch with these predicted tokens, each of ln 8 nats."""
    counts = {"en": en, "fr": fr}
    output = {f"predicted_{language}": count for language, count in counts.items()}
    output |= {f"loss_{language}": torch.tensor(count * math.log(8)) for language, count in counts.items()}
    return output | {"loss": torch.tensor((en + fr) * math.log(8)), "sample_size": en + fr}


def test_a_batch_counts_for_its_own_language_alone():
    criterion = XlingMaskedLMCriterion(SimpleNamespace(languages=("en", "fr")))
    outputs = []
    for language, nats in (("en", 8.0), ("fr", 3.0), ("en", 4.0)):
        sample = {"target": torch.zeros(2), "net_input": {"lang": language}, "ntokens": 9, "nsentences": 1}
        outputs.append(criterion.logged(torch.tensor(nats), sample)[2])
    with metrics.aggregate(new_root=True) as log:
        XlingMaskedLMCriterion.reduce_metrics(outputs)
    found = log.get_smoothed_values()
    assert [found[name] for name in ("nats", "nats_en", "nats_fr")] == [2.5, 3.0, 1.5]


def test_a_language_without_a_batch_has_neither_loss_nor_perplexity():
    with metrics.aggregate(new_root=True) as log:
        XlingMaskedLMCriterion.reduce_metrics([logged(4, 2)])
        first = log.get_smoothed_values()
        log.reset()  # as fairseq does after each line
        XlingMaskedLMCriterion.reduce_metrics([logged(3, 0)])
        second = log.get_smoothed_values()
    assert [first[name] for name in ("loss", "loss_en", "loss_fr")] == [3.0, 3.0, 3.0]
    assert [first[name] for name in ("ppl", "ppl_en", "ppl_fr")] == pytest.approx([8, 8, 8])
    assert second["ppl_en"] == pytest.approx(8)
    assert second["loss_fr"] is None
    assert second["ppl_fr"] is None
