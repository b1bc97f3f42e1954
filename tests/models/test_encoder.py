"""The encoder against a plain reference, and what its state dict shows."""

import re

import pytest
import torch
import torch.nn.functional as F

from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.encoder import VocabularyInfo, XlingEncoder
from fairseq_xling.models.masked_lm import XlingModel
from fairseq_xling.models.shape import Shape
from fairseq_xling.sharing import Sharing

from .reference import reference_hidden_states, reference_loss

LANGUAGES = {"en": VocabularyInfo(40), "fr": VocabularyInfo(50)}
SHARED = {"en": VocabularyInfo(40), "fr": VocabularyInfo(40)}


def make(separate="", vocabularies=None, seed=0, **shape):
    torch.manual_seed(seed)
    shape = Shape(**{"layers": 3, "dim": 16, "heads": 2, "hidden": 32, "max_positions": 12, **shape})
    sharing = Sharing.parse(separate, shape.layers)
    vocabularies = vocabularies or (LANGUAGES if sharing.embeddings else SHARED)
    model = XlingModel(XlingEncoder(shape, sharing, vocabularies), vocabularies)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # zero at the start: a forgotten bias would not show
            torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def batch(vocabulary, lengths=(10, 7, 1)):
    tokens = torch.randint(4, vocabulary, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(1))
    padding = torch.arange(max(lengths))[None] >= torch.tensor(lengths)[:, None]
    return tokens.masked_fill(padding, 1), padding


@pytest.mark.parametrize("norm_before", [False, True])
@pytest.mark.parametrize("language_embeddings", [False, True])
@pytest.mark.parametrize("separate", ["", "emb", "1-2", "emb,1,3"])
@pytest.mark.parametrize("language", ["en", "fr"])
def test_hidden_states_and_loss_agree_with_the_reference(language, separate, language_embeddings, norm_before):
    model = make(separate, norm_before=norm_before, language_embeddings=language_embeddings)
    state = {name: value.detach() for name, value in model.state_dict().items()}
    lengths = (10, 7, 1)
    tokens, padding = batch(40, lengths)
    with torch.no_grad():
        hidden = model.encoder(tokens, language, padding)
        expected = reference_hidden_states(state, tokens, language, 2, lengths, norm_before)
        assert len(hidden) == 4
        for ours, theirs in zip(hidden, expected):
            for row, reference, length in zip(ours, theirs, lengths):
                assert torch.allclose(row[:length], reference, atol=1e-5)
        picks = [(0, 3), (0, 9), (1, 6)]
        targets = torch.tensor([7, 30, 12])
        flat = torch.tensor([row * 10 + column for row, column in picks])
        logits = model(tokens, language, padding_mask=padding, masked=flat)
        ours = F.cross_entropy(logits, targets)
        theirs = reference_loss(state, tokens, language, 2, lengths, picks, targets.tolist(), norm_before)
    assert float(ours) == pytest.approx(theirs, abs=1e-5)
    assert logits.shape[1] == (50 if language == "fr" and "emb" in separate else 40)


def test_without_padding_no_mask_is_needed():
    model = make()
    tokens, padding = batch(40, (8, 8))
    with torch.no_grad():
        with_mask = model.encoder(tokens, "en", padding)[-1]
        without = model.encoder(tokens, "en")[-1]
    assert torch.allclose(with_mask, without, atol=1e-6)


def test_padding_changes_nothing():
    model = make()
    tokens, padding = batch(40, (8, 5))
    with torch.no_grad():
        alone = model.encoder(tokens[1:, :5], "en")[-1]
        padded = model.encoder(tokens, "en", padding)[-1][1:, :5]
    assert torch.allclose(alone, padded, atol=1e-6)


def test_state_dict_shows_what_is_shared():
    names = set(make("emb,1-2").state_dict())
    owners = {re.sub(r"(en|fr|shared)\..*", r"\1", name) for name in names if "norm." not in name.split("layers")[0]}
    expected = {f"encoder.embeddings.{language}" for language in ("en", "fr")}
    expected |= {f"encoder.layers.{layer}.{language}" for layer in (0, 1) for language in ("en", "fr")}
    expected |= {"encoder.layers.2.shared", "head.en", "head.fr"}
    assert owners == expected


