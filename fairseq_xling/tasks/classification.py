"""Fine-tuning on sentence pairs: XNLI's format, accuracy."""

from dataclasses import dataclass

from fairseq.tasks import register_task

from fairseq_xling.data.nli import NLI
from fairseq_xling.tasks.transfer import TransferTask, XlingTransferTaskConfig


@dataclass
class XlingClassificationConfig(XlingTransferTaskConfig):
    """Options of `xling_classification`."""


@register_task("xling_classification", dataclass=XlingClassificationConfig)
class XlingClassificationTask(TransferTask):
    """Sentence pairs: XNLI's format, accuracy."""

    labelled = NLI()
