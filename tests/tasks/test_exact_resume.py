"""Large matrices go their own way on a CPU (`models/tied.py`, `models/linear.py`): a stop changes nothing there."""

import pytest

from fairseq_xling.models import linear, masked_lm

from .pretraining import assert_equal_states, train, write_data


@pytest.mark.parametrize("extra", [[], ["--update-freq", "2"], ["--separate", "emb,1"]], ids=["", "sums", "separate"])
def test_resumed_training_is_bit_exact(tmp_path, monkeypatch, extra):
    for module in (linear, masked_lm):
        monkeypatch.setattr(module, "LARGE", 0)
    data = write_data(tmp_path / "bin", {"en": 400, "fr": 300})
    options = ["--optimizer", "xling_adam", "--bf16-autocast", "--dropout", "0.1", "--attention-dropout", "0.1", *extra]
    whole = train(data, tmp_path / "whole", "--max-update", 8, *options)
    train(data, tmp_path / "parts", "--max-update", 5, *options)
    assert_equal_states(whole, train(data, tmp_path / "parts", "--max-update", 8, *options))
