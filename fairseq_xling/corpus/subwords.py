"""The vocabulary modes of Table 1: which languages share a BPE, and which share the entries of a dictionary."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import sentencepiece
from tqdm import tqdm

from fairseq_xling.corpus.bpe import count_words, train_bpe
from fairseq_xling.corpus.encode import plain_pieces, symbol_of
from fairseq_xling.formats.files import atomic_write


def train_models(
    folder: Path, train: Mapping[str, Path], mode: str, size: int, coverage: float, shrink: bool, workers: int
) -> dict[str, bytes]:
    """Write `<lang>/spm.model` for each language; models that are there already are kept.

    Parameters
    ----------
    folder : Path
        The data-bin in the making.
    train : mapping
        Language to its training text.
    mode : str
        `joint` trains one BPE on the text of all languages, the other modes one for each language.

    Returns
    -------
    dict
        Language to its model.
    """
    groups = [list(train)] if mode == "joint" else [[lang] for lang in train]
    models: dict[str, bytes] = {}
    for group in tqdm(groups, desc="BPE", unit="model", disable=None, leave=False):
        first = folder / group[0] / "spm.model"
        if first.is_file():
            model = first.read_bytes()
        else:
            words: Counter[bytes] = count_words([train[lang] for lang in group], workers)
            model = train_bpe(words, size, coverage, shrink, train[group[0]])
            del words
            _return_free_memory()
        for lang in group:
            models[lang] = model
            with atomic_write(folder / lang / "spm.model", "wb", sync=False) as out:
                out.write(model)
    return models


def _return_free_memory() -> None:
    """What SentencePiece has freed (some 200 MB) back to the system; glibc would keep it for the rest of the build."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)


def dictionaries(models: Mapping[str, bytes], mode: str) -> dict[str, list[str]]:
    """The symbols of each language's `dict.txt`; one and the same list unless the mode is `separate`.

    The order is that of the SentencePiece models (merges first learnt come first), language after language.
    """
    own = {}
    for lang, model in models.items():
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        own[lang] = [symbol_of(piece, lang, mode) for piece in plain_pieces(processor)]
    if mode == "separate":
        return own
    union = list(dict.fromkeys(symbol for symbols in own.values() for symbol in symbols))
    return dict.fromkeys(models, union)


def usage_of(symbols: Sequence[str], counts: Sequence[int], lang: str, mode: str) -> tuple[dict[str, int], ...]:
    """Counts by dictionary entry and by plain subword string, to compare two languages.

    Entries that two languages do not share are made different: in `separate` mode none is shared.
    """
    prefix = f"{lang}:"
    entry = {symbol if mode != "separate" else prefix + symbol: count for symbol, count in zip(symbols, counts)}
    if mode != "prefixed":
        return entry, dict(zip(symbols, counts))
    return entry, {s.removeprefix(prefix): count for s, count in zip(symbols, counts) if s.startswith(prefix)}
