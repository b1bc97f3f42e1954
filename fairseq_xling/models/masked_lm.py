"""The masked language model and its sizes, registered as fairseq architectures."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model
from torch import Tensor, nn

from fairseq_xling.formats.errors import InputError
from fairseq_xling.models import tied, tied_gpu
from fairseq_xling.models.encoder import VocabularyInfo, XlingEncoder
from fairseq_xling.models.language_modules import LanguageModules
from fairseq_xling.models.linear import autocasts_to_bfloat16
from fairseq_xling.models.shape import Shape
from fairseq_xling.sharing import Sharing

LARGE = 2**20
"""Elements from which on a second dense gradient of the embeddings costs a CPU more than `tied.TiedTable`."""


@dataclass
class XlingBaseConfig(FairseqDataclass):
    """The paper's model: 8 layers, 12 heads, width 768."""

    separate: str = field(
        default="",
        metadata={
            "help": "language-specific parts: 'emb' (token and position embeddings, vocabulary and softmax), layers "
            "counted from 1 and ranges of layers, e.g. 'emb,1-3'; the rest is shared (default: share everything)"
        },
    )
    encoder_layers: int = field(default=8, metadata={"help": "Transformer layers"})
    encoder_embed_dim: int = field(default=768, metadata={"help": "width"})
    encoder_attention_heads: int = field(default=12, metadata={"help": "attention heads"})
    encoder_ffn_embed_dim: int = field(default=3072, metadata={"help": "width of the feed-forward layers"})
    max_positions: int = field(default=256, metadata={"help": "longest block in tokens"})
    dropout: float = field(default=0.1, metadata={"help": "dropout after embeddings and sublayers"})
    attention_dropout: float = field(default=0.1, metadata={"help": "dropout of attention weights"})
    encoder_normalize_before: bool = field(
        default=False, metadata={"help": "layer norm before each sublayer (the paper's implementation: after)"}
    )
    init_std: float = field(
        default=0.0,
        metadata={
            "help": "standard deviation of initial weights, output maps of sublayers divided by sqrt(2 layers); "
            "0: XLM's initialisation"
        },
    )
    language_embeddings: bool = field(
        default=False, metadata={"help": "add a vector of the language to every position, as XLM does by default"}
    )
    equal_start: bool = field(
        default=False, metadata={"help": "layers named in --separate start with the same values in all languages"}
    )
    bf16_residual: bool = field(
        default=False,
        metadata={
            "help": "with --bf16-autocast, the residual stream is in bfloat16 as well: faster on a GPU, and rounded "
            "after each sublayer"
        },
    )


@dataclass
class XlingPocketConfig(XlingBaseConfig):
    """The small real-text model: 8 layers, width 256."""

    encoder_embed_dim: int = field(default=256, metadata={"help": "width"})
    encoder_attention_heads: int = field(default=4, metadata={"help": "attention heads"})
    encoder_ffn_embed_dim: int = field(default=1024, metadata={"help": "width of the feed-forward layers"})


@dataclass
class XlingLabConfig(XlingBaseConfig):
    """The laboratory model: 8 layers, width 64, no dropout; trains in about two minutes on one core."""

    encoder_embed_dim: int = field(default=64, metadata={"help": "width"})
    encoder_attention_heads: int = field(default=2, metadata={"help": "attention heads"})
    encoder_ffn_embed_dim: int = field(default=128, metadata={"help": "width of the feed-forward layers"})
    max_positions: int = field(default=128, metadata={"help": "longest block in tokens"})
    dropout: float = field(default=0.0, metadata={"help": "dropout after embeddings and sublayers"})
    attention_dropout: float = field(default=0.0, metadata={"help": "dropout of attention weights"})
    encoder_normalize_before: bool = field(default=True, metadata={"help": "layer norm before each sublayer"})
    init_std: float = field(default=0.05, metadata={"help": "standard deviation of initial weights"})


def encoder_shape(cfg: XlingBaseConfig) -> Shape:
    """The encoder's shape as the configuration says.

    Raises
    ------
    InputError
        A width that the heads do not divide, or a size below 1.
    """
    sizes = {
        "--encoder-layers": cfg.encoder_layers,
        "--encoder-embed-dim": cfg.encoder_embed_dim,
        "--encoder-attention-heads": cfg.encoder_attention_heads,
        "--encoder-ffn-embed-dim": cfg.encoder_ffn_embed_dim,
        "--max-positions": cfg.max_positions,
    }
    for option, value in sizes.items():
        if value < 1:
            raise InputError(f"{option} {value}: expected at least 1")
    for option, share in (("--dropout", cfg.dropout), ("--attention-dropout", cfg.attention_dropout)):
        if not 0 <= share <= 1:
            raise InputError(f"{option} {share}: expected a probability between 0 and 1")
    if not 0 <= cfg.init_std < math.inf:
        raise InputError(f"--init-std {cfg.init_std}: expected a number of at least 0")
    if cfg.encoder_embed_dim % cfg.encoder_attention_heads:
        raise InputError(f"width {cfg.encoder_embed_dim} is not a multiple of {cfg.encoder_attention_heads} heads")
    return Shape(
        layers=cfg.encoder_layers,
        dim=cfg.encoder_embed_dim,
        heads=cfg.encoder_attention_heads,
        hidden=cfg.encoder_ffn_embed_dim,
        max_positions=cfg.max_positions,
        dropout=cfg.dropout,
        attention_dropout=cfg.attention_dropout,
        norm_before=cfg.encoder_normalize_before,
        init_std=cfg.init_std,
        language_embeddings=cfg.language_embeddings,
        equal_start=cfg.equal_start,
        bf16_residual=cfg.bf16_residual,
    )


