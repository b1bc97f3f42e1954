"""fairseq's tasks without its trainer: what reads data, up to batches."""

from __future__ import annotations

from pathlib import Path

from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

from fairseq_xling.data.labelled_task import LabelledTask
from fairseq_xling.data.ner import NER
from fairseq_xling.data.nli import NLI
from fairseq_xling.data.parsing import Parsing
from fairseq_xling.data.vocabulary import Segmenter
from tests.tasks import pretraining


def validation_batches(data: Path) -> None:
    """Set up the pretraining task, build the model and make every batch of both splits."""
    parser = options.get_training_parser()
    arguments = pretraining.arguments(data, data / "unused", "--max-update", "2")
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, arguments))
    task = tasks.setup_task(cfg.task)
    model = task.build_model(cfg.model)
    for split in ("train", "valid"):
        task.load_dataset(split)
        dataset = task.datasets[split]
        dataset.lay_out(4)
        for keys in dataset.batches(1):
            batch = dataset[keys[0]]
        model(**batch["net_input"])


def encode_tasks(folder: Path) -> None:
    """Read, check, encode, and score the gold answers."""
    segmenter = Segmenter(folder / "union", "en")
    labelled: tuple[tuple[LabelledTask, str], ...] = (
        (NLI(), "nli/en.train.tsv"), (NER(), "ner/en.train.tsv"), (Parsing(), "ud/en_toy-ud-train.conllu"),
    )  # fmt: skip
    for task, name in labelled:
        examples = task.read(folder / name, "en")
        labels = task.labels(examples)
        task.check_labels(examples, labels, folder / name)
        numbers = {label: number for number, label in enumerate(labels)}
        for example in examples:
            task.item(example, segmenter, numbers, 24)
        task.baselines(examples, examples)
