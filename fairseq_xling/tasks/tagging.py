"""Fine-tuning on named entities: BIO columns, span F1."""

from dataclasses import dataclass

from fairseq.tasks import register_task

from fairseq_xling.data.ner import NER
from fairseq_xling.tasks.transfer import TransferTask, XlingTransferTaskConfig


@dataclass
class XlingTaggingConfig(XlingTransferTaskConfig):
    """Options of `xling_tagging`."""


@register_task("xling_tagging", dataclass=XlingTaggingConfig)
class XlingTaggingTask(TransferTask):
    """Named entities: BIO columns, span F1."""

    labelled = NER()
