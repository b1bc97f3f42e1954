"""Heads against plain loops, the root's part in the parser, and the optimiser with two rates."""

from types import SimpleNamespace

import pytest
import torch

from fairseq_xling.analysis import is_tree
from fairseq_xling.data.labelled import IGNORED
from fairseq_xling.formats.errors import InputError
from fairseq_xling.models.biaffine import BiaffineHead
from fairseq_xling.models.encoder import VocabularyInfo, XlingEncoder
from fairseq_xling.models.heads import LinearHead, SharedDropout
from fairseq_xling.models.shape import Shape
from fairseq_xling.models.transfer import XlingTransferModel
from fairseq_xling.optim.two_rates import TwoRates, TwoRatesConfig
from fairseq_xling.sharing import Sharing

RELATIONS = ["nsubj", "obj", "root"]


@pytest.fixture
def parser():
    torch.manual_seed(0)
    head = BiaffineHead(6, RELATIONS, arc_dim=5, label_dim=4, dropout=0.3).double()
    for weight in (head.arc_weight, head.label_weight):
        torch.nn.init.normal_(weight)
    return head.eval()


def plain_scores(head, features):
    """Dozat & Manning's equations, one pair of words at a time; features (words, dim)."""
    words = [head.root, *features]
    one = torch.ones(1, dtype=torch.float64)

    def mlp(layers, x):
        return torch.nn.functional.elu(layers[0].weight @ x + layers[0].bias)

    arcs = torch.full((len(words), len(words)), -torch.inf, dtype=torch.float64)
    labels = torch.zeros(len(words), len(words), len(head.labels), dtype=torch.float64)
    for d, dependent in enumerate(words):
        for h, governor in enumerate(words):
            if d != h:
                left = torch.cat([mlp(head.arc_dependent, dependent), one])
                arcs[d, h] = left @ head.arc_weight @ mlp(head.arc_head, governor)
            left = torch.cat([mlp(head.label_dependent, dependent), one])
            right = torch.cat([mlp(head.label_head, governor), one])
            for r in range(len(head.labels)):
                labels[d, h, r] = left @ head.label_weight[r] @ right
    return arcs, labels


def test_features_are_those_of_the_first_position_or_of_the_words():
    torch.manual_seed(0)
    encoder = XlingEncoder(Shape(layers=2, dim=8, heads=2, hidden=8), Sharing.parse("", 2), {"en": VocabularyInfo(20)})
    model = XlingTransferModel(encoder, LinearHead(8, ["a", "b"])).eval()
    tokens = torch.randint(4, 20, (2, 5))
    last = encoder(tokens, "en")[-1]
    assert torch.allclose(model.features(tokens, "en"), last[:, 0], atol=1e-6)
    words = torch.tensor([[1, 3], [7, -1]])  # flat positions; -1: the second sentence has one word
    found = model.features(tokens, "en", words=words)
    assert torch.allclose(found[[0, 0, 1], [0, 1, 0]], last[[0, 0, 1], [1, 3, 2]], atol=1e-6)


def batch_of(*counts):
    torch.manual_seed(1)
    features = torch.randn(len(counts), max(counts), 6, dtype=torch.float64)
    present = torch.arange(max(counts))[None] < torch.tensor(counts)[:, None]
    return features, present


def test_scores_and_loss_equal_the_plain_equations(parser):
    features, present = batch_of(3, 1, 4)
    heads = [[2, 0, 2], [0], [0, 1, 1, 3]]
    relations = [[0, 2, 1], [2], [2, 0, IGNORED, 1]]
    target = torch.full((3, 4, 2), IGNORED)
    for s in range(3):
        target[s, : len(heads[s])] = torch.tensor([heads[s], relations[s]]).T
    arcs = parser(features, present)
    expected = 0.0
    for s, count in enumerate([3, 1, 4]):
        plain, labels = plain_scores(parser, features[s, :count])
        assert torch.allclose(arcs.scores[s, 1 : count + 1, : count + 1].double(), plain[1:], atol=1e-5)
        assert torch.isinf(arcs.scores[s, :, count + 1 :]).all()  # no word there can be a head
        for word, (head, relation) in enumerate(zip(heads[s], relations[s]), 1):
            expected -= plain[word].log_softmax(-1)[head]
            if relation != IGNORED:
                expected -= labels[word, head].log_softmax(-1)[relation]
    loss = parser.loss(arcs, target)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_root_takes_part(parser):
    """The second author's code masked it out: root words had no loss and an arbitrary head."""
    features, present = batch_of(3)
    target = torch.tensor([[[2, 0], [0, 2], [2, 1]]])
    loss = parser.loss(parser(features, present), target)
    loss.backward()
    assert parser.root.grad.abs().max() > 1e-3
    with torch.no_grad():
        arcs = parser(features, present)
        for root_word in range(3):
            scores = arcs.scores.clone()
            scores[0, :, 0] = -50.0
            scores[0, root_word + 1, 0] = 50.0
            (tree,) = parser.decode(arcs._replace(scores=scores), present)
            assert [place for place, (head, _) in enumerate(tree) if head == 0] == [root_word]


