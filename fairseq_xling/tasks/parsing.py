"""Fine-tuning on dependency trees: CoNLL-U, labelled attachment score."""

from dataclasses import dataclass

from fairseq.tasks import register_task

from fairseq_xling.data.parsing import Parsing
from fairseq_xling.tasks.transfer import TransferTask, XlingTransferTaskConfig


@dataclass
class XlingParsingConfig(XlingTransferTaskConfig):
    """Options of `xling_parsing`."""


@register_task("xling_parsing", dataclass=XlingParsingConfig)
class XlingParsingTask(TransferTask):
    """Dependency trees: CoNLL-U, labelled attachment score."""

    labelled = Parsing()
