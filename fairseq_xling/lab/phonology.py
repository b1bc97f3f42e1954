"""Invented word forms: pronounceable, and of a language's own sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Phonology:
    """The letters of a language, and how often a syllable is closed by one of its `codas`."""

    onsets: str
    vowels: str
    codas: str = ""
    closed: float = 0.0

    def syllable(self, rng: np.random.Generator) -> str:
        """Draw one syllable."""
        coda = self.codas[rng.integers(len(self.codas))] if rng.random() < self.closed else ""
        return self.onsets[rng.integers(len(self.onsets))] + self.vowels[rng.integers(len(self.vowels))] + coda

    def word(self, rng: np.random.Generator, syllables: int, taken: set[str]) -> str:
        """Draw a form that is not in `taken`, and add it there; one syllable more if the language has no more."""
        for attempt in range(1000):
            form = "".join(self.syllable(rng) for _ in range(syllables + attempt // 100))
            if form not in taken:
                taken.add(form)
                return form
        raise RuntimeError(f"no free form of {syllables} syllables")