@pytest.mark.parametrize("separate", ["", "1-2", "emb"])
def test_a_language_moves_only_its_own_and_the_shared_parts(separate):
    model = make(separate).train()
    tokens, _ = batch(40, (8, 8))
    model(tokens, "en", masked=torch.tensor([1, 2])).sum().backward()
    for name, parameter in model.named_parameters():
        touched = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        assert touched == (".fr." not in name), name


def test_the_language_changes_the_output_only_where_parts_are_separate():
    tokens, _ = batch(40, (8, 8))
    for separate, differs in [("", False), ("emb", True), ("2", True)]:
        model = make(separate)
        with torch.no_grad():
            english, french = (model.encoder(tokens, language)[-1] for language in ("en", "fr"))
        assert (not torch.allclose(english, french)) == differs


@pytest.mark.parametrize("norm_before", [False, True])  # then a norm after the last layer, and after no other
def test_up_to_stops_early(norm_before):
    model = make(norm_before=norm_before)
    tokens, _ = batch(40, (8, 8))
    with torch.no_grad():
        whole, part, embeddings = (model.encoder(tokens, "en", up_to=n) for n in (3, 2, 0))
    assert [len(states) for states in (whole, part, embeddings)] == [4, 3, 1]
    assert torch.equal(whole[2], part[2])


@pytest.mark.parametrize("norm_before", [False, True])
@pytest.mark.parametrize("last", [0, 1, 3])
def test_the_last_layer_at_some_positions_is_that_of_the_whole(last, norm_before):
    model = make("1,3", norm_before=norm_before)
    tokens, padding = batch(40)
    only = torch.tensor([6, 0, 29, 6])  # in any order, one of them twice
    whole = model.encoder(tokens, "en", padding, up_to=last)
    part = model.encoder(tokens, "en", padding, up_to=last, only=only)
    assert len(part) == last + 1
    assert all(torch.equal(a, b) for a, b in zip(part[:-1], whole))
    expected = whole[-1].reshape(30, -1)[only]
    assert part[-1].shape == expected.shape
    assert torch.allclose(part[-1], expected, atol=1e-6)
    names, parameters = zip(*((name, p) for name, p in model.named_parameters() if ".fr." not in name))
    direction = torch.randn(expected.shape)
    ours, theirs = (
        torch.autograd.grad((found * direction).sum(), parameters, allow_unused=True) for found in (part[-1], expected)
    )
    for name, a, b in zip(names, ours, theirs, strict=True):
        assert (a is None) == (b is None), name
        assert a is None or torch.allclose(a, b, atol=1e-5), name


def test_unknown_language_and_long_block_are_refused():
    model = make()
    with pytest.raises(InputError, match="no language 'de'; it has en, fr"):
        model.encoder(torch.ones(1, 3, dtype=torch.long), "de")
    with pytest.raises(InputError, match="13 tokens; the model has 12 positions"):
        model.encoder(torch.ones(1, 13, dtype=torch.long), "en")


def test_a_language_named_like_a_module_attribute():
    vocabularies = {"to": VocabularyInfo(20), "half": VocabularyInfo(20)}  # "to" is Tongan
    model = make("1", vocabularies)
    assert model(torch.randint(4, 20, (2, 5)), "to").shape == (2, 5, 20)
    assert "encoder.layers.0.to.attention.qkv.weight" in model.state_dict()


def test_one_language():
    model = make("", {"en": VocabularyInfo(20)})
    assert model(torch.randint(4, 20, (2, 5)), "en").shape == (2, 5, 20)


def test_initialisation_as_in_xlm():
    model = make("", {"en": VocabularyInfo(3000)}, dim=64, heads=4, hidden=256, max_positions=200)
    weights = {name: value.detach() for name, value in model.named_parameters()}
    assert weights["encoder.embeddings.shared.tokens.weight"][4:].std() == pytest.approx(64**-0.5, rel=0.02)
    assert weights["encoder.embeddings.shared.positions.weight"].std() == pytest.approx(64**-0.5, rel=0.05)
    assert weights["encoder.embeddings.shared.tokens.weight"][1].abs().sum() == 0  # padding
    expand = weights["encoder.layers.0.shared.feed_forward.expand.weight"]
    assert expand.abs().max() <= 64**-0.5
    assert expand.std() == pytest.approx(64**-0.5 / 3**0.5, rel=0.03)


