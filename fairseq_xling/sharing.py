"""Which parts of the encoder are language-specific.

A choice is written as on the command line, ``emb,1-3``: the embeddings and layers 1 to 3, counted
from 1 as in the paper's Table 1. Everything not named is shared. This module is the only place
that knows the notation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fairseq_xling.formats.errors import InputError

SHARED = "shared"
"""Name of a part that all languages share, in state dicts; hence no language may be called so."""

EMBEDDINGS = "emb"

_LAYERS = re.compile(r"(\d+)(?:-(\d+))?", re.ASCII)


@dataclass(frozen=True)
class Sharing:
    """A choice of language-specific parts.

    Parameters
    ----------
    num_layers : int
        Layers of the encoder.
    embeddings : bool
        Token and position embeddings, and with them vocabulary and softmax, are per language.
    layers : frozenset of int
        Language-specific layers, counted from 1.
    """

    num_layers: int
    embeddings: bool = False
    layers: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str, num_layers: int) -> Sharing:
        """Read ``emb,1-3``; the empty string separates nothing.

        Raises
        ------
        InputError
            A part that is not ``emb``, a layer or a range; a layer that does not exist; everything separate.
        """
        embeddings = False
        layers: set[int] = set()
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            if part == EMBEDDINGS:
                embeddings = True
            else:
                layers.update(_layer_range(part, num_layers, text))
        if embeddings and len(layers) == num_layers:
            raise InputError(f"--separate {text}: everything is separate; at least one part must be shared")
        return cls(num_layers, embeddings, frozenset(layers))

    def is_separate(self, layer: int) -> bool:
        """Whether layer `layer`, counted from 1, is language-specific."""
        return layer in self.layers

    def __str__(self) -> str:
        """The canonical notation: ``emb`` first, then layers in order, runs as ranges."""
        parts = [EMBEDDINGS] if self.embeddings else []
        runs: list[list[int]] = []
        for layer in sorted(self.layers):
            if runs and layer == runs[-1][1] + 1:
                runs[-1][1] = layer
            else:
                runs.append([layer, layer])
        parts += [str(first) if first == last else f"{first}-{last}" for first, last in runs]
        return ",".join(parts)


def _layer_range(part: str, num_layers: int, text: str) -> range:
    match = _LAYERS.fullmatch(part)
    if match is None:
        raise InputError(f"--separate {text}: '{part}' is neither 'emb' nor a layer (3) nor a range of layers (1-3)")
    # Python refuses to convert numbers of thousands of digits; no encoder has that many layers
    first, last = (int(digits[:9]) for digits in (match[1], match[2] or match[1]))
    if first > last:
        raise InputError(f"--separate {text}: the range {part} runs backwards")
    for layer in (first, last):
        if not 1 <= layer <= num_layers:
            raise InputError(f"--separate {text}: there is no layer {layer}; layers are counted from 1 to {num_layers}")
    return range(first, last + 1)
