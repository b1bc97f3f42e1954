"""The encoder of the paper: XLM's Transformer, any part of it language-specific."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.dropout import Dropout, random_seeds
from fairseq_xling.models.fused_layers import FusedLayers, fits
from fairseq_xling.models.language_modules import LanguageModules, start_equal
from fairseq_xling.models.layers import (
    LAYER_NORM_EPS,
    TransformerLayer,
    at_positions,
    input_layer,
    scale_residual_outputs,
)
from fairseq_xling.models.linear import autocasts_to_bfloat16
from fairseq_xling.models.shape import Shape
from fairseq_xling.sharing import Sharing


@dataclass(frozen=True)
class VocabularyInfo:
    """What the encoder needs to know of a vocabulary.

    Parameters
    ----------
    size : int
        Symbols, ``<mask>`` included.
    pad_index : int
    digest : str
        SHA-256 of the vocabulary (hexadecimal), carried in the state dict; empty: not checked.
    """

    size: int
    pad_index: int = 1
    digest: str = ""


class Embeddings(nn.Module):
    """Token and position embeddings of one vocabulary; carries the vocabulary's hash into the checkpoint.

    Parameters
    ----------
    vocabulary : VocabularyInfo
    dim, max_positions : int
    """

    vocabulary_hash: Tensor

    def __init__(self, vocabulary: VocabularyInfo, dim: int, max_positions: int):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary.size, dim, padding_idx=vocabulary.pad_index)
        self.positions = nn.Embedding(max_positions, dim)
        digest = bytes.fromhex(vocabulary.digest) or bytes(32)
        # int64 although these are bytes: fairseq's average_checkpoints.py divides their sum, which must not overflow
        self.register_buffer("vocabulary_hash", torch.tensor(list(digest), dtype=torch.int64))

    def forward(self, tokens: Tensor, rows: Tensor | None = None) -> Tensor:
        """(batch, length) token ids to (batch, length, dim); `rows` are their embeddings, if looked up before."""
        rows = self.tokens(tokens) if rows is None else rows
        return rows + self.positions.weight[: tokens.shape[1]]

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        theirs, ours = state_dict.get(prefix + "vocabulary_hash"), self.vocabulary_hash
        if theirs is not None and ours.any() and theirs.any() and theirs.tolist() != ours.tolist():
            name = prefix.rstrip(".").rpartition(".")[2]
            sizes = [len(weight) for weight in (state_dict[prefix + "tokens.weight"], self.tokens.weight)]
            raise InputError(
                f"the checkpoint was trained with another vocabulary ({name}: {sizes[0]} symbols, "
                f"hash {bytes(theirs.tolist()).hex()[:8]}) than the data has ({sizes[1]} symbols, "
                f"hash {bytes(ours.tolist()).hex()[:8]}); give it the data it was trained on"
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


class XlingEncoder(nn.Module):
    """Transformer encoder with language-specific and shared parts.

    Parameters
    ----------
    shape : Shape
    sharing : Sharing
    vocabularies : mapping from language to VocabularyInfo
        The same object for all languages where the embeddings are shared.

    Attributes
    ----------
    input_layer : function
        `input_layer`, or what torch.compile has made of it.
    wants_seeds : bool
        Whether dropout is decided by seeds that are drawn beforehand: where layers are compiled.
    fused : FusedLayers, optional
        What takes the place of the layers where it fits.
    """

    wants_seeds = False
    fused: FusedLayers | None = None

    def __init__(self, shape: Shape, sharing: Sharing, vocabularies: Mapping[str, VocabularyInfo]):
        super().__init__()
        self.shape, self.sharing, self.languages = shape, sharing, tuple(vocabularies)
        self.vocabularies = dict(vocabularies)
        common = vocabularies[self.languages[0]]
        self.embeddings = LanguageModules(
            self.languages,
            sharing.embeddings,
            lambda language: Embeddings(vocabularies.get(language or "", common), shape.dim, shape.max_positions),
        )
        self.language_vectors = (
            LanguageModules(self.languages, True, lambda _: nn.Embedding(1, shape.dim))
            if shape.language_embeddings
            else None
        )
        self.embedding_norm = nn.LayerNorm(shape.dim, eps=LAYER_NORM_EPS)
        self.layers = nn.ModuleList(
            LanguageModules(self.languages, sharing.is_separate(number), lambda _: self._layer())
            for number in range(1, shape.layers + 1)
        )
        self.final_norm = nn.LayerNorm(shape.dim, eps=LAYER_NORM_EPS) if shape.norm_before else None
        self.dropout = Dropout(shape.dropout)
        self.input_layer = input_layer
        self._initialise()

    def _layer(self) -> TransformerLayer:
        shape = self.shape
        return TransformerLayer(
            shape.dim, shape.heads, shape.hidden, shape.dropout, shape.attention_dropout, shape.norm_before
        )

    def _initialise(self) -> None:
        """XLM's: embeddings N(0, dim^-1/2), linear maps as torch makes them; or N(0, init_std), scaled by depth."""
        std = self.shape.init_std
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=std or self.shape.dim**-0.5)
                if module.padding_idx is not None:
                    nn.init.zeros_(module.weight[module.padding_idx])
            elif isinstance(module, nn.Linear) and std:
                nn.init.normal_(module.weight, std=std)
                nn.init.zeros_(module.bias)
        if std:
            scale_residual_outputs([m for m in self.modules() if isinstance(m, TransformerLayer)], self.shape.layers)
        if self.shape.equal_start:
            for layer in self.layers:
                start_equal(cast(LanguageModules, layer))

    def forward(
        self,
        tokens: Tensor,
        language: str,
        padding_mask: Tensor | None = None,
        up_to: int | None = None,
        rows: Tensor | None = None,
        only: Tensor | None = None,
    ) -> list[Tensor]:
        """Hidden states of every layer.

        Parameters
        ----------
        tokens : (batch, length) int64
            One language; ids of that language's vocabulary.
        language : str
        padding_mask : (batch, length) bool, optional
            True where padded; ``None`` where nothing is.
        up_to : int, optional
            Last layer to compute (0: the embeddings alone).
        rows : (batch, length, dim), optional
            Embeddings of the tokens, if they were looked up before.
        only : (n,) int64, optional
            Flat positions at which the last layer is wanted. Most of that layer is then not computed for the others.

        Returns
        -------
        list of (batch, length, dim)
            L0 (the embeddings after their norm) to L`up_to`; with `only` the last is (n, dim).

        Raises
        ------
        InputError
            A language or a layer that the model does not have; a block longer than `max_positions`.
        """
        if tokens.shape[1] > self.shape.max_positions:
            raise InputError(f"a block of {tokens.shape[1]} tokens; the model has {self.shape.max_positions} positions")
        last = self.shape.layers if up_to is None else up_to
        if not 0 <= last <= self.shape.layers:
            raise InputError(f"there is no layer {last}; hidden states are of layers 0 to {self.shape.layers}")
        seeds = self._seeds(tokens)
        first = self._first(tokens, language, rows, seeds)
        if last and self.fused is not None and seeds is not None and padding_mask is None and fits(self.shape, tokens):
            layers = [cast(TransformerLayer, layer(language)) for layer in list(self.layers)[:last]]
            return self.fused(first, layers, seeds[1:], only)
        x = self.input_layer(*first)
        attend = None if padding_mask is None else ~padding_mask[:, None, None, :]
        states = [x if last else at_positions(x, only)]
        for number, layer in enumerate(list(self.layers)[:last], start=1):
            pairs = None if seeds is None else seeds[number, 2:]
            x = layer(language)(x, attend, only if number == last else None, pairs)
            states.append(x)
        if self.final_norm is not None and last == self.shape.layers:
            states[-1] = self.final_norm(states[-1])
        return states

    def _first(self, tokens: Tensor, language: str, rows: Tensor | None, seeds: Tensor | None) -> tuple[Any, ...]:
        """The arguments of `input_layer`."""
        vector = None if self.language_vectors is None else self.language_vectors(language).weight
        low = self.shape.bf16_residual and autocasts_to_bfloat16(tokens.device.type)
        parts = self.embeddings(language), vector, self.embedding_norm, self.dropout
        return tokens, rows, *parts, None if seeds is None else seeds[0, 0], torch.bfloat16 if low else None

    def _seeds(self, tokens: Tensor) -> Tensor | None:
        """(1 + layers, 4, 2) int32: pairs of seeds for dropout, row 0 for L0 and one row for each layer.

        Of a layer's four pairs the first is for its attention, the second is not used, and the last two are for its
        sublayers. The unused pair makes those two begin at a multiple of 16 bytes, which a GPU reads faster.
        """
        if not (self.wants_seeds and self.training):
            return None
        return random_seeds(tokens, 1 + self.shape.layers, 4, 2)
