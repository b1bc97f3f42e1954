"""Zero-shot evaluation: predictions in the data's own format, lines for results.jsonl, odd input."""

import shutil
from types import SimpleNamespace

import pytest

from fairseq_xling.analysis import Word, attachment_scores, span_f1
from fairseq_xling.data.ner import NER
from fairseq_xling.data.nli import NLI
from fairseq_xling.data.parsing import Parsing
from fairseq_xling.data.split_files import find_split, parse_given
from fairseq_xling.evaluation.grid import train
from fairseq_xling.evaluation.zero_shot import FineTuned, results_of, write_predictions
from fairseq_xling.formats.bio import TaggedSentence, read_bio
from fairseq_xling.formats.conllu import read_conllu
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.nli import Pair, read_nli
from fairseq_xling.formats.results import Run, parse_signature

from . import world

EWT_LIKE = """\
# sent_id = 1
# text = du xyz
1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_
1\tnop\t_\tADP\t_\t_\t2\tcase\t_\t_
2\tqrs\t_\tNOUN\t_\t_\t0\troot\t0:root\t_
2.1\tgone\t_\tVERB\t_\t_\t_\t_\t0:root\t_
3\t.\t_\tPUNCT\t_\t_\t2\tpunct\t_\t_

1\tsrq\t_\tNOUN\t_\t_\t0\troot\t_\t_

"""


@pytest.fixture(scope="module")
def models(data, separate_model, tmp_path_factory):
    """A fine-tuned model of each task, separate parts; by task."""
    found = {}
    for task, name in (("classification", "nli"), ("tagging", "ner"), ("parsing", "ud")):
        save = tmp_path_factory.mktemp(task)
        train(world.arguments(task, data / name, *separate_model, save, "--max-epoch", 3))
        found[task] = save / "checkpoint_best.pt"
    return found


def test_predicted_pairs_are_read_back(models, tmp_path, data):
    finetuned = FineTuned.load(models["classification"])
    evaluation = finetuned.evaluate("fr", "test")
    pairs = list(read_nli(write_predictions(evaluation, finetuned, tmp_path)))
    gold = list(read_nli(data / "nli" / "fr.test.tsv"))
    assert [pair[:2] for pair in pairs] == [pair[:2] for pair in gold]
    right = sum(mine.label == theirs.label for mine, theirs in zip(pairs, gold))
    assert evaluation.scores[0].value == right / len(gold)


def test_predicted_tags_are_read_back(models, tmp_path, data):
    finetuned = FineTuned.load(models["tagging"])
    evaluation = finetuned.evaluate("fr", "dev")
    path = write_predictions(evaluation, finetuned, tmp_path)
    assert path.name == "fr.dev.tsv"
    found, gold = list(read_bio(path)), list(read_bio(data / "ner" / "fr.dev.tsv"))
    assert [sentence.tokens for sentence in found] == [sentence.tokens for sentence in gold]
    assert span_f1([s.tags for s in gold], [s.tags for s in found]).f1 == evaluation.scores[0].value


def test_predicted_trees_keep_multi_word_tokens_and_empty_nodes(models, tmp_path):
    path = tmp_path / "odd.conllu"
    path.write_text(EWT_LIKE)
    finetuned = FineTuned.load(models["parsing"], files=f"fr.test={path}")
    evaluation = finetuned.evaluate("fr", "test")
    written = write_predictions(evaluation, finetuned, tmp_path / "out").read_text().splitlines()
    for new, old in zip(written, EWT_LIKE.splitlines(), strict=True):
        ident = old.split("\t")[0]
        if ident.isdigit():
            assert new.split("\t")[:6] == old.split("\t")[:6]
        else:
            assert new == old
    trees = list(read_conllu(tmp_path / "out" / "fr.test.conllu"))
    gold = list(read_conllu(path))
    scored = attachment_scores([s.words for s in gold], [s.words for s in trees], {"PUNCT", "SYM"})
    assert scored.words == 3
    assert scored.las == evaluation.scores[0].value
    assert evaluation.predictions[1] == [(0, "root")]
    assert evaluation.signature["unknown_labels"] == "2"  # case and punct do not occur in training


def test_results_hold_the_contract(models, data):
    finetuned = FineTuned.load(models["tagging"])
    run = Run("no_anchors", "en-fr", "lab", 7)
    lines = {
        result.metric: result
        for language, split in (("fr", "test"), ("en", "dev"), ("en", "test"))
        for result in results_of(finetuned.evaluate(language, split), run, "ner", setting="lr1")
    }
    assert {"f1", "f1_majority", "f1_source", "f1_source_dev", "f1_source_dev_majority", "precision"} <= lines.keys()
    main = lines["f1"]
    assert (main.experiment, main.pair, main.scale, main.seed, main.task, main.layer) == (
        *vars(run).values(),
        "ner",
        None,
    )
    assert 0 <= main.value <= 1
    assert 0 < main.chance < 0.5
    assert main.n == sum(tag[0] == "B" for s in read_bio(data / "ner" / "fr.test.tsv") for tag in s.tags)
    parts = parse_signature(main.signature)
    assert parts["rule"] == "spans,repair:last_type,gold:conlleval"
    assert (parts["language"], parts["source"], parts["split"], parts["setting"]) == ("fr", "en", "test", "lr1")
    assert parts["data"].startswith("fr.test.tsv@")
    vocabulary = finetuned.task.vocabulary_infos(finetuned.description)["fr"].digest
    assert vocabulary.startswith(parts["vocabulary"])


