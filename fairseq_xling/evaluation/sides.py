"""The two sides of a comparison: which model encodes which language, as commands take them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from fairseq_xling.evaluation.pretrained import Pretrained
from fairseq_xling.formats.errors import InputError

UNTRAINED = ("none", "target", "both")


@dataclass(frozen=True)
class Side:
    """A language and the model that encodes it."""

    language: str
    model: Pretrained

    def tokenised(self, texts: list[str]) -> list[str]:
        """Raw sentences with spaces between their words, as the model's training text was tokenised."""
        segmenter = self.model.segmenter(self.language)
        return [segmenter.tokenise(text) for text in texts]

    def described(self) -> dict[str, str]:
        """Parts of a signature: casing, tokenisation and vocabulary."""
        segmenter = self.model.segmenter(self.language)
        return {
            "casing": segmenter.casing,
            "tokenisation": segmenter.tokenisation,
            "vocabulary": segmenter.vocabularies.hash(self.language)[:12],
        }


@dataclass(frozen=True)
class Sides:
    """Source and target of a comparison, and which of their models were made untrained."""

    source: Side
    target: Side
    untrained: str = "none"

    @property
    def bilingual(self) -> bool:
        """Whether one model encodes both."""
        return self.source.model is self.target.model

    def expect_alike(self, width: bool = True) -> None:
        """InputError if the models differ in their number of layers, or (with `width`) in their width."""
        first, second = (side.model.model.encoder.shape for side in (self.source, self.target))
        if first.layers != second.layers:
            raise InputError(f"models of {first.layers} and {second.layers} layers cannot be compared layer by layer")
        if width and first.dim != second.dim:
            raise InputError(
                f"models of width {first.dim} and {second.dim}: no orthogonal map leads from one to the other"
            )

    def signature(self) -> dict[str, str | None]:
        """Parts of a signature that say how both read text; one value where they agree, else ``source/target``."""
        first, second = self.source.described(), self.target.described()
        both = {key: first[key] if first[key] == second[key] else f"{first[key]}/{second[key]}" for key in first}
        return {"untrained": None if self.untrained == "none" else self.untrained, **both}


def add_side_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `load_sides` reads."""
    group = parser.add_argument_group("models")
    group.add_argument("--source", required=True, metavar="LANG=CHECKPOINT", help="source language and its model")
    group.add_argument(
        "--target", required=True, metavar="LANG=CHECKPOINT", help="target language; its model may be the same file"
    )
    group.add_argument("--data", metavar="DIR", help="data-bin of both models (default: where it was at training)")
    group.add_argument(
        "--untrained", choices=UNTRAINED, default="none", help="give these sides' models fresh random weights (none)"
    )
    group.add_argument("--bf16", action="store_true", help="compute in bfloat16")


def load_sides(source: str, target: str, data: str | None = None, untrained: str = "none", seed: int = 1) -> Sides:
    """Two sides from ``LANGUAGE=CHECKPOINT``; one checkpoint is read once.

    Parameters
    ----------
    source, target : str
    data : str, optional
        Data-bin to read vocabularies from, for both; by default where each was at training.
    untrained : {"none", "target", "both"}
        Sides whose models get fresh random weights. With "both", one model on both sides stays one model.
    seed : int
        Of the fresh weights.

    Raises
    ------
    InputError
        Another form, no checkpoint, or a language that the checkpoint does not have.
    """
    read: dict[Path, Pretrained] = {}
    sides = []
    for text in (source, target):
        language, equals, checkpoint = text.partition("=")
        if not language or not equals or not checkpoint:
            raise InputError(f"expected LANGUAGE=CHECKPOINT, such as en=runs/en/checkpoint_best.pt; found {text!r}")
        path = Path(checkpoint).resolve()
        if path not in read:
            read[path] = Pretrained.load(checkpoint, data)
        read[path].segmenter(language)
        sides.append(Side(language, read[path]))
    if untrained == "both":
        # different weights for different models, as training apart would give
        fresh = {id(model): model.random_twin(1000 + 2 * seed + number) for number, model in enumerate(read.values())}
        sides = [Side(side.language, fresh[id(side.model)]) for side in sides]
    elif untrained == "target":
        sides[1] = Side(sides[1].language, sides[1].model.random_twin(1001 + 2 * seed))
    return Sides(sides[0], sides[1], untrained)
