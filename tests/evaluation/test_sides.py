"""The two sides of a comparison, read from checkpoints."""

from __future__ import annotations

import shutil

import torch

from fairseq_xling.evaluation.sides import load_sides


def test_untrained_sides_have_weights_of_their_own(checkpoint, tmp_path):
    """Two models as if trained apart, made from one seed; one model for both languages stays one."""
    other = shutil.copy(checkpoint, tmp_path / "other.pt")

    def weights(target, untrained, seed=1):
        sides = load_sides(f"qaa={checkpoint}", f"qab={target}", None, untrained, seed)
        return [side.model.model.encoder.layers[0]("qaa").attention.qkv.weight for side in (sides.source, sides.target)]

    trained = weights(other, "none")[0]
    apart, again, later = (weights(other, "both", seed) for seed in (1, 1, 2))
    assert len({tuple(weight.flatten().tolist()) for weight in (trained, *apart, *later)}) == 5
    assert all(torch.equal(a, b) for a, b in zip(apart, again))
    assert torch.equal(*weights(checkpoint, "both"))
    source, target = weights(other, "target")
    assert torch.equal(source, trained)
    assert not torch.equal(target, trained)