@pytest.mark.parametrize(("split", "suffix"), [("test", ""), ("valid", "_dev"), ("dev", "_dev"), ("train", "_train")])
def test_only_the_test_set_has_the_bare_name(models, split, suffix):
    evaluation = FineTuned.load(models["tagging"]).evaluate("fr", split)
    metrics = {line.metric for line in results_of(evaluation, Run("default", "en-fr", "lab", 1), "ner")}
    assert {f"f1{suffix}", f"f1{suffix}_majority"} <= metrics
    assert ("f1" in metrics) == (split == "test")


def test_batches_and_rows_do_not_change_predictions(models):
    """One sentence at a time, all together; padding and windows must not matter beyond rounding."""
    finetuned = FineTuned.load(models["parsing"])
    one, many = (finetuned.evaluate("fr", "test", batch_size=size).predictions for size in (1, 16))
    same = [a == b for tree, other in zip(one, many) for a, b in zip(tree, other)]
    assert sum(same) >= 0.98 * len(same)


def test_a_sentence_longer_than_the_model_is_scored_whole(models, tmp_path):
    words = world.lexicon("fr") * 8
    path = tmp_path / "long.conllu"
    path.write_text(world.conllu(words))
    finetuned = FineTuned.load(models["parsing"], files=f"fr.test={path}")
    evaluation = finetuned.evaluate("fr", "test")
    assert len(evaluation.predictions[0]) == len(words)
    assert evaluation.signature["in_several_rows"] == "1"
    assert "cut" not in evaluation.signature
    assert "1 long sentences in several rows" in evaluation.report


def test_a_long_pair_is_cut_and_counted(models, tmp_path):
    path = tmp_path / "long.tsv"
    path.write_text(f"{' '.join(world.lexicon('fr') * 8)}\tmno\tneutral\nmno\tmno\tentailment\n")
    finetuned = FineTuned.load(models["classification"], files=f"fr.test={path}")
    evaluation = finetuned.evaluate("fr", "test")
    assert evaluation.signature["cut"] == "1"
    assert "1 too long and cut" in evaluation.report


def test_without_the_training_data_there_are_no_baselines(models, data, tmp_path):
    shutil.copy(data / "ner" / "fr.test.tsv", tmp_path / "fr.test.tsv")
    evaluation = FineTuned.load(models["tagging"], data=tmp_path).evaluate("fr", "test")
    assert not evaluation.baselines.chance
    assert not evaluation.baselines.majority


def test_a_pretrained_checkpoint_is_no_fine_tuned_one(separate_model, tmp_path):
    with pytest.raises(InputError, match="not a checkpoint of xling_classification"):
        FineTuned.load(separate_model[1])
    with pytest.raises(InputError, match="no such checkpoint"):
        FineTuned.load(tmp_path / "nowhere.pt")


def test_tags_unknown_to_training():
    sentences = [TaggedSentence(("a", "b"), ("B-PER", "I-PER"), 1)]
    assert NER().check_labels(sentences, ["O", "B-PER"], "x.tsv") == 1  # counted as an error: the type is known
    with pytest.raises(InputError, match=r"x.tsv: entity type PER unknown to the model, which was trained on O, B-LOC"):
        NER().check_labels(sentences, ["O", "B-LOC"], "x.tsv")
    with pytest.raises(InputError, match="label neutral unknown"):
        NLI().check_labels([Pair("a", "b", "neutral")], ["entailment", "contradiction"], "x.tsv")


def test_the_papers_repair_rule_and_conllevals():
    gold = [TaggedSentence(("a", "b"), ("B-LOC", "I-LOC"), 1)]
    scores = {score.metric: score for score in NER().score(gold, [["B-PER", "I-LOC"]])}
    assert scores["f1"].value == 1.0  # the span takes its last type
    assert scores["f1_conlleval"].value == 0.0  # two spans
    assert scores["f1"].rule != scores["f1_conlleval"].rule


def test_relations_of_another_scheme_are_refused(tmp_path):
    path = tmp_path / "x.conllu"
    path.write_text(world.conllu(["a", "b", "c", "d"]))
    trees = list(read_conllu(path))
    assert Parsing().check_labels(trees, ["root", "obj"], path) == 0
    with pytest.raises(InputError, match="relation obj unknown to the model"):
        Parsing().check_labels(trees, ["root", "dobj"], path)


