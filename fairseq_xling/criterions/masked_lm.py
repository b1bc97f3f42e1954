"""Cross-entropy of the masked tokens, logged for each language by itself."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from fairseq import utils
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor, nn

from fairseq_xling import kernels
from fairseq_xling.criterions.cross_entropy import cross_entropy_sum, plain_cross_entropy_sum


@dataclass
class XlingMaskedLMCriterionConfig(FairseqDataclass):
    """No options; with a dataclass the checkpoint holds plain values instead of a namespace."""


@register_criterion("xling_masked_lm", dataclass=XlingMaskedLMCriterionConfig)
class XlingMaskedLMCriterion(FairseqCriterion):
    """Masked LM loss (paper, section 2).

    fairseq's `loss` is in bits (base 2); `nats` is the same in nats, as XLM prints it; `ppl` is either's perplexity.
    """

    def forward(self, model: nn.Module, sample: dict[str, Any], reduce: bool = True) -> tuple[Tensor, int, dict]:
        """Sum of the losses of the masked tokens of one batch.

        Returns
        -------
        loss : scalar tensor, in nats
        sample_size : int
            Predicted tokens.
        logging_output : dict
            The same keys in every batch, so that workers on different languages can be summed.
        """
        return self.logged(self.loss(model, sample), sample)

    def loss(self, model: nn.Module, sample: dict[str, Any]) -> Tensor:
        """Sum of the losses in nats: all that the device computes. Targets `IGNORED` count nothing."""
        scores = model(**sample["net_input"])
        cross_entropy = _for_gpu(scores.dtype) if getattr(self.task, "compiles", False) else cross_entropy_sum
        return cross_entropy(scores, sample["target"])

    def logged(self, loss: Tensor, sample: dict[str, Any]) -> tuple[Tensor, int, dict[str, Any]]:
        """What `forward` returns, once the loss is computed."""
        predicted = sample["target"].numel()
        language = sample["net_input"]["lang"]
        logging_output: dict[str, Any] = {
            "loss": loss.detach(),
            "ntokens": sample["ntokens"],
            "nsentences": sample["nsentences"],
            "sample_size": predicted,
        }
        for name in self.task.languages:
            mine = name == language
            logging_output[f"loss_{name}"] = loss.detach() if mine else torch.zeros_like(loss)
            logging_output[f"predicted_{name}"] = predicted if mine else 0
        return loss, predicted, logging_output

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict[str, Any]]) -> None:
        """Log the loss in bits and nats and the perplexity, over all and for each language."""
        names = sorted(key.removeprefix("loss_") for key in logging_outputs[0] if key.startswith("loss_"))
        _log_loss("", [log["loss"] for log in logging_outputs], [log["sample_size"] for log in logging_outputs])
        for name in names:
            losses = [log[f"loss_{name}"] for log in logging_outputs]
            _log_loss(f"_{name}", losses, [log[f"predicted_{name}"] for log in logging_outputs])

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Every batch logs the same keys, all of them sums."""
        return True


@functools.cache
def _for_gpu(dtype: torch.dtype) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss in few passes over the scores; made when it is needed, as what compiles takes seconds to import."""
    if dtype == torch.bfloat16 and kernels.wanted():
        from fairseq_xling.kernels import cross_entropy

        return cross_entropy.cross_entropy_sum
    return torch.compile(plain_cross_entropy_sum)


def _log_loss(suffix: str, losses: list[Any], counts: list[Any]) -> None:
    count = int(sum(counts))
    if count == 0:
        return
    total = sum(losses)
    if isinstance(total, Tensor) and total.device.type == "cpu":
        total = total.item()  # meters of numbers cost less; on a GPU this would wait for it
    nats = total / count
    metrics.log_scalar(f"loss{suffix}", nats / math.log(2), count, round=3, priority=100 if not suffix else 110)
    metrics.log_scalar(f"nats{suffix}", nats, count, round=3, priority=101 if not suffix else 111)
    metrics.log_derived(f"ppl{suffix}", lambda meters: _perplexity(meters[f"loss{suffix}"].avg), priority=120)


def _perplexity(bits: Any) -> float | None:
    """None, as the loss itself, where the interval of the log had no batch."""
    return None if bits is None else utils.get_perplexity(bits)
