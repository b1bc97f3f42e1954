"""Losses of the transfer tasks; in validation also the task's own measure, on decoded predictions."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.logging import metrics
from torch import Tensor

from fairseq_xling.data.labelled_task import LabelledTask
from fairseq_xling.data.ner import NER
from fairseq_xling.data.nli import NLI
from fairseq_xling.data.parsing import Parsing


class TransferCriterion(FairseqCriterion):
    """Mean cross-entropy of the head's decisions; fairseq's `loss` is in bits."""

    labelled: ClassVar[type[LabelledTask]]

    def forward(self, model: Any, sample: dict[str, Any], reduce: bool = True) -> tuple[Tensor, int, dict]:
        """Sum of the losses of one batch.

        Returns
        -------
        loss : scalar tensor, in nats
        sample_size : int
            Pairs or words.
        logging_output : dict
            Sums; in validation also the counts behind the task's measure.
        """
        output = model(**sample["net_input"])
        loss, size = model.head.loss(output, sample["target"]), sample["decisions"]
        logging_output = {
            "loss": loss.detach(),
            "ntokens": sample["ntokens"],
            "nsentences": sample["nsentences"],
            "sample_size": size,
        }
        if not model.training:
            predicted = self.task.decode(output, sample, model)
            logging_output |= self.task.labelled.counts(sample["gold"].examples, predicted)
        return loss, size, logging_output

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict[str, Any]]) -> None:
        """Log the loss, and in validation the task's measure, as a share of 1."""
        size = int(sum(log["sample_size"] for log in logging_outputs))
        if size:
            loss = sum(log["loss"] for log in logging_outputs) / size / math.log(2)
            metrics.log_scalar("loss", loss, size, round=4, priority=100)
        known = {"loss", "ntokens", "nsentences", "sample_size"}
        names = sorted(set(logging_outputs[0]) - known) if logging_outputs else []
        for name in names:
            metrics.log_scalar_sum(f"_{name}", sum(int(log[name]) for log in logging_outputs))
        if names:
            measure = cls.labelled.metric_of_counts
            metrics.log_derived(
                cls.labelled.metric,
                lambda meters: round(measure({name: meters[f"_{name}"].sum for name in names}), 6),
                priority=90,
            )

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Every value is a sum, and all batches of a phase have the same keys."""
        return True


@register_criterion("xling_classification")
class XlingClassificationCriterion(TransferCriterion):
    """Pairs; `accuracy`."""

    labelled = NLI


@register_criterion("xling_tagging")
class XlingTaggingCriterion(TransferCriterion):
    """Words; span `f1`."""

    labelled = NER


@register_criterion("xling_parsing")
class XlingParsingCriterion(TransferCriterion):
    """Heads and relations; `las`."""

    labelled = Parsing
