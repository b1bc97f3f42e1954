"""Options that weights do not show: what is compared, and with which checkpoints."""

import re
from dataclasses import replace

import pytest
import torch

from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.shape import Shape
from fairseq_xling.models.transfer import Description
from fairseq_xling.tasks.resumed_options import expect_same_options

PRETRAINED = {"_name": "xling_lab", "encoder_attention_heads": 2, "encoder_normalize_before": True}
MADE = Description(Shape(layers=1, dim=8, heads=2, hidden=8), "", ("en", "fr"), "en", "tagging", ("O", "B-PER"))


def fine_tuned(**changed):
    shape = {name: changed.pop(name) for name in ("heads", "norm_before") if name in changed}
    made = replace(MADE, shape=replace(MADE.shape, **shape), **changed)
    return {"_name": "xling_transfer", "description": made.to_json()}


def write_checkpoint(path, model):
    cfg = {"task": {"_name": "xling_masked_lm"}, "model": model}
    torch.save({"model": {"weight": torch.zeros(1000)}, "cfg": cfg}, path)
    return path


@pytest.mark.parametrize(
    ("saved", "now", "says"),
    [
        (PRETRAINED, PRETRAINED | {"encoder_attention_heads": 4}, "--encoder-attention-heads: it was made with 2, and"),
        (PRETRAINED, PRETRAINED | {"encoder_normalize_before": False}, "--encoder-normalize-before: it was made with"),
        (fine_tuned(), fine_tuned(source="fr"), "--source-lang: it was made with en, and cannot go on with fr"),
        (fine_tuned(), fine_tuned(heads=4), "attention heads of the --pretrained model: it was made with 2, and"),
        (fine_tuned(), fine_tuned(norm_before=True), "layer norm before sublayers in the --pretrained model: it was"),
    ],
)
def test_another_value_is_refused_with_the_file_and_both_values(tmp_path, saved, now, says):
    path = write_checkpoint(tmp_path / "x.pt", saved)
    expect_same_options(path, saved, new_run=False)
    with pytest.raises(InputError, match=re.escape(f"{path}: {says}")):
        expect_same_options(path, now, new_run=False)


def test_a_new_run_may_have_another_source_language_but_no_other_heads(tmp_path):
    path = write_checkpoint(tmp_path / "x.pt", fine_tuned())
    expect_same_options(path, fine_tuned(source="fr"), new_run=True)
    with pytest.raises(InputError, match="attention heads"):
        expect_same_options(path, fine_tuned(heads=4), new_run=True)


def test_what_cannot_be_compared_is_left_to_loading(tmp_path):
    expect_same_options(tmp_path / "none.pt", PRETRAINED, new_run=False)
    without = {"_name": "xling_lab"}  # a checkpoint that does not say
    expect_same_options(write_checkpoint(tmp_path / "old.pt", without), PRETRAINED, new_run=False)
    expect_same_options(write_checkpoint(tmp_path / "other.pt", PRETRAINED), fine_tuned(), new_run=False)
