"""What the criterions of fine-tuning log."""

import math
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from fairseq.logging import metrics

from fairseq_xling.criterions.transfer import XlingTaggingCriterion


def batch(nats, decisions, gold, predicted, correct):
    """The logging output of a batch in validation."""
    sample = {"net_input": {}, "target": None, "decisions": decisions, "ntokens": 50, "nsentences": 1}
    sample["gold"] = SimpleNamespace(examples=[])
    counts = {"gold": gold, "predicted": predicted, "correct": correct}
    task = SimpleNamespace(decode=lambda *_: [], labelled=SimpleNamespace(counts=lambda *_: counts))
    model = Mock(training=False)
    model.head.loss.return_value = torch.tensor(nats)
    _, size, output = XlingTaggingCriterion(task)(model, sample)
    assert size == decisions
    return output


def test_loss_is_a_mean_over_words_and_the_measure_is_of_all_batches_together():
    """Not the mean of the batches' measures, which would be 0.5."""
    with metrics.aggregate(new_root=True) as log:
        XlingTaggingCriterion.reduce_metrics([batch(6.0, 5, 1, 1, 1), batch(2.0, 3, 3, 2, 0)])
    found = log.get_smoothed_values()
    assert found["loss"] == pytest.approx(1 / math.log(2), abs=1e-3)  # in bits
    assert found["f1"] == pytest.approx(2 * 1 / (4 + 3), abs=1e-6)
