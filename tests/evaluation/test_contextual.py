"""Maps of words in context, and heads on frozen layers, where the right answer is known."""

from __future__ import annotations

import copy
import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ortho_group

from fairseq_xling.data.labelled_task import Score
from fairseq_xling.data.ner import NER
from fairseq_xling.evaluation import frozen_transfer
from fairseq_xling.evaluation.contextual_alignment import LayerMap, learn_maps, linked_words
from fairseq_xling.evaluation.contextual_transfer import LayerTransfer, read_labelled
from fairseq_xling.evaluation.frozen_transfer import FrozenHead, HeadOptions, LayerFeatures, predict, unit_scale
from fairseq_xling.evaluation.sides import Side, Sides
from fairseq_xling.formats.errors import InputError

from ..conftest import ROOT


class Rotated:
    """A model whose states are those of another, turned: what training apart would ideally give."""

    def __init__(self, model, rotation):
        self._model, self._rotation = model, torch.tensor(rotation, dtype=torch.float32)
        self.model = self
        self.encoder = self

    def __call__(self, *args, **kwargs):
        return [state @ self._rotation for state in self._model.model.encoder(*args, **kwargs)]

    def __getattr__(self, name):
        found = getattr(self._model, name, None)
        return (
            found
            if found is not None
            else getattr(self._model.model, name, None) or getattr(self._model.model.encoder, name)
        )


@pytest.fixture(scope="module")
def twins(model):
    rotated = Rotated(model, ortho_group.rvs(16, random_state=2))
    return Sides(Side("qaa", model), Side("qaa", rotated))


@pytest.fixture(scope="module")
def pairs(lab):
    lines = (lab / "text/wiki/qaa.train.txt").read_text("utf-8").splitlines()[:150]
    return [(line.split(), line.split()) for line in lines]


@pytest.fixture(scope="module")
def maps(twins, pairs):
    return learn_maps(twins.source, twins.target, pairs, [[(i, i) for i in range(len(a))] for a, _ in pairs])


def test_the_map_undoes_a_rotation_in_every_layer(twins, maps, pairs):
    ids = twins.source.model.segmenter("qaa").encode(" ".join(pairs[0][0]))
    tokens = torch.tensor([[2, *ids, 2]])
    with torch.no_grad():
        source = twins.source.model.model.encoder(tokens, "qaa")
        target = twins.target.model(tokens, "qaa")
    assert len(maps) == 5
    for layer_map, x, y in zip(maps, source, target, strict=True):
        np.testing.assert_allclose(layer_map.map_target(y), layer_map.map_source(x), atol=1e-3)
        assert not np.allclose(layer_map.map_source(y), layer_map.map_source(x), atol=0.1)


def test_words_are_their_first_subwords_unless_asked(twins, maps, pairs):
    links = [[(i, i) for i in range(len(a))] for a, _ in pairs]
    mean = learn_maps(twins.source, twins.target, pairs, links, pooling="mean")
    first = learn_maps(twins.source, twins.target, pairs, links, pooling="first")
    assert torch.equal(first[4].source.means, maps[4].source.means)
    assert not torch.allclose(first[4].source.means, mean[4].source.means, atol=1e-3)


def test_mapped_states_have_unit_scale(maps):
    x = torch.randn(3, 7, 16)
    mapped: LayerMap = maps[2]
    assert mapped.map_source(x).shape == x.shape
    assert float(mapped.map_source(x).square().mean()) == pytest.approx(1, abs=0.3)


def test_linked_words_are_numbered_over_sentences_and_drawn_with_a_seed():
    pairs = [(["a", "b"], ["c"]), ([], ["d", "d"]), (["e"], ["f", "g"])]
    links = [[(1, 0)], [], [(0, 1)]]
    assert linked_words(pairs, links, 10, 1).tolist() == [[1, 0], [2, 4]]
    drawn = linked_words([(["a"] * 9, ["b"] * 9)], [[(i, i) for i in range(9)]], 4, 5)
    assert len(drawn) == 4
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (np.diff(drawn[:, 0]) > 0).all()
    with pytest.raises(InputError, match="no link of one word to one word"):
        linked_words(pairs, [[(0, 0), (1, 0)], [], []], 10, 1)


@pytest.mark.parametrize("task", ["ner", "parsing"])
def test_a_head_transfers_to_a_rotated_model_through_the_map_only(lab, twins, maps, task):
    gold = read_labelled(task, lab / {"ner": "ner", "parsing": "ud"}[task], "", twins, seed=1, split="train")
    options = HeadOptions(layers=1, dropout=0.0, epochs=12, batch_size=4, learning_rate=5e-3, arc_dim=16, label_dim=8)
    transfer = LayerTransfer(twins, 0, maps[0], gold, options)
    transfer.train()
    target, source = list(transfer.scores())
    assert (target.source, source.source) == (False, True)
    assert "train" in target.file
    assert "dev" in source.file
    assert target.score.value > 0.15  # far above chance, on the sentences of training
    itself = LayerTransfer(Sides(twins.source, twins.source), 0, None, gold, options)
    itself.target.feature_map = maps[0].map_source
    itself.head = transfer.head
    assert target.score.value == pytest.approx(next(itself.scores()).score.value, abs=0.01)
    transfer.target.feature_map = maps[0].map_source  # as if the rotated model were the model itself
    assert next(transfer.scores()).score.value < target.score.value - 0.1