class OutputBias(nn.Module):
    """Bias of the prediction layer, whose weights are the token embeddings."""

    def __init__(self, size: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(size))


def _tied_table(table: nn.Embedding, tokens: Tensor, predicted: int) -> tied.TiedTable | tied_gpu.TiedTable | None:
    """What makes one gradient of the embeddings' two uses, where it is faster than torch."""
    padding = table.padding_idx
    if not torch.is_grad_enabled() or padding is None:
        return None
    if tokens.is_cuda and autocasts_to_bfloat16("cuda"):
        return tied_gpu.TiedTable(table.weight, tokens, padding)
    if tokens.device.type == "cpu" and table.weight.numel() >= LARGE:
        return tied.TiedTable(table.weight, tokens, padding, predicted)
    return None


def _prediction_layer(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Its weights and bias, as a GPU wants them under autocast."""
    if not weight.is_cuda or not torch.is_autocast_enabled("cuda"):
        return weight, bias
    return tied_gpu.aligned(weight, bias, torch.get_autocast_dtype("cuda"))


def _all_in_mode(model: nn.Module, mode: bool) -> bool:
    """Whether all modules are: a part may have been put in another mode by itself."""
    waiting: list[nn.Module | None] = [model]
    while waiting:
        module = waiting.pop()
        if module is not None:
            if module.training != mode:
                return False
            waiting.extend(module._modules.values())
    return True


@register_model("xling_base", dataclass=XlingBaseConfig)
class XlingModel(BaseFairseqModel):
    """Masked language model: the encoder and one linear map with bias, tied to the embeddings (paper, section 3.1).

    Parameters
    ----------
    encoder : XlingEncoder
    vocabularies : mapping from language to VocabularyInfo
    """

    def __init__(self, encoder: XlingEncoder, vocabularies: Mapping[str, VocabularyInfo]):
        super().__init__()
        self.encoder = encoder
        common = vocabularies[encoder.languages[0]]
        self.head = LanguageModules(
            encoder.languages,
            encoder.sharing.embeddings,
            lambda language: OutputBias(vocabularies.get(language or "", common).size),
        )

    @classmethod
    def build_model(cls, cfg: XlingBaseConfig, task: Any) -> "XlingModel":
        """Make the model for a task that knows its languages' vocabularies (`task.vocabulary_infos(separate)`)."""
        shape = encoder_shape(cfg)
        sharing = Sharing.parse(cfg.separate, shape.layers)
        vocabularies = task.vocabulary_infos(sharing)
        return cls(XlingEncoder(shape, sharing, vocabularies), vocabularies)

    def forward(
        self, src_tokens: Tensor, lang: str, padding_mask: Tensor | None = None, masked: Tensor | None = None
    ) -> Tensor:
        """Scores of the vocabulary of `lang`.

        Parameters
        ----------
        src_tokens : (batch, length) int64
        lang : str
        padding_mask : (batch, length) bool, optional
        masked : (n,) int64, optional
            Flat positions to predict; all positions where it is ``None``.

        Returns
        -------
        (n, vocabulary), or (batch, length, vocabulary)
            In low precision on a GPU followed by -inf up to a multiple of `tied_gpu.ALIGNED`.
        """
        table, bias = self.encoder.embeddings(lang).tokens, self.head(lang).bias
        shared = _tied_table(table, src_tokens, src_tokens.numel() if masked is None else len(masked))
        if shared is None:
            hidden = self.encoder(src_tokens, lang, padding_mask, only=masked)[-1]
            return F.linear(hidden, *_prediction_layer(table.weight, bias))
        only = None if masked is None else shared.filled(masked)
        return shared.scores(self.encoder(src_tokens, lang, padding_mask, rows=shared.rows, only=only)[-1], bias)

    def train(self, mode: bool = True) -> "XlingModel":
        """As ever, but only looks where nothing changes, which is much faster: fairseq asks for it every update."""
        return self if _all_in_mode(self, mode) else super().train(mode)

    def max_positions(self) -> int:
        """Longest block in tokens."""
        return self.encoder.shape.max_positions


@register_model("xling_pocket", dataclass=XlingPocketConfig)
class XlingPocketModel(XlingModel):
    """`XlingModel` with the defaults of `XlingPocketConfig`."""


@register_model("xling_lab", dataclass=XlingLabConfig)
class XlingLabModel(XlingModel):
    """`XlingModel` with the defaults of `XlingLabConfig`."""
