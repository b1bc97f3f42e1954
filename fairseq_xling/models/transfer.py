"""A pretrained encoder with the head of a task, registered as `xling_transfer`.

A fine-tuned checkpoint describes itself: shape, sharing, languages and labels stand in its configuration, so that it
loads without the pretrained one.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model
from torch import Tensor

from fairseq_xling.checkpoints import read_state
from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.biaffine import Arcs, BiaffineHead
from fairseq_xling.models.encoder import XlingEncoder
from fairseq_xling.models.heads import LinearHead, SharedDropout
from fairseq_xling.models.language_modules import language_specific_parameters
from fairseq_xling.models.masked_lm import XlingBaseConfig, encoder_shape
from fairseq_xling.models.shape import Shape
from fairseq_xling.sharing import Sharing

logger = logging.getLogger(__name__)

Head = LinearHead | BiaffineHead


@dataclass
class XlingTransferConfig(FairseqDataclass):
    """Options of `xling_transfer`."""

    pretrained: str = field(
        default="",
        metadata={
            "help": "checkpoint of xling_masked_lm to start from; the encoder's shape, its language-specific parts "
            "and its languages come from there"
        },
    )
    train_language_specific: bool = field(
        default=False,
        metadata={"help": "train the source language's own parts too (the paper freezes language-specific parts)"},
    )
    encoder_dropout: float = field(
        default=-1.0,
        metadata={"help": "dropout of the encoder and of its attention (default: as in pretraining)"},
    )
    feature_dropout: float = field(
        default=0.0, metadata={"help": "dropout of the features before the head, one mask a sentence"}
    )
    arc_dim: int = field(default=512, metadata={"help": "parser: width of the arc perceptrons"})
    label_dim: int = field(default=128, metadata={"help": "parser: width of the relation perceptrons"})
    parser_dropout: float = field(default=0.33, metadata={"help": "parser: dropout of the perceptrons"})
    description: str = field(
        default="", metadata={"help": "filled in: encoder, languages, head and labels as JSON; not to be given"}
    )


@dataclass(frozen=True)
class Description:
    """What a fine-tuned model is, beside its weights and the options.

    Attributes
    ----------
    shape : Shape
    separate : str
        Language-specific parts, as ``--separate``.
    languages : tuple of str
    source : str
        The language it was fine-tuned on.
    head : str
        ``classification``, ``tagging`` or ``parsing``.
    labels : tuple of str
    trained_positions : int
        Positions that pretraining made use of; 0 in old checkpoints, which do not say.
    """

    shape: Shape
    separate: str
    languages: tuple[str, ...]
    source: str
    head: str
    labels: tuple[str, ...]
    trained_positions: int = 0

    @property
    def longest_row(self) -> int:
        """Most tokens of a row by default: as in pretraining, as later positions still have their initial values."""
        return self.trained_positions or self.shape.max_positions

    @property
    def sharing(self) -> Sharing:
        """The language-specific parts."""
        return Sharing.parse(self.separate, self.shape.layers)

    def to_json(self) -> str:
        """As it stands in the configuration."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Description":
        """Read `to_json`; InputError where it is something else."""
        try:
            values: dict[str, Any] = json.loads(text)
            shape = Shape(**values.pop("shape"))
            values |= {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
            return cls(shape=shape, **values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"the checkpoint's description of its model is damaged: {error}") from None


@dataclass(frozen=True)
class PretrainedEncoder:
    """What fine-tuning takes from a pretraining checkpoint.

    Attributes
    ----------
    shape : Shape
    separate : str
    languages : tuple of str
        Empty where nothing is language-specific and the run used all of its data's languages.
    weights : dict of str to Tensor
        Names as in `XlingEncoder`.
    data : str
        Data-bin that it was trained on, where it was then.
    trained_positions : int
        Positions that occurred in its blocks; the model may have more.
    """

    shape: Shape
    separate: str
    languages: tuple[str, ...]
    weights: dict[str, Tensor]
    data: str
    trained_positions: int


def read_pretrained(path: str | Path) -> PretrainedEncoder:
    """The encoder of a checkpoint of `xling_masked_lm`.

    Raises
    ------
    InputError
        No such checkpoint, a damaged one, or one of another task.
    """
    state = read_state(path)
    model, task = state["cfg"]["model"], state["cfg"]["task"]
    if task["_name"] != "xling_masked_lm":
        raise InputError(f"expected a checkpoint of xling_masked_lm, found one of {task['_name']}", path)
    weights = {
        name.removeprefix("encoder."): value for name, value in state["model"].items() if name.startswith("encoder.")
    }
    default = XlingBaseConfig()
    names = [name for name in XlingBaseConfig.__dataclass_fields__ if not name.startswith("_")]
    try:
        config = XlingBaseConfig(**{name: model.get(name, getattr(default, name)) for name in names})
        shape = encoder_shape(config)
        sharing = Sharing.parse(config.separate, shape.layers)
        trained = int(task.get("tokens_per_sample") or shape.max_positions)
        if trained < 1:
            raise ValueError(f"blocks of {trained} tokens")
    except (OverflowError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the checkpoint's configuration is damaged: {error}", path) from None
    languages = _languages(task, weights, sharing)
    return PretrainedEncoder(
        shape, str(sharing), languages, weights, str(task.get("data", "")), min(trained, shape.max_positions)
    )


def _languages(task: Mapping[str, Any], weights: Mapping[str, Tensor], sharing: Sharing) -> tuple[str, ...]:
    if task.get("langs"):
        return tuple(language.strip() for language in str(task["langs"]).split(","))
    prefix = "embeddings." if sharing.embeddings else f"layers.{min(sharing.layers, default=0) - 1}."
    names = [name.removeprefix(prefix).partition(".")[0] for name in weights if name.startswith(prefix)]
    return tuple(dict.fromkeys(names))


@register_model("xling_transfer", dataclass=XlingTransferConfig)
class XlingTransferModel(BaseFairseqModel):
    """Encoder and head; language-specific parts of the encoder are frozen unless asked otherwise.

    Freezing means no gradient, no more: dropout acts in frozen layers as it does in others.

    Parameters
    ----------
    encoder : XlingEncoder
    head : LinearHead or BiaffineHead
    feature_dropout : float
    train_language_specific : bool
    """

    def __init__(
        self, encoder: XlingEncoder, head: Head, feature_dropout: float = 0.0, train_language_specific: bool = False
    ):
        super().__init__()
        self.encoder, self.head = encoder, head
        self.feature_dropout = SharedDropout(feature_dropout)
        if not train_language_specific:
            for parameters in language_specific_parameters(encoder).values():
                for parameter in parameters:
                    parameter.requires_grad_(False)
        for parameter in head.parameters():
            parameter.param_group = "head"  # type: ignore[attr-defined]

    @classmethod
    def build_model(cls, cfg: XlingTransferConfig, task: Any) -> "XlingTransferModel":
        """Make the model that `cfg.description` describes, with the weights of `cfg.pretrained` if the task read it."""
        description = Description.from_json(cfg.description)
        encoder = XlingEncoder(description.shape, description.sharing, task.vocabulary_infos(description))
        head = build_head(description.head, description.shape.dim, description.labels, cfg)
        model = cls(encoder, head, cfg.feature_dropout, cfg.train_language_specific)
        weights = task.pretrained_weights()
        if weights is not None:
            load_encoder(encoder, weights, cfg.pretrained)
        return model

    def features(
        self, src_tokens: Tensor, lang: str, padding_mask: Tensor | None = None, words: Tensor | None = None
    ) -> Tensor:
        """Hidden states of the last layer: at the first position (batch, dim), or of each word (batch, words, dim).

        Parameters as of `forward`; where there is no word the feature is some other one.
        """
        rows, length = src_tokens.shape
        if words is None:
            first = torch.arange(0, rows * length, length, device=src_tokens.device)
            return self.encoder(src_tokens, lang, padding_mask, only=first)[-1]
        found = self.encoder(src_tokens, lang, padding_mask, only=words.clamp(min=0).flatten())[-1]
        return found.view(*words.shape, -1)

    def forward(
        self, src_tokens: Tensor, lang: str, padding_mask: Tensor | None = None, words: Tensor | None = None
    ) -> Tensor | Arcs:
        """Scores of the head.

        Parameters
        ----------
        src_tokens : (rows, length) int64
        lang : str
        padding_mask : (rows, length) bool, optional
        words : (sentences, words) int64, optional
            Flat positions of first subwords, -1 where there is no word; None for pairs.
        """
        present = None if words is None else words >= 0
        return self.head(self.feature_dropout(self.features(src_tokens, lang, padding_mask, words)), present)

    def max_positions(self) -> int:
        """Longest row in tokens."""
        return self.encoder.shape.max_positions


def build_head(kind: str, dim: int, labels: Sequence[str], cfg: XlingTransferConfig) -> Head:
    """The head of a task over features of width `dim`."""
    if kind in ("classification", "tagging"):
        return LinearHead(dim, labels)
    if kind == "parsing":
        return BiaffineHead(dim, labels, cfg.arc_dim, cfg.label_dim, cfg.parser_dropout)
    raise InputError(f"no head '{kind}'; there is classification, tagging, parsing")


def load_encoder(encoder: XlingEncoder, weights: dict[str, Tensor], path: str | Path) -> None:
    """Copy pretrained weights into an encoder of the same shape; vocabularies are compared on the way."""
    with torch.no_grad():
        try:
            missing, unexpected = encoder.load_state_dict(weights, strict=False)
        except RuntimeError as error:
            raise InputError(
                f"the weights do not fit the checkpoint's own description: {str(error)[:200]}", path
            ) from None
    if missing or unexpected:
        raise InputError(f"the weights do not fit the checkpoint's description: {(missing + unexpected)[0]}", path)