def test_initialisation_scaled_by_depth():
    model = make("", dim=64, hidden=256, layers=8, init_std=0.05)
    weights = {name: value.detach() for name, value in model.named_parameters()}
    assert weights["encoder.layers.0.shared.feed_forward.expand.weight"].std() == pytest.approx(0.05, rel=0.05)
    assert weights["encoder.layers.0.shared.feed_forward.out.weight"].std() == pytest.approx(0.05 / 4, rel=0.05)


def test_separate_layers_start_equal_if_asked():
    for equal_start in (False, True):
        torch.manual_seed(0)
        shape = Shape(layers=3, dim=16, heads=2, hidden=32, equal_start=equal_start)
        layers = XlingEncoder(shape, Sharing.parse("1-2", 3), SHARED).layers
        for number, layer in enumerate(layers, 1):
            english, french = layer("en").state_dict(), layer("fr").state_dict()
            same = all(torch.equal(english[name], french[name]) for name in english)
            assert same == (equal_start or number == 3)
        moved = next(layers[0]("en").parameters())
        moved.data.zero_()
        assert next(layers[0]("fr").parameters()).any()


def test_vocabulary_hash_travels_and_a_mismatch_is_named():
    ours = make("", {"en": VocabularyInfo(20, digest="ab" * 32)})
    same = make("", {"en": VocabularyInfo(20, digest="ab" * 32)})
    same.load_state_dict(ours.state_dict())
    other = make("", {"en": VocabularyInfo(24, digest="cd" * 32)})
    with pytest.raises(InputError, match=r"another vocabulary .*20 symbols.*abababab.*24 symbols.*cdcdcdcd"):
        other.load_state_dict(ours.state_dict())


def test_an_average_of_checkpoints_has_their_vocabulary():
    """Sums of bytes, as fairseq's average_checkpoints.py makes them, overflow; checkpoints of before held bytes."""
    model = make("", {"en": VocabularyInfo(20, digest="ab" * 32)})
    total = model.state_dict()
    for name, value in total.items():
        total[name] = (value + value + value) / 3 if value.is_floating_point() else (value + value + value) // 3
    model.load_state_dict(total)
    (name,) = [name for name in total if name.endswith("vocabulary_hash")]
    model.load_state_dict({**total, name: total[name].to(torch.uint8)})
    assert model.state_dict()[name].tolist() == [0xAB] * 32


@pytest.mark.parametrize("norm_before", [False, True])
@pytest.mark.parametrize("dim", [16, 768])  # the wider one has products of its own for training
def test_the_residual_stream_in_bfloat16(norm_before, dim):
    plain, low = (make(dim=dim, norm_before=norm_before, bf16_residual=wanted) for wanted in (False, True))
    tokens, padding = batch(40)

    def states(model, bf16):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return model.encoder(tokens, "en", padding)

    exact, mixed, rounded = states(plain, False), states(plain, True), states(low, True)
    assert all(torch.equal(one, other) for one, other in zip(states(low, False), exact, strict=True))  # no autocast
    assert all(state.dtype == torch.bfloat16 for state in rounded[:3])  # the last one may be that of a norm
    assert all(state.dtype == torch.float32 for state in mixed[:3])
    for one, other, reference in zip(rounded, mixed, exact, strict=True):
        distances = [
            (state.float() - reference)[~padding].norm() / reference[~padding].norm() for state in (one, other)
        ]
        assert 0.001 < distances[0] < 0.02
        assert distances[0] < 4 * distances[1] or distances[1] == 0
    rounded[-1].float()[~padding].square().sum().backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in low.encoder.layers.parameters())


def test_a_part_in_another_mode_comes_back_with_the_whole():
    """`model.encoder.train()` to fine-tune it, then `model.eval()` of a model whose own flag never changed."""
    model = make(dropout=0.5)
    tokens, padding = batch(40)
    model.encoder.train()
    assert not any(module.training for module in model.eval().modules())
    assert torch.equal(model.encoder(tokens, "en", padding)[-1], model.encoder(tokens, "en", padding)[-1])
    model.train()
    model.encoder.layers[0].eval()
    assert all(module.training for module in model.train().modules())


@pytest.mark.parametrize("layer", [-1, 4])
def test_a_layer_that_does_not_exist(layer):
    """-1 gave L0 to the last but one, and 4 of 3 the last layer without its norm."""
    tokens, padding = batch(40)
    with pytest.raises(InputError, match=f"no layer {layer}; hidden states are of layers 0 to 3"):
        make(norm_before=True).encoder(tokens, "en", padding, up_to=layer)