@pytest.mark.parametrize("layer", [0, 2, 4])
def test_frozen_features_are_those_of_their_layer_at_unit_scale_where_not_mapped(lab, twins, layer):
    gold, model = read_labelled("ner", lab / "ner", "", twins, seed=1), twins.source.model
    inputs = gold.dev.sample(np.arange(8))["net_input"]
    states, padding, _ = LayerFeatures(model, layer, lambda states: states)(inputs)
    with torch.no_grad():
        expected = model.model.encoder(inputs["src_tokens"], "qaa", padding)[layer]
    assert torch.allclose(states[~padding], expected[~padding], atol=1e-6)
    assert not states[padding].any()
    gold.dev.lay_out(8)
    features = LayerFeatures(model, layer, unit_scale(model, layer, gold.dev))
    kept = [batch[~mask] if mask is not None else batch.flatten(0, 1) for batch, mask, _ in
            (features(gold.dev.sample(chosen)["net_input"]) for chosen in gold.dev.members(1)[:32])]  # fmt: skip
    assert float(torch.cat(kept).square().mean()) == pytest.approx(1, rel=1e-3)


def test_one_seed_gives_one_head(lab, twins, maps):
    gold = read_labelled("ner", lab / "ner", "", twins, seed=1)
    options = HeadOptions(layers=1, epochs=1)
    state = torch.get_rng_state()
    heads = []
    for _ in range(2):
        transfer = LayerTransfer(twins, 1, maps[1], gold, options)
        transfer.train()
        heads.append(transfer.head.state_dict())
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
    assert torch.equal(state, torch.get_rng_state())
    other = LayerTransfer(twins, 1, maps[1], gold, replace(options, seed=2))
    other.train()
    assert not torch.equal(other.head.scores.scores.weight, heads[0]["scores.scores.weight"])


def test_predictions_are_made_without_dropout(lab, twins, maps):
    gold = read_labelled("ner", lab / "ner", "", twins, seed=1)
    transfer = LayerTransfer(twins, 1, maps[1], gold, HeadOptions(layers=1, dropout=0.9))
    head = FrozenHead(twins.source.model, gold.task, gold.labels, transfer.options)
    once, twice = (
        predict(head.train(), transfer.source, gold.task, gold.labels, gold.dev) for _ in range(2)
    )  # as within training
    assert once == twice


def test_the_epoch_that_is_best_on_dev_is_kept(lab, twins, maps, monkeypatch):
    gold = read_labelled("ner", lab / "ner", "", twins, seed=1)
    scores, states = [0.1, 0.9, 0.3], []

    class Scripted(NER):
        def score(self, examples, predictions):
            return [Score("f1", scores[len(states) - 1], 1, "none")]

    monkeypatch.setattr(
        frozen_transfer, "predict", lambda head, *_: states.append(copy.deepcopy(head.state_dict())) or []
    )
    transfer = LayerTransfer(twins, 1, maps[1], replace(gold, task=Scripted()), HeadOptions(layers=1, epochs=3))
    transfer.train()
    assert len(states) == 3
    kept = transfer.head.state_dict()
    assert all(torch.equal(kept[name], states[1][name]) for name in kept)
    assert not torch.equal(kept["scores.scores.weight"], states[2]["scores.scores.weight"])


def test_the_seed_orders_the_training_data(lab, twins):
    first, again, other = (read_labelled("ner", lab / "ner", "", twins, seed) for seed in (1, 1, 2))
    orders = [np.concatenate(gold.train.members(1)).tolist() for gold in (first, again, other)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


def test_the_command_passes_its_seed_on(lab, twins, monkeypatch):
    """A spy in the place of the reader, as a whole run takes minutes."""
    command, seen = runpy.run_path(str(ROOT / "eval" / "contextual.py")), []

    def reader(*arguments):
        seen.append(arguments)
        raise InputError("seen")

    command["main"].__globals__.update(load_sides=lambda *_: twins, read_labelled=reader)
    words = ["x", "--task", "ner", "--gold", "g", "--source", "a=b", "--target", "a=b", "--seed", "7"]
    monkeypatch.setattr(sys, "argv", [*words, "--experiment", "e", "--parallel", "p"])
    with pytest.raises(InputError, match="seen"):
        command["main"]()
    assert 7 in seen[0]
