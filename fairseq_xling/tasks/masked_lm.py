"""The pretraining task: single-language batches of masked text, drawn by the size of each language."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from fairseq.data import iterators
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.tasks import register_task
from omegaconf import II, MISSING

from fairseq_xling.data.blocks import SentenceBlocks, StreamBlocks, TokenFile
from fairseq_xling.data.masked_lm_dataset import BatchMasker, ScheduledBatches, ValidationBatches
from fairseq_xling.data.masking import ALWAYS_MASKED, MaskingRule
from fairseq_xling.data.schedule import sampling_probabilities
from fairseq_xling.data.vocabulary import Vocabularies
from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.compilation import can_compile, compile_layers, start_workers
from fairseq_xling.models.encoder import VocabularyInfo
from fairseq_xling.models.shape import Shape
from fairseq_xling.sharing import Sharing
from fairseq_xling.tasks import bad_loss, preemption
from fairseq_xling.tasks.allocator import keep_freed_memory
from fairseq_xling.tasks.metrics_log import MetricsLog
from fairseq_xling.tasks.step_graph import StepGraphs
from fairseq_xling.tasks.throughput import TimedBatches, Utilisation, measure_matrix_rate
from fairseq_xling.tasks.training_report import Pace, count_parameters, describe_epoch
from fairseq_xling.tasks.training_step import AutocastTask, Step, change_fairseq

logger = logging.getLogger(__name__)


@dataclass
class XlingMaskedLMConfig(FairseqDataclass):
    """Options of `xling_masked_lm`."""

    data: str = field(default=MISSING, metadata={"help": "data-bin folder made by preprocess/build_databin.py"})
    langs: str = field(
        default="", metadata={"help": "languages, separated by commas; one is allowed (default: all of the data)"}
    )
    tokens_per_sample: int = field(default=256, metadata={"help": "tokens of a block"})
    blocks: ChoiceEnum(["stream", "sentence"]) = field(  # type: ignore[valid-type]
        default="stream",
        metadata={
            "help": "'stream': continuous text cut into blocks, as in the paper; 'sentence': one sentence a block"
        },
    )
    epoch_sequences: int = field(
        default=0,
        metadata={
            "help": "blocks in an epoch, over all languages and workers; XLM counts 200,000 a GPU "
            "(default: as many as the data has)"
        },
    )
    lang_sampling_alpha: float = field(
        default=0.7, metadata={"help": "a batch is of a language with probability ~ (its share of sentences)^alpha"}
    )
    mask_prob: float = field(default=0.15, metadata={"help": "probability that a token is predicted"})
    leave_unmasked_prob: float = field(default=0.1, metadata={"help": "share of predicted tokens that stay"})
    random_token_prob: float = field(
        default=0.1, metadata={"help": "share of predicted tokens that become a random word"}
    )
    random_words: ChoiceEnum(["all", "own"]) = field(  # type: ignore[valid-type]
        default="all",
        metadata={
            "help": "random words come from all languages or from the batch's own; "
            "'own' is forced where embeddings are separate"
        },
    )
    bf16_autocast: bool = field(
        default=False,
        metadata={"help": "compute in bfloat16 with float32 weights, on CPU or GPU (fairseq's --bf16 is for TPUs)"},
    )
    torch_compile: bool = field(
        default=False,
        metadata={
            "help": "let torch.compile fuse the small operations of layers and loss, on a GPU only; needs Triton and a "
            "C compiler, and half a minute at the start"
        },
    )
    cuda_graph: bool = field(
        default=False,
        metadata={
            "help": "launch forward and backward pass as one CUDA graph, so that a GPU does not wait for a slow host; "
            "for --blocks stream, and with several workers for --ddp-backend legacy_ddp"
        },
    )
    on_bad_loss: ChoiceEnum(bad_loss.CHOICES) = field(  # type: ignore[valid-type]
        default="stop", metadata={"help": bad_loss.HELP}
    )
    matrix_rate: float = field(
        default=0.0,
        metadata={
            "help": "TFLOP/s of one device, of which `mfu` in the log is a share (default: what dense products in the "
            "type that is computed in reach here, measured at the start)"
        },
    )
    seed: int = II("common.seed")
    max_update: int = II("optimization.max_update")
    save_dir: str = II("checkpoint.save_dir")
    train_subset: str = II("dataset.train_subset")
    update_freq: Any = II("optimization.update_freq")
    world_size: int = II("distributed_training.distributed_world_size")
    rank: int = II("distributed_training.distributed_rank")


def _buffers(dataset: ScheduledBatches | ValidationBatches, loaders: int) -> bool:
    """Whether a thread fills a buffer of batches.

    Without loaders on a CPU it would only take turns with training. Validation needs none: loaders fetch ahead, and the
    thread is the likely cause of a fairseq-validate that once ended with "terminate called ..." after its work.
    """
    return isinstance(dataset, ScheduledBatches) and (loaders > 0 or torch.cuda.is_available())


def _check_options(cfg: XlingMaskedLMConfig) -> None:
    """Refuse numbers that would only be noticed later, as a traceback or as another schedule than was meant."""
    if not 0 <= cfg.lang_sampling_alpha <= 10:  # also refuses nan; 10 gives all to the largest language
        raise InputError(f"--lang-sampling-alpha {cfg.lang_sampling_alpha}: expected 0 to 10, such as 0.7")
    if cfg.epoch_sequences < 0:
        raise InputError(f"--epoch-sequences {cfg.epoch_sequences}: expected at least 1, or 0 for all blocks")


@register_task("xling_masked_lm", dataclass=XlingMaskedLMConfig)
class XlingMaskedLMTask(AutocastTask):
    """Masked language modelling on any number of languages (paper, section 3.1).

    Parameters
    ----------
    cfg : XlingMaskedLMConfig
    vocabularies : Vocabularies
    """

    cfg: XlingMaskedLMConfig
    keeps_previous_checkpoint = True

    def __init__(self, cfg: XlingMaskedLMConfig, vocabularies: Vocabularies):
        super().__init__(cfg)
        self.vocabularies = vocabularies
        self.languages = tuple(vocabularies.languages)
        self.sharing: Sharing | None = None
        self._pace = Pace(cfg.max_update)
        self._metrics_log: MetricsLog | None = None
        self._logs_metrics = False
        self._shape: Shape | None = None
        self._batches: TimedBatches | None = None
        self._utilisation: Utilisation | None = None
        self._graphs: StepGraphs | None = None
        self.compiles = False

    @classmethod
    def setup_task(cls, cfg: XlingMaskedLMConfig, **kwargs: Any) -> "XlingMaskedLMTask":
        """Read the vocabularies; with `from_checkpoint` as well."""
        change_fairseq()
        _check_options(cfg)
        languages = [language.strip() for language in cfg.langs.split(",")] if cfg.langs else None
        vocabularies = Vocabularies.load(cfg.data, languages)
        for language in vocabularies.languages:
            logger.info(f"vocabulary of {language}: {len(vocabularies.dictionary(language)):,} symbols")
        return cls(cfg, vocabularies)

    def vocabulary_infos(self, sharing: Sharing) -> dict[str, VocabularyInfo]:
        """What the encoder needs to know of each language's vocabulary.

        Raises
        ------
        InputError
            The data has a vocabulary per language, but the embeddings are shared.
        """
        self.sharing = sharing
        if not sharing.embeddings and not self.vocabularies.shared and len(self.languages) > 1:
            raise InputError("the data has a vocabulary per language; that needs --separate emb", self.cfg.data)
        infos = {}
        for language in self.languages:
            dictionary = self.vocabularies.dictionary(language)
            infos[language] = VocabularyInfo(len(dictionary), dictionary.pad(), self.vocabularies.hash(language))
        return infos

    def build_model(self, cfg: FairseqDataclass, from_checkpoint: bool = False) -> torch.nn.Module:
        """Build the model and state what is shared."""
        if self.cfg.tokens_per_sample < 1:
            raise InputError(f"--tokens-per-sample {self.cfg.tokens_per_sample}: expected at least 1")
        model = super().build_model(cfg, from_checkpoint)
        if self.cfg.tokens_per_sample > model.max_positions():
            raise InputError(
                f"--tokens-per-sample {self.cfg.tokens_per_sample} is more than --max-positions {model.max_positions()}"
            )
        logger.info(f"language-specific parts: {self.sharing or 'none'}")
        logger.info(count_parameters(model))
        self._shape = model.encoder.shape
        if self.cfg.cuda_graph:
            by_language = bool(str(self.sharing)) or self._shape.language_embeddings
            self._graphs = StepGraphs(self.cfg.mask_prob, by_language, self._autocast)
        return model

    def load_dataset(self, split: str, epoch: int = 1, combine: bool = False, **kwargs: Any) -> None:
        """Open a split of all languages."""
        training = split == self.cfg.train_subset
        corpora = {language: TokenFile(Path(self.cfg.data) / language / split) for language in self.languages}
        blocks = {language: self._blocks(corpus, keep_last=not training) for language, corpus in corpora.items()}
        if not training:
            self.datasets[split] = ValidationBatches(blocks, self._masker(ALWAYS_MASKED))
            return
        counts = {language: len(corpus.sizes) for language, corpus in corpora.items()}
        self.datasets[split] = ScheduledBatches(
            blocks,
            sampling_probabilities(counts, self.cfg.lang_sampling_alpha),
            self.cfg.epoch_sequences or sum(corpus.num_blocks for corpus in blocks.values()),
            self._masker(self._masking_rule()),
            self.cfg.seed,
        )

    def _blocks(self, corpus: TokenFile, keep_last: bool) -> StreamBlocks | SentenceBlocks:
        if str(self.cfg.blocks) == "sentence":
            boundary = self.vocabularies.dictionary(self.languages[0]).eos()
            return SentenceBlocks(corpus, self.cfg.tokens_per_sample, boundary)
        return StreamBlocks(corpus, self.cfg.tokens_per_sample, keep_last)

    def _masking_rule(self) -> MaskingRule:
        stay, random = self.cfg.leave_unmasked_prob, self.cfg.random_token_prob
        if not 0 < self.cfg.mask_prob <= 1 or stay < 0 or random < 0 or stay + random > 1:
            raise InputError("--mask-prob must lie in (0, 1], the shares that stay or become random in [0, 1]")
        return MaskingRule(self.cfg.mask_prob, 1 - stay - random, random)

    def _masker(self, rule: MaskingRule) -> BatchMasker:
        """Random words of the batch's own language where asked for, or where another language's have no embedding."""
        assert self.sharing is not None, "the model is built before data is loaded"
        own = str(self.cfg.random_words) == "own" or self.sharing.embeddings
        dictionaries = {language: self.vocabularies.dictionary(language) for language in self.languages}
        return BatchMasker(
            rule,
            self.cfg.seed,
            {language: dictionary.pad() for language, dictionary in dictionaries.items()},
            {language: dictionary.index("<mask>") for language, dictionary in dictionaries.items()},
            {
                language: self.vocabularies.own_tokens(language) if own else self.vocabularies.all_tokens(language)
                for language in self.languages
            },
        )

    def get_batch_iterator(
        self, dataset: ScheduledBatches | ValidationBatches, *args: Any, **kwargs: Any
    ) -> iterators.EpochBatchIterator:
        """fairseq's iterator over whole batches: sharding, buffering and resuming are its own."""
        dataset.lay_out(self._batch_size(kwargs.get("max_sentences"), kwargs.get("max_tokens")))
        if isinstance(dataset, ScheduledBatches) and self._metrics_log is None:
            self._announce(dataset, kwargs.get("num_shards", 1))
        iterator = TimedBatches.over(dataset, kwargs, _buffers(dataset, kwargs.get("num_workers", 0)))
        if isinstance(dataset, ScheduledBatches):
            self._batches = iterator
        return iterator

    def _batch_size(self, max_sentences: int | None, max_tokens: int | None) -> int:
        by_tokens = max_tokens // self.cfg.tokens_per_sample if max_tokens else None
        size = min(limit for limit in (max_sentences, by_tokens, 2**31) if limit is not None)
        if size < 1:
            if max_sentences is not None and max_sentences < 1:
                raise InputError(f"--batch-size {max_sentences}: expected at least 1")
            raise InputError(f"--max-tokens {max_tokens} is less than one block of {self.cfg.tokens_per_sample}")
        return size if size < 2**31 else 1

    def _announce(self, dataset: ScheduledBatches, workers: int) -> None:
        update_freq = self.cfg.update_freq[0] if self.cfg.update_freq else 1
        for line in describe_epoch(dataset, self.cfg.tokens_per_sample, workers, update_freq):
            logger.info(line)
        self._metrics_log = MetricsLog(Path(self.cfg.save_dir) / "metrics.jsonl")

    def begin_epoch(self, epoch: int, model: Any) -> None:
        """Before the first epoch of training: see to the allocator, and find out what the device can do."""
        if self._utilisation is not None or self._shape is None:
            return
        device = next(model.parameters()).device
        if device.type == "cpu":
            keep_freed_memory()
        elif self.cfg.torch_compile and can_compile():
            with preemption.unheard_by_children():
                start_workers()
            compile_layers(model)
            self.compiles = True
        dtype = torch.bfloat16 if self.cfg.bf16_autocast else torch.float32
        rate = self.cfg.matrix_rate * 1e12 or measure_matrix_rate(device, dtype)
        sizes = {language: len(self.vocabularies.dictionary(language)) for language in self.languages}
        self._utilisation = Utilisation(self._shape, sizes, rate, self.cfg.world_size)
        how = "as given" if self.cfg.matrix_rate else f"measured, {str(dtype).removeprefix('torch.')}"
        logger.info(f"dense matrix products: {rate / 1e12:.3f} TFLOP/s ({how}); mfu in the log is a share of it")

    def train_step(
        self, sample: Mapping[str, Any], model: Any, criterion: Any, optimizer: Any, update_num: int, **kwargs: Any
    ) -> Step:
        """fairseq's step, in bfloat16 where asked for; states the expected duration once the speed is known."""
        self._note_update(update_num)
        return super().train_step(sample, model, criterion, optimizer, update_num, **kwargs)

    def _forward_and_backward(
        self, sample: Mapping[str, Any], model: Any, criterion: Any, optimizer: Any, ignore_grad: bool = False
    ) -> Step:
        if self._graphs is not None and not ignore_grad and self._graphs.fits(sample, model, optimizer):
            return self._graphs.forward_and_backward(sample, model, criterion)
        return super()._forward_and_backward(sample, model, criterion, optimizer, ignore_grad)

    def _note_update(self, update: int) -> None:
        line = self._pace.tick(update)
        if line:
            logger.info(line)
        if self._metrics_log is not None and not self._logs_metrics and self.cfg.rank == 0:
            self._logs_metrics = True
            self._metrics_log.start(update)

    def reduce_metrics(self, logging_outputs: list[dict[str, Any]], criterion: Any) -> None:
        """fairseq's numbers and the criterion's; in training also how well the device is used."""
        super().reduce_metrics(logging_outputs, criterion)
        if criterion.training and self._utilisation is not None and self._batches is not None:
            self._utilisation.log(logging_outputs, self._batches)

    @property
    def validation_metrics(self) -> list[str]:
        """Names of the numbers that validation gives, as the criterion logs them."""
        suffixes = ["", *(f"_{language}" for language in self.languages)]
        return [f"{name}{suffix}" for suffix in suffixes for name in ("loss", "nats", "ppl")]

    def has_sharded_data(self, split: str) -> bool:
        """No; the data of an epoch follows from its number alone."""
        return False

    def max_positions(self) -> int:
        """Tokens of a block."""
        return self.cfg.tokens_per_sample

    @property
    def source_dictionary(self) -> None:
        """None: there may be one vocabulary per language."""
        return

    target_dictionary = source_dictionary