def test_baselines_by_hand(tmp_path):
    path = tmp_path / "x.conllu"
    path.write_text(world.conllu(["a", "b", "c"], on_first=["c"]))  # heads 0 1 1, relations root obj nsubj
    trees = list(read_conllu(path))
    baselines = Parsing().baselines(trees, trees)
    assert baselines.chance["las"] == pytest.approx(1 / 3 * 1 / 3)  # one head of three, one relation of three
    # the most frequent distance is 1 back, with obj there; word 1 goes to the root
    assert baselines.majority["las"] == pytest.approx(2 / 3)
    constant = [[Word(0, "root"), Word(1, "obj"), Word(2, "obj")]]
    assert baselines.majority["las"] == attachment_scores([trees[0].words], constant).las
    forward = [SimpleNamespace(words=[Word(2, "det"), Word(3, "det"), Word(0, "root")])]  # word 2 hangs on the last
    assert Parsing().baselines(forward, forward).majority["las"] == 1.0
    pairs = [Pair("a", "b", label) for label in ("neutral", "neutral", "entailment", "contradiction")]
    assert NLI().baselines(pairs, pairs).majority["accuracy"] == 0.5
    assert NLI().baselines(pairs, pairs).chance["accuracy"] == pytest.approx(1 / 3)
    sentences = [TaggedSentence(("a", "b", "c"), ("O", "B-PER", "O"), 1)]
    assert NER().baselines(sentences, sentences).majority["f1"] == 0.0  # all O


def test_baselines_are_learnt_from_the_training_data(tmp_path):
    train = [Pair("a", "b", label) for label in ("neutral", "neutral", "entailment", "contradiction")]
    test = [Pair("a", "b", label) for label in ("entailment", "entailment", "contradiction")]
    baselines = NLI().baselines(test, train)
    assert (baselines.chance["accuracy"], baselines.majority["accuracy"]) == (pytest.approx(1 / 3), 0.0)
    tags = [[TaggedSentence(("a", "b", "c"), tags, 1)] for tags in (("B-PER", "B-PER", "O"), ("O", "O", "B-PER"))]
    assert NER().baselines(*tags).majority["f1"] == 0.0  # all O
    assert NER().baselines(*reversed(tags)).majority["f1"] == pytest.approx(1 / 2)  # all B-PER
    for name, on_first in (("test", ["b", "c"]), ("train", [])):  # heads 0 1 1 with nsubj; 0 1 2 with obj
        (tmp_path / f"{name}.conllu").write_text(world.conllu(["a", "b", "c"], on_first))
    trees = [list(read_conllu(tmp_path / f"{name}.conllu")) for name in ("test", "train")]
    baselines = Parsing().baselines(*trees)
    assert baselines.chance["las"] == pytest.approx(1 / 3 * 1 / 3 / 3)  # the root alone has a relation of training
    assert baselines.majority["las"] == pytest.approx(1 / 3)


def test_the_measure_of_validation_is_that_of_the_evaluation(tmp_path):
    (tmp_path / "x.conllu").write_text(EWT_LIKE)
    trees = list(read_conllu(tmp_path / "x.conllu"))
    predicted = [[(2, "case"), (0, "root"), (1, "punct")], [(0, "nsubj")]]  # wrong at a full stop, and at a root
    assert Parsing.metric_of_counts(Parsing().counts(trees, predicted)) == Parsing().score(trees, predicted)[0].value
    assert Parsing().score(trees, predicted)[0].value == pytest.approx(2 / 3)
    gold = [TaggedSentence(("a", "b", "c", "d"), ("B-LOC", "I-LOC", "O", "O"), 1)]
    predicted = [["B-PER", "I-LOC", "B-PER", "B-PER"]]  # the first span takes its last type; two more
    assert NER.metric_of_counts(NER().counts(gold, predicted)) == NER().score(gold, predicted)[0].value == 0.5


@pytest.mark.parametrize(
    "name",
    [
        "en.dev.tsv",
        "en-dev.tsv.gz",
        "en.valid.tsv",
        "dev-en.tsv",
        "xnli.dev-en.tsv",
        "sub/en_ewt-ud-dev.tsv",
        "sub/dev-en.tsv.xz",
    ],
)
def test_files_are_found_by_the_fields_names(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    (tmp_path / "fr.dev.tsv").touch()
    (tmp_path / "en.train.tsv").touch()
    (tmp_path / "parallel.dev.tsv.gz").touch()
    assert find_split(tmp_path, "en", "valid", ["tsv"]) == path
    assert find_split(tmp_path, "en", "dev", ["tsv"]) == path


def test_two_candidates_are_refused_and_one_can_be_given(tmp_path):
    for name in ("zh_gsd", "zh_gsdsimp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}-ud-dev.conllu").touch()
    with pytest.raises(InputError, match=r"zh_gsd/zh_gsd-ud-dev.conllu, zh_gsdsimp/.*choose with --files zh.dev=PATH"):
        find_split(tmp_path, "zh", "dev", ["conllu"])
    wanted = tmp_path / "zh_gsd" / "zh_gsd-ud-dev.conllu"
    assert find_split(tmp_path, "zh", "valid", ["conllu"], parse_given(f"zh.valid={wanted}")) == wanted
