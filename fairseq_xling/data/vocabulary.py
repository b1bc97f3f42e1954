"""The vocabularies of a data-bin, and text to their ids."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import sentencepiece
from fairseq.data import Dictionary

from fairseq_xling.corpus.encode import symbols_of
from fairseq_xling.corpus.words import change_case, clean, tokeniser
from fairseq_xling.formats.dict_txt import MASK, SPECIAL, UNK, read_dict, vocabulary_hash
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.manifest import NAME, read_manifest


class Vocabularies:
    """One vocabulary for all languages, or one for each; ids 0 to 3 are special, `<mask>` is the last.

    Attributes
    ----------
    folder : Path
        The data-bin.
    languages : list of str
        In the order of the manifest, or as asked for.
    shared : bool
        Whether all languages have the same symbols under the same ids.
    """

    def __init__(self, folder: Path, symbols: Mapping[str, list[str]], counts: Mapping[str, list[int]], shared: bool):
        self.folder, self.shared = folder, shared
        self.languages = list(symbols)
        self._symbols, self._counts = dict(symbols), {lang: np.asarray(c) for lang, c in counts.items()}
        one = _dictionary(next(iter(symbols.values())), np.sum(list(self._counts.values()), axis=0)) if shared else None
        self._dictionaries = {lang: one or _dictionary(symbols[lang], self._counts[lang]) for lang in symbols}

    @classmethod
    def load(cls, data_dir: str | os.PathLike[str], languages: Iterable[str] | None = None) -> Vocabularies:
        """Read the dictionaries of a data-bin.

        Parameters
        ----------
        data_dir : path-like
            Data-bin folder.
        languages : iterable of str, optional
            Languages wanted; all that the folder has, if None.

        Raises
        ------
        InputError
            No data-bin, an unknown language, a malformed dictionary, or languages' dictionaries that differ from
            the common one; the file and, where there is one, the line are named.
        """
        folder = Path(data_dir)
        known = known_languages(folder)
        wanted = list(languages) if languages else known
        for lang in wanted:
            if lang not in known:
                raise InputError(f"no data for language {lang!r}; there is {', '.join(known)}", folder)
        read = {lang: read_dict(folder / lang / "dict.txt") for lang in wanted}
        symbols = {lang: pair[0] for lang, pair in read.items()}
        shared = (folder / "dict.txt").is_file() or len(wanted) == 1
        if (folder / "dict.txt").is_file():
            common, _ = read_dict(folder / "dict.txt")
            for lang in wanted:
                _expect_same(common, symbols[lang], folder / lang / "dict.txt", folder / "dict.txt")
        return cls(folder, symbols, {lang: pair[1] for lang, pair in read.items()}, shared)

    def _of(self, lang: str) -> str:
        if lang not in self._dictionaries:
            raise InputError(f"unknown language {lang!r}; there is {', '.join(self.languages)}", self.folder)
        return lang

    def dictionary(self, lang: str) -> Dictionary:
        """fairseq's dictionary of a language, `<mask>` included; the same object for all where it is shared."""
        return self._dictionaries[self._of(lang)]

    def hash(self, lang: str) -> str:
        """SHA-256 of the symbols in order, without the special ones."""
        return vocabulary_hash(self._symbols[self._of(lang)])

    def all_tokens(self, lang: str) -> np.ndarray:
        """Ids of all symbols that are not special, array (symbols,), int64."""
        return np.arange(len(SPECIAL), len(SPECIAL) + len(self._symbols[self._of(lang)]), dtype=np.int64)

    def own_tokens(self, lang: str) -> np.ndarray:
        """Ids of the symbols, special ones apart, that occur in this language's training text, array (n,), int64."""
        return self.all_tokens(lang)[self._counts[self._of(lang)] > 0]


def known_languages(data_dir: str | os.PathLike[str]) -> list[str]:
    """The languages of a data-bin: those of its manifest, else the folders that hold a `dict.txt`."""
    folder = Path(data_dir)
    if (folder / NAME).is_file():
        return list(read_manifest(folder)["languages"])
    found = sorted(path.parent.name for path in folder.glob("*/dict.txt"))
    if not found:
        raise InputError(f"not a data-bin: neither {NAME} nor <language>/dict.txt is there", folder)
    return found


def _dictionary(symbols: Sequence[str], counts: Iterable[int]) -> Dictionary:
    dictionary = Dictionary()
    for symbol, count in zip(symbols, counts, strict=True):
        dictionary.add_symbol(symbol, n=int(count))
    dictionary.add_symbol(MASK)
    return dictionary


def _expect_same(common: Sequence[str], own: Sequence[str], path: Path, common_path: Path) -> None:
    if common == own:
        return
    line = next((i for i, (a, b) in enumerate(zip(common, own), 1) if a != b), min(len(common), len(own)) + 1)
    expected = repr(common[line - 1]) if line <= len(common) else "the end"
    raise InputError(f"belongs to another model: expected symbol {expected} as in {common_path}", path, line)


class Segmenter:
    """Text of one language to the ids of a data-bin's vocabulary.

    Parameters
    ----------
    data_dir : path-like
        Data-bin; its manifest says how text is cased and tokenised, and whether subwords carry a prefix.
    lang : str
        Language.

    Notes
    -----
    Casing is always applied as in the training text. Tokenisation is for raw text only: call `tokenise` first.
    """

    def __init__(self, data_dir: str | os.PathLike[str], lang: str):
        folder = Path(data_dir)
        self.vocabularies = Vocabularies.load(folder, [lang])
        manifest = read_manifest(folder)
        self.lang, self.casing, self._mode = lang, str(manifest["casing"]), str(manifest["mode"])
        self.tokenisation = str(manifest.get("tokenisation", {}).get(lang, "none"))
        self._indices = self.vocabularies.dictionary(lang).indices
        self._processor = _read_model(folder / lang / "spm.model")

    def tokenise(self, text: str) -> str:
        """Raw text with spaces between words, as the training text was tokenised."""
        return tokeniser(self.tokenisation, self.lang)(clean(text))

    def pieces(self, text: str) -> list[str]:
        """The subwords of tokenised text, as symbols of the dictionary (what BPE does not know: as it stands)."""
        found = self._processor.encode(change_case(text, self.casing), out_type=str)
        return symbols_of(found, self.lang, self._mode)

    def encode(self, text: str) -> list[int]:
        """The ids of tokenised text, without `</s>`; the same as binarising gives."""
        return [self._id(symbol) for symbol in self.pieces(text)]

    def encode_words(self, words: Sequence[str]) -> tuple[list[int], list[int]]:
        """The ids of words that are split already, and where each begins.

        Returns
        -------
        ids : list of int
            Subwords of all words in order, without `</s>`.
        starts : list of int
            Position in `ids` of each word's first subword, one a word; a word of which nothing is left
            (a control character, say) becomes one `<unk>`.
        """
        ids: list[int] = []
        starts: list[int] = []
        for word in words:
            starts.append(len(ids))
            ids += self.encode(word) or [UNK]
        return ids, starts

    def _id(self, symbol: str) -> int:
        return UNK if symbol in SPECIAL or symbol == MASK else int(self._indices.get(symbol, UNK))


def _read_model(path: Path) -> sentencepiece.SentencePieceProcessor:
    if not path.is_file():
        raise InputError("no SentencePiece model; expected a data-bin folder made by preprocess/", path)
    try:
        model = path.read_bytes()
        if model:  # of nothing SentencePiece makes a processor that fails at its first use
            return sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError:
        pass
    raise InputError("not a SentencePiece model, or a truncated one", path)
