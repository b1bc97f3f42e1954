"""docs/python.md: its code runs, in order, on a model of the tests."""

from __future__ import annotations

import re

import numpy as np
import torch

from fairseq_xling.evaluation.pretrained import Pretrained
from fairseq_xling.models.encoder import XlingEncoder
from fairseq_xling.models.masked_lm import XlingModel
from fairseq_xling.sharing import Sharing

from .conftest import ROOT


def test_what_stands_there_runs(model, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), flags=re.DOTALL)
    encoder = model.model.encoder
    parts = XlingEncoder(encoder.shape, Sharing.parse("1-2", encoder.shape.layers), encoder.vocabularies)
    separate = Pretrained(XlingModel(parts, encoder.vocabularies), model.data, model.trained_positions)
    monkeypatch.setattr(Pretrained, "load", lambda path: separate)
    names: dict = {}
    assert len(blocks) == 4
    for block in blocks:
        exec(block, names)
    assert names["sentences"].shape == (separate.num_layers + 1, 2, encoder.shape.dim)
    assert names["words"].shape[1] == sum(len(text.split()) for text in names["texts"])
    assert not np.allclose(names["swapped"][1], names["sentences"][1])
    assert np.array_equal(names["swapped"][0], names["sentences"][0])
    assert torch.equal(names["first"]("qab").attention.out.weight, names["first"]("qaa").attention.out.weight)
