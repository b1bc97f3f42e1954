"""Options that weights do not show, compared when a run goes on from a checkpoint.

Another width or other layers do not fit the weights, so loading fails. Another number of heads fits, and training would
go on with another model; so does another source language, whose name the mixture would then have.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairseq_xling.checkpoints import read_state
from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.transfer import Description

SOURCE = "--source-lang"
MODEL = {
    "--encoder-attention-heads": "encoder_attention_heads",
    "--encoder-normalize-before": "encoder_normalize_before",
}
"""Options of pretraining, and their names in the configuration."""


def expect_same_options(checkpoint: Path, options: Any, new_run: bool) -> None:
    """Refuse to go on from a checkpoint with another model, or another source language, than it was made with.

    Parameters
    ----------
    checkpoint : path
        Where there is none, there is nothing to compare.
    options : mapping
        The model's options now, as in a checkpoint's configuration.
    new_run : bool
        Only the weights are taken, so that the language may be another one.

    Raises
    ------
    InputError
        Names the option, and both its values.
    """
    if not checkpoint.is_file():
        return
    saved, given = (unseen_in_weights(each) for each in (read_state(checkpoint, mmap=True)["cfg"]["model"], options))
    for option, value in given.items():
        before = saved.get(option)
        if before in (None, value) or (new_run and option == SOURCE):
            continue
        raise InputError(f"{option}: it was made with {before}, and cannot go on with {value}", checkpoint)


def unseen_in_weights(model: Any) -> dict[str, Any]:
    """Options of a pretrained or fine-tuned model that no weight has in its name or size."""
    if not isinstance(model, Mapping):  # fairseq's form of options without a dataclass: no model of ours
        return {}
    if not model.get("description"):
        return {option: model.get(name) for option, name in MODEL.items()}
    made = Description.from_json(model["description"])
    return {
        SOURCE: made.source,
        "attention heads of the --pretrained model": made.shape.heads,
        "layer norm before sublayers in the --pretrained model": made.shape.norm_before,
    }
