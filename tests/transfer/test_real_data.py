"""The readers, labels and baselines on real sets, where they lie beside the repository."""

import pytest

from fairseq_xling.data.ner import NER
from fairseq_xling.data.nli import NLI
from fairseq_xling.data.parsing import Parsing
from fairseq_xling.data.split_files import find_split
from fairseq_xling.evaluation.grid import data_folder


@pytest.mark.parametrize(
    ("task", "language", "split", "count", "labels"),
    [
        (NLI(), "en", "train", 15001, 3),  # its spelling "contradictory" is the same label
        (NLI(), "zh", "dev", 2490, 3),
        (NER(), "fr", "dev", 5000, 7),
        (Parsing(), "fr", "dev", 1476, None),
    ],
)
def test_sets_are_found_and_read(shared_data, task, language, split, count, labels):
    path = find_split(data_folder(shared_data, task.name), language, split, task.extensions)
    examples = task.read(path, language)
    assert len(examples) == count
    found = task.labels(examples)
    assert labels is None or len(found) == labels
    assert task.check_labels(examples, found, path) == 0
    baselines = task.baselines(examples[:300], examples)
    assert 0 < baselines.chance[task.metric] < 0.4
    assert 0 <= baselines.majority[task.metric] < 0.6


def test_relations_of_other_treebanks_are_counted(shared_data):
    parsing = Parsing()
    english = parsing.read(shared_data / "ud" / "en_ewt" / "en_ewt-ud-dev.conllu.gz", "en")
    chinese = find_split(shared_data / "ud" / "zh_gsd", "zh", "dev", parsing.extensions)
    unknown = parsing.check_labels(parsing.read(chinese, "zh"), parsing.labels(english), chinese)
    assert 0 < unknown < 1500  # clf and a few more of 12,663 words