def test_trees_have_one_root_and_only_it_is_called_root(parser):
    features, present = batch_of(3, 1, 7, 5)
    for tree, count in zip(parser.decode(parser(features, present), present), [3, 1, 7, 5]):
        assert len(tree) == count
        assert is_tree([head for head, _ in tree])
        assert all((relation == 2) == (head == 0) for head, relation in tree)


def test_the_relation_is_the_best_for_the_chosen_head(parser):
    features, present = batch_of(4)
    (tree,) = parser.decode(parser(features, present), present)
    _, labels = plain_scores(parser, features[0])
    for word, (head, relation) in enumerate(tree, 1):
        allowed = labels[word, head, :2] if head else labels[word, head]
        assert relation == (2 if head == 0 else int(allowed.argmax()))


def test_relations_without_root_are_no_treebank():
    with pytest.raises(InputError, match="'root' does not occur"):
        BiaffineHead(4, ["obj", "nsubj"])


def test_linear_head_ignores_what_is_not_there():
    torch.manual_seed(0)
    head = LinearHead(4, ["O", "B-X"])
    features = torch.randn(2, 3, 4)
    target = torch.tensor([[0, 1, IGNORED], [1, IGNORED, IGNORED]])
    scores = head(features)
    loss = head.loss(scores, target)
    expected = sum(-scores[s, w].log_softmax(-1)[target[s, w]] for s, w in [(0, 0), (0, 1), (1, 0)])
    assert loss.item() == pytest.approx(expected.item())
    assert [len(tags) for tags in head.decode(scores, target != IGNORED)] == [2, 1]
    assert head.decode(head(features[:, 0]), None) == scores[:, 0].argmax(-1).tolist()


def test_another_label_set_is_refused():
    with pytest.raises(InputError, match=r"trained on the labels O, B-X, but the training data has O, B-Y"):
        LinearHead(4, ["O", "B-Y"]).load_state_dict(LinearHead(4, ["O", "B-X"]).state_dict())


@pytest.mark.parametrize("damaged", [[300], [1.5], [255, 255], [91]])
def test_a_label_set_that_cannot_be_read_is_refused(damaged):
    head = LinearHead(4, ["O", "B-X"])
    with pytest.raises(InputError, match="which cannot be read"):
        head.load_state_dict({**head.state_dict(), "label_set": torch.tensor(damaged)})


def test_an_average_of_checkpoints_has_their_labels():
    head = LinearHead(4, ["O", "B-X"])
    total = {name: sum([value] * 3) for name, value in head.state_dict().items()}
    head.load_state_dict({**total, "label_set": total["label_set"] // 3})
    head.load_state_dict({**total, "label_set": (total["label_set"] // 3).to(torch.uint8)})  # as of before


def test_shared_dropout_drops_the_same_features_of_all_words():
    torch.manual_seed(0)
    dropped = SharedDropout(0.5).train()(torch.ones(20, 5, 30))
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert not torch.equal(dropped[0], dropped[1])
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.2)
    assert torch.equal(SharedDropout(0.5).eval()(torch.ones(2, 3)), torch.ones(2, 3))


def test_a_run_that_goes_on_with_other_rates_has_these():
    def made(lr, head_lr):
        encoder, head = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
        head.param_group = "head"
        return TwoRates(TwoRatesConfig(lr=[lr], head_lr=head_lr), [encoder, head])

    later = made(1e-4, 5e-4)
    later.load_state_dict(made(1e-3, 1e-2).state_dict())
    later.set_lr(1e-4)
    assert [group["lr"] for group in later.param_groups] == pytest.approx([1e-4, 5e-4])


def test_two_rates_keep_their_ratio_under_a_schedule():
    encoder, head = torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(3))
    head.param_group = "head"
    optimiser = TwoRates(TwoRatesConfig(head_lr=0.05, lr=[0.01]), [encoder, head])
    for rate in (0.01, 0.002):
        optimiser.set_lr(rate)
        assert optimiser.get_lr() == rate
        before = encoder.detach().clone(), head.detach().clone()
        encoder.grad, head.grad = torch.ones(3), torch.ones(3)
        optimiser.optimizer.step()  # Adam's step on equal gradients is the rate itself
        assert (before[0] - encoder).detach().numpy() == pytest.approx(rate, rel=1e-4)
        assert (before[1] - head).detach().numpy() == pytest.approx(5 * rate, rel=1e-4)
    with pytest.raises(InputError, match="positive learning rates"):
        TwoRates(TwoRatesConfig(head_lr=-1, lr=[0.01]), [encoder, SimpleNamespace()])
