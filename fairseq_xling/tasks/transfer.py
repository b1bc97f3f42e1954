"""What the three fine-tuning tasks share: labelled data of the source language, a pretrained encoder, a head."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from omegaconf import II, MISSING, open_dict
from torch import Tensor

from fairseq_xling.data.labelled import LabelledBatches
from fairseq_xling.data.labelled_task import LabelledTask
from fairseq_xling.data.split_files import find_split, parse_given
from fairseq_xling.data.vocabulary import Segmenter, Vocabularies
from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.encoder import VocabularyInfo
from fairseq_xling.models.transfer import Description, PretrainedEncoder, read_pretrained
from fairseq_xling.tasks import bad_loss
from fairseq_xling.tasks.metrics_log import MetricsLog
from fairseq_xling.tasks.throughput import TimedBatches
from fairseq_xling.tasks.training_step import AutocastTask, Step, change_fairseq

logger = logging.getLogger(__name__)


@dataclass
class XlingTransferTaskConfig(FairseqDataclass):
    """Options of the fine-tuning tasks."""

    data: str = field(default=MISSING, metadata={"help": "folder with the task's labelled files, e.g. en.train.tsv"})
    vocabulary: str = field(default="", metadata={"help": "data-bin that the model was pretrained on"})
    source_lang: str = field(
        default="", metadata={"help": "language to train and select on (default: the model's first)"}
    )
    files: str = field(
        default="",
        metadata={"help": "files that are named otherwise: LANGUAGE.SPLIT=PATH, separated by commas"},
    )
    longest_row: int = field(
        default=0,
        metadata={"help": "most tokens of a row; longer sentences take several (default: as many as in pretraining)"},
    )
    epoch_examples: int = field(
        default=0, metadata={"help": "examples of an epoch; XLM's NLI epochs have 20,000 (default: all)"}
    )
    bf16_autocast: bool = field(
        default=False, metadata={"help": "compute in bfloat16 with float32 weights, on CPU or GPU"}
    )
    on_bad_loss: ChoiceEnum(bad_loss.CHOICES) = field(  # type: ignore[valid-type]
        default="stop", metadata={"help": bad_loss.HELP}
    )
    seed: int = II("common.seed")
    train_subset: str = II("dataset.train_subset")
    save_dir: str = II("checkpoint.save_dir")
    rank: int = II("distributed_training.distributed_rank")


class TransferTask(AutocastTask):
    """Fine-tune on the source language; subclasses say what is labelled (paper, section 3.2).

    Parameters
    ----------
    cfg : XlingTransferTaskConfig
    """

    labelled: ClassVar[LabelledTask]
    cfg: XlingTransferTaskConfig

    def __init__(self, cfg: XlingTransferTaskConfig):
        super().__init__(cfg)
        self.description: Description | None = None
        self._given = parse_given(cfg.files)
        self._weights: dict[str, Tensor] | None = None
        self._examples: dict[tuple[str, str], list[Any]] = {}
        self._metrics_log: MetricsLog | None = None

    @classmethod
    def setup_task(cls, cfg: XlingTransferTaskConfig, **kwargs: Any) -> "TransferTask":
        """Check the options; data is read when the model is built."""
        change_fairseq()
        if not cfg.vocabulary:
            raise InputError("--vocabulary is missing: the data-bin that the model was pretrained on")
        return cls(cfg)

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> torch.nn.Module:
        """Build the model; in training its description is made from the pretrained checkpoint and the labels."""
        if not from_checkpoint:
            if not cfg.pretrained:
                raise InputError("--pretrained is missing: a checkpoint of xling_masked_lm to start from")
            pretrained = read_pretrained(cfg.pretrained)
            self._weights = pretrained.weights
            with open_dict(cfg):  # the very object that fairseq saves with each checkpoint
                cfg.description = self._describe(pretrained, cfg.encoder_dropout).to_json()
        self.description = Description.from_json(cfg.description)
        source = self.description.source
        if self.cfg.source_lang not in ("", source):  # fairseq-validate would give the number of the model's own
            raise InputError(
                f"--source-lang {self.cfg.source_lang}: the checkpoint was fine-tuned on {source}; "
                "eval/zero_shot.py applies it to other languages"
            )
        model = super().build_model(cfg, from_checkpoint)
        self._weights = None
        if not from_checkpoint:
            self._announce(model)
        return model

    def _describe(self, pretrained: PretrainedEncoder, dropout: float) -> Description:
        languages = pretrained.languages or tuple(Vocabularies.load(self.cfg.vocabulary).languages)
        source = self.cfg.source_lang or languages[0]
        if source not in languages:
            raise InputError(f"--source-lang {source}: the model knows {', '.join(languages)}")
        shape = pretrained.shape
        if dropout >= 0:
            shape = type(shape)(**{**vars(shape), "dropout": dropout, "attention_dropout": dropout})
        labels = self.labelled.labels(self.read(source, self.cfg.train_subset))
        return Description(
            shape,
            pretrained.separate,
            languages,
            source,
            self.labelled.head,
            tuple(labels),
            pretrained.trained_positions,
        )

    def _announce(self, model: Any) -> None:
        assert self.description is not None
        frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        logger.info(f"language-specific parts: {self.description.separate or 'none'}")
        logger.info(f"parameters: {trained:,} are trained, {frozen:,} are frozen")
        logger.info(f"{len(self.description.labels)} labels: {', '.join(self.description.labels)}")

    def pretrained_weights(self) -> dict[str, Tensor] | None:
        """The encoder's weights while a model is built for training; None when it comes from a checkpoint of ours."""
        return self._weights

    def vocabulary_infos(self, description: Description) -> dict[str, VocabularyInfo]:
        """What the encoder needs to know of each language's vocabulary."""
        vocabularies = Vocabularies.load(self.cfg.vocabulary, description.languages)
        if not description.sharing.embeddings and not vocabularies.shared:
            raise InputError("the data has a vocabulary per language, but the model has one", self.cfg.vocabulary)
        infos = {}
        for language in description.languages:
            dictionary = vocabularies.dictionary(language)
            infos[language] = VocabularyInfo(len(dictionary), dictionary.pad(), vocabularies.hash(language))
        return infos

    def file(self, language: str, split: str) -> Path:
        """The file of a split."""
        return find_split(self.cfg.data, language, split, self.labelled.extensions, self._given)

    def read(self, language: str, split: str) -> list[Any]:
        """All examples of a split, in the order of the file."""
        if (language, split) not in self._examples:
            self._examples[language, split] = self.labelled.read(self.file(language, split), language)
        return self._examples[language, split]

    def encode(self, examples: list[Any], language: str, **training: Any) -> LabelledBatches:
        """Batches of examples of a language; options as of `LabelledBatches`.

        Raises
        ------
        InputError
            The model does not have the language.
        """
        description = self.description
        assert description is not None, "the model is built before data is encoded"
        if language not in description.languages:
            raise InputError(f"the model knows no language '{language}'; it has {', '.join(description.languages)}")
        limit = self._longest_row(description)
        segmenter = Segmenter(self.cfg.vocabulary, language)
        numbers = {label: number for number, label in enumerate(description.labels)}
        items = [self.labelled.item(example, segmenter, numbers, limit) for example in examples]
        pad = segmenter.vocabularies.dictionary(language).pad()
        return LabelledBatches(items, examples, language, pad, **training)

    def _longest_row(self, description: Description) -> int:
        most = description.shape.max_positions
        if self.cfg.longest_row and not 8 <= self.cfg.longest_row <= most:
            raise InputError(f"--longest-row {self.cfg.longest_row}: expected 8 to {most}, the model's positions")
        return self.cfg.longest_row or description.longest_row

    def load_dataset(self, split: str, epoch: int = 1, combine: bool = False, **kwargs: Any) -> None:
        """Read and encode a split of the source language."""
        assert self.description is not None
        source = self.description.source
        examples = self.read(source, split)
        unknown = self.labelled.check_labels(examples, self.description.labels, self.file(source, split))
        training = {}
        if split == self.cfg.train_subset:
            training = {"seed": self.cfg.seed, "epoch_examples": self.cfg.epoch_examples}
        batches = self.encode(examples, source, **training)
        self.datasets[split] = batches
        logger.info(describe_encoding(batches, f"{source} {split}", unknown))

    def get_batch_iterator(self, dataset: LabelledBatches, *args: Any, **kwargs: Any):
        """fairseq's iterator over whole batches, which goes on with any number of processes (`TimedBatches`)."""
        size = kwargs.get("max_sentences")
        if not size:
            raise InputError("--batch-size is missing: examples in a batch (--max-tokens is not supported here)")
        dataset.lay_out(size)
        # without loaders on a CPU the thread that fills a buffer would only take turns with training, and now and then
        # one that is still there when fairseq-validate ends aborts it ("terminate called ...", status 134)
        training = dataset is self.datasets.get(self.cfg.train_subset)
        ahead = kwargs.get("num_workers", 0) > 0 or torch.cuda.is_available()
        return TimedBatches.over(dataset, kwargs, buffered=training and ahead)

    def train_step(
        self, sample: Mapping[str, Any], model: Any, criterion: Any, optimizer: Any, update_num: int, **kwargs: Any
    ) -> Step:
        """fairseq's step, in bfloat16 where asked for."""
        if self._metrics_log is None and self.cfg.rank == 0:
            self._metrics_log = MetricsLog(Path(self.cfg.save_dir) / "metrics.jsonl")
            self._metrics_log.start(update_num)
        return super().train_step(sample, model, criterion, optimizer, update_num, **kwargs)

    def predict(self, sample: Mapping, model: Any) -> list[Any]:
        """Predictions for a batch, in the form that `LabelledTask.score` takes."""
        assert self.description is not None
        with torch.no_grad(), self._autocast(sample):
            return self.decode(model(**sample["net_input"]), sample, model)

    def decode(self, output: Any, sample: Mapping, model: Any) -> list[Any]:
        """Predictions from the scores of a batch."""
        assert self.description is not None
        words = sample["net_input"]["words"]
        decoded = model.head.decode(output, None if words is None else words >= 0)
        return [self.labelled.prediction(each, self.description.labels) for each in decoded]

    @property
    def validation_metrics(self) -> list[str]:
        """Names of the numbers that validation gives, as the criterion logs them."""
        return ["loss", self.labelled.metric]

    @property
    def rising_metrics(self) -> list[str]:
        """Those of `validation_metrics` that are larger where the model is better."""
        return [self.labelled.metric]

    def has_sharded_data(self, split: str) -> bool:
        """No; the data of an epoch follows from its number alone."""
        return False

    def max_positions(self) -> None:
        """None: rows are made to fit."""
        return

    @property
    def source_dictionary(self) -> None:
        """None: there may be one vocabulary per language."""
        return

    target_dictionary = source_dictionary


def describe_encoding(batches: LabelledBatches, name: str, unknown: int) -> str:
    """One line: how much was read, how long it is, and what was lost."""
    rows = sum(len(item.rows) for item in batches.items)
    tokens = sum(len(row) for item in batches.items for row in item.rows)
    line = f"{name}: {len(batches.items):,} examples, {tokens:,} tokens, longest row {int(np.max(batches.lengths))}"
    if rows > len(batches.items):
        line += f"; {sum(len(item.rows) > 1 for item in batches.items):,} long sentences in several rows"
    if batches.num_cut:
        line += f"; {batches.num_cut:,} too long and cut"
    return line + (f"; {unknown:,} labels unknown to the model count as errors" if unknown else "")
