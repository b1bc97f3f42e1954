"""A trained model with the segmenters of its languages, ready to encode text."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from fairseq import checkpoint_utils

from fairseq_xling.data.vocabulary import Segmenter
from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.masked_lm import XlingModel


class Pretrained:
    """An encoder and what turns text into its input.

    Parameters
    ----------
    model : XlingModel
        In evaluation mode, on its device.
    data : path-like
        The data-bin that it was trained on: vocabularies and SentencePiece models.
    trained_positions : int, optional
        Positions that occurred in training; all that the model has, if None.
    """

    def __init__(self, model: XlingModel, data: str | os.PathLike[str], trained_positions: int | None = None):
        self.model = model.eval()
        self.trained_positions = trained_positions
        self.data = Path(data)
        self.languages = model.encoder.languages
        self._segmenters: dict[str, Segmenter] = {}

    @classmethod
    def load(
        cls, checkpoint: str | os.PathLike[str], data: str | os.PathLike[str] | None = None, device: str | None = None
    ) -> Pretrained:
        """Read a checkpoint of `xling_masked_lm`.

        Parameters
        ----------
        checkpoint : path-like
        data : path-like, optional
            Data-bin; by default where it was at training.
        device : str, optional
            By default a GPU where there is one.
        """
        overrides = {} if data is None else {"data": os.fspath(data)}
        with _quiet():
            (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([os.fspath(checkpoint)], overrides)
        if not isinstance(model, XlingModel):
            raise InputError("not a checkpoint of a masked language model of this project", checkpoint)
        return cls(model.to(device or default_device()), task.cfg.data, task.cfg.tokens_per_sample)

    def random_twin(self, seed: int) -> Pretrained:
        """The same architecture with fresh weights: what an untrained encoder gives (paper, Figure 7)."""
        if not 0 <= seed < 2**63:
            raise InputError(f"seed {str(seed)[:20]} of random weights: expected a number from 0 to 2^63 - 1")
        encoder, generator_state = self.model.encoder, torch.get_rng_state()
        torch.manual_seed(seed)
        fresh = type(encoder)(encoder.shape, encoder.sharing, encoder.vocabularies)
        twin = type(self.model)(fresh, encoder.vocabularies)
        torch.set_rng_state(generator_state)
        return Pretrained(twin.to(self.device), self.data, self.trained_positions)

    @property
    def longest_row(self) -> int:
        """Most tokens of a row: as in training, as later positions still have their random initial values."""
        return min(self.model.max_positions(), self.trained_positions or self.model.max_positions())

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return next(self.model.parameters()).device

    @property
    def num_layers(self) -> int:
        """Transformer layers; features have one more, L0."""
        return self.model.encoder.shape.layers

    def segmenter(self, language: str) -> Segmenter:
        """The segmenter of a language of the model."""
        if language not in self.languages:
            raise InputError(f"the model knows no language '{language}'; it has {', '.join(self.languages)}")
        if language not in self._segmenters:
            self._segmenters[language] = Segmenter(self.data, language)
        return self._segmenters[language]

    def sentence_ids(self, ids: Sequence[int], language: str) -> np.ndarray:
        """``</s> w1 ... wn </s>``, the form in which XLM encodes a sentence: (n + 2,) int64."""
        boundary = self.segmenter(language).vocabularies.dictionary(language).eos()
        return np.array([boundary, *ids, boundary], dtype=np.int64)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what a task logs at the start of a training run."""
    logger = logging.getLogger("fairseq_xling.tasks")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def default_device() -> str:
    """``cuda`` where there is a GPU, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"
