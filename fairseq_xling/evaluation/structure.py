"""How much cross-lingual structure a bilingual model has: retrieval, word translation, similarity."""

from __future__ import annotations

from fairseq_xling.evaluation.features import sentence_features
from fairseq_xling.evaluation.pretrained import Pretrained
from fairseq_xling.evaluation.sentence_retrieval import retrieval_by_layer
from fairseq_xling.evaluation.similarity import cka_by_layer
from fairseq_xling.evaluation.word_translation import embedding_translation, listed_translations
from fairseq_xling.formats.results import Result, Run, signature

RETRIEVAL, TRANSLATION, SIMILARITY = "sentence_retrieval", "word_translation", "similarity"
CONTEXTUAL_TRANSLATION = "contextual_word_translation"
"""Names of tasks in ``results.jsonl``."""


def sentence_structure(pretrained: Pretrained, run: Run, parallel: dict[str, list[str]], data: str) -> list[Result]:
    """Retrieval of parallel sentences and linear CKA in every layer.

    Parameters
    ----------
    pretrained : Pretrained
    run : Run
        Its pair names the two languages.
    parallel : mapping from language to sentences
        Aligned by row.
    data : str
        Name of the data, for the signature.
    """
    source, target = run.pair.split("-")
    features = [sentence_features(pretrained, parallel[language], language) for language in (source, target)]
    n = features[0].shape[1]
    vocabulary = _vocabularies(pretrained, source, target)
    retrieved = signature(data=data, rule="cosine,centred,mean_of_both_directions", vocabulary=vocabulary)
    similar = signature(data=data, rule="linear_cka,centred", vocabulary=vocabulary)
    results = [
        _result(run, RETRIEVAL, "precision@1", layer, sum(both) / 2, 1 / n, n, retrieved)
        for layer, both in enumerate(retrieval_by_layer(*features))
    ]
    results += [
        _result(run, SIMILARITY, "linear_cka", layer, value, None, n, similar)
        for layer, value in enumerate(cka_by_layer(*features))
    ]
    return results


def word_structure(pretrained: Pretrained, run: Run, dictionary: list[tuple[str, str]], data: str) -> list[Result]:
    """Word translation at the embeddings: of all words of the dictionary, and of those that are spelt differently."""
    source, target = run.pair.split("-")
    same = {word for word, translations in listed_translations(dictionary).items() if word in translations}
    different = [(word, translation) for word, translation in dictionary if word.lower() not in same]
    results = []
    for metric, pairs in (("precision@1", dictionary), ("precision@1_spelt_differently", different)):
        if not pairs:
            continue
        found = embedding_translation(pretrained, source, target, pairs)
        how = signature(
            data=data,
            rule="csls,k=10,one_subword",
            coverage=round(found.coverage, 3),
            vocabulary=_vocabularies(pretrained, source, target),
        )
        results.append(_result(run, TRANSLATION, metric, 0, found.precision, found.chance, found.n, how))
    return results


def _vocabularies(pretrained: Pretrained, *languages: str) -> str:
    hashes = [pretrained.segmenter(language).vocabularies.hash(language)[:8] for language in languages]
    return ",".join(dict.fromkeys(hashes))


def _result(
    run: Run, task: str, metric: str, layer: int, value: float, chance: float | None, n: int, how: str
) -> Result:
    return Result(
        **vars(run), task=task, metric=metric, layer=layer, value=float(value), chance=chance, n=n, signature=how
    )
