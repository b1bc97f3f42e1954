"""The conditions of Table 1 as far as data goes: from prepared text to a data-bin, one call each."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fairseq_xling.corpus.codeswitch import SwitchOptions, switch_file, translation_table
from fairseq_xling.corpus.databin import DatabinOptions, build_databin
from fairseq_xling.corpus.lines import LineStep
from fairseq_xling.corpus.notes import NAME, notes_of, read_notes, write_notes
from fairseq_xling.corpus.progress import text_progress
from fairseq_xling.corpus.steps import count_sentences, sample
from fairseq_xling.formats.dictionary import Weights, inverted, read_weighted, through_pivot
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.files import alone, atomic_write, sha256_of_file
from fairseq_xling.formats.text import find_text

PIVOT = "en"


@dataclass(frozen=True)
class Condition:
    """Attributes: vocabulary `mode`; `other_domain`: of the target's text; `switch`: anchors are added."""

    mode: str
    other_domain: bool = False
    switch: bool = False


CONDITIONS = {
    "default": Condition("joint"),
    "wiki_cc": Condition("joint", other_domain=True),
    "no_anchors": Condition("prefixed"),
    "default_anchors": Condition("union"),
    "extra_anchors": Condition("joint", switch=True),
    "sep_emb": Condition("separate"),
    "sep_l1-3": Condition("union"),
    "sep_l1-6": Condition("union"),
    "sep_emb_l1-3": Condition("separate"),
    "sep_emb_l1-6": Condition("separate"),
    "mono": Condition("separate"),
}


@dataclass(frozen=True)
class Scale:
    """Subwords of a joint BPE and of one for each language, and how strict its training is."""

    joint: int
    each: int
    coverage: float
    shrink: bool


SCALES = {
    "lab": Scale(1_600, 800, 1.0, True),
    "pocket": Scale(16_000, 8_000, 0.9995, False),
    "paper": Scale(80_000, 40_000, 0.9995, False),
}


@dataclass(frozen=True)
class Domains:
    """Attributes: `usual` domain of all text; `other`: that of the target language in wiki_cc (source: `plain`)."""

    usual: str
    plain: str
    other: str


def find_domains(folder: Path) -> Domains:
    """`all` where it is (pocket), else `wiki`; the other domain is `cc` where it is, else `bible`."""
    usual = "all" if (folder / "text" / "all").is_dir() else "wiki"
    other = "cc" if (folder / "text" / "cc").is_dir() else "bible"
    return Domains(usual, "wiki", other)


def build_condition(
    name: str,
    languages: list[str],
    folder: Path,
    out: Path,
    scale: Scale,
    domains: Domains,
    seed: int = 1,
    workers: int = 1,
    dictionary: Path | None = None,
    allow_unknown: bool = False,
    casing: str | None = None,
) -> dict[str, Any]:
    """Build the data-bin of a condition.

    Parameters
    ----------
    name : str
        One of `CONDITIONS`.
    languages : list of str
        Source and target; one language for `mono`.
    folder : Path
        Holds `text/<domain>/<lang>.{train,valid,test}.txt` and `dictionaries/`; texts derived for a condition are
        kept there, in `derived/`.
    out : Path
        Data-bin to make.
    scale, domains : Scale, Domains
        BPE sizes, and which text is which.
    seed : int
        Of the sample of wiki_cc and of code-switching.
    dictionary : Path, optional
        Weighted dictionary from source to target for `extra_anchors`.
    allow_unknown : bool
        Accept more than 1 % of unknown tokens.
    casing : str, optional
        What the text is believed to be; an error if `notes.json` beside it says otherwise, as evaluation follows that.

    Returns
    -------
    dict
        The manifest.
    """
    condition = _condition(name, languages)
    usual = domains.plain if condition.other_domain else domains.usual
    text = {lang: folder / "text" / usual / lang for lang in languages}
    history: dict[str, Any] = {"condition": name, "domains": dict.fromkeys(languages, usual)}
    if condition.other_domain:
        target = languages[1]
        text[target], history["sample"] = _same_size(folder, target, domains, seed, workers)
        history["domains"][target] = domains.other
    held, tokenisation = notes_of(text)
    if casing and casing != held:
        notes = folder / "text" / usual / NAME
        raise InputError(f"the text here is {held} by its notes (cased where there are none), not {casing}", notes)
    if condition.switch:
        options = SwitchOptions(seed=seed)
        weights = read_weighted(dictionary) if dictionary else find_dictionary(folder, *languages)
        text, history["code_switching"] = _switched(folder, text, weights, options, workers)
    options_of_bin = DatabinOptions(
        condition.mode,
        scale.joint if condition.mode == "joint" else scale.each,
        scale.coverage,
        scale.shrink,
        allow_unknown,
        held,
        tokenisation,
    )
    return build_databin(out, text, options_of_bin, workers, history)


def _condition(name: str, languages: list[str]) -> Condition:
    if name not in CONDITIONS:
        raise InputError(f"no condition {name!r}; there are {', '.join(CONDITIONS)}")
    wanted = 1 if name == "mono" else 2
    if len(languages) != wanted or len(set(languages)) != wanted:
        raise InputError(f"{name} needs {wanted} language{'s'[: wanted - 1]}, found {'-'.join(languages)}")
    return CONDITIONS[name]


def find_dictionary(folder: Path, source: str, target: str) -> Weights:
    """The weighted dictionary of a pair, in either direction, or by way of English.

    Raises
    ------
    InputError
        None of these is in `folder/dictionaries`.
    """
    direct = _either_direction(folder, source, target)
    if direct is not None:
        return direct
    first, second = _either_direction(folder, source, PIVOT), _either_direction(folder, PIVOT, target)
    if first is None or second is None:
        raise InputError(
            f"no dictionary of {source} and {target}, nor of both with {PIVOT}; "
            "make one with preprocess/make_dictionary.py",
            folder / "dictionaries" / f"{source}-{target}.weighted.tsv",
        )
    return through_pivot(first, second)


def _either_direction(folder: Path, source: str, target: str) -> Weights | None:
    path = folder / "dictionaries" / f"{source}-{target}.weighted.tsv"
    if path.is_file():
        return read_weighted(path)
    path = folder / "dictionaries" / f"{target}-{source}.weighted.tsv"
    return inverted(read_weighted(path)) if path.is_file() else None


def _need(prefix: Path, split: str) -> Path:
    path = find_text(prefix, split)
    if path is None:
        raise InputError("no such text; expected one sentence a line, plain or compressed", f"{prefix}.{split}.txt")
    return path


def _is_done(stamp: Path, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a stamp says of a derived text, if that was made from the same input in the same way."""
    if not stamp.is_file():
        return None
    found = json.loads(stamp.read_text(encoding="utf-8"))
    return found["result"] if found["wanted"] == wanted else None


def _stamp(stamp: Path, wanted: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    with atomic_write(stamp, sync=False) as out:
        json.dump({"wanted": wanted, "result": result}, out)


def _derived(
    prefix: Path, out: Path, wanted: Mapping[str, Any], make_train: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Make the text `out` from the text `prefix`, unless it is there and was made in the same way.

    `make_train` writes the training file and returns what there is to say about it; this is kept and returned. If
    several processes need the same text at once, one makes it and the others wait.
    """
    stamp, lang = out.with_name(f"{out.name}.json"), out.name
    if (result := _is_done(stamp, wanted)) is not None:
        return result
    with alone(out):
        if (result := _is_done(stamp, wanted)) is not None:
            return result
        result = make_train()
        _copy_held_out(prefix, out)
        notes = read_notes(prefix.parent)
        write_notes(out.parent, notes["casing"], {lang: notes["tokenisation"].get(lang, "none")})
        _stamp(stamp, wanted, result)
    return result


def _copy_held_out(prefix: Path, out: Path) -> None:
    for split in ("valid", "test"):
        path = find_text(prefix, split)
        if path is not None:
            with open(path, "rb") as source, atomic_write(f"{out}.{split}.txt{_suffix(path)}", "wb", False) as target:
                shutil.copyfileobj(source, target)


def _suffix(path: Path) -> str:
    return "" if path.suffix == ".txt" else path.suffix


def _same_size(folder: Path, lang: str, domains: Domains, seed: int, workers: int) -> tuple[Path, dict[str, Any]]:
    """Text of the other domain, as many sentences as the language has in the usual one (or all, if it has fewer)."""
    reference = _need(folder / "text" / domains.usual / lang, "train")
    prefix = folder / "text" / domains.other / lang
    source = _need(prefix, "train")
    out = folder / "derived" / f"{domains.other}-like-{domains.usual}-{seed}" / lang
    wanted = {"source": sha256_of_file(source), "reference": sha256_of_file(reference), "seed": seed}

    def draw() -> dict[str, Any]:
        count = count_sentences(reference)
        with text_progress("sample", [source]) as bar:
            written, found = sample(source, Path(f"{out}.train.txt"), LineStep(lang), count, seed, workers, bar.update)
        return {"sentences": written, "of": found.counts["written"], "wanted": count}

    return out, _derived(prefix, out, wanted, draw)


def _switched(
    folder: Path, text: Mapping[str, Path], weights: Weights, options: SwitchOptions, workers: int
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Both training texts with words of the other language; the held-out texts stay as they are."""
    source, target = text
    casing, _ = notes_of(text)
    tables = {source: translation_table(weights, casing), target: translation_table(inverted(weights), casing)}
    derived, rates = {}, {}
    for lang, prefix in text.items():
        train = _need(prefix, "train")
        out = folder / "derived" / f"{source}-{target}-anchors-{options.seed}" / lang
        digest = hashlib.sha256(repr(sorted(tables[lang].items())).encode()).hexdigest()
        wanted = {"source": sha256_of_file(train), "dictionary": digest, "options": asdict(options)}

        def switch(train: Path = train, out: Path = out, lang: str = lang) -> dict[str, Any]:
            with text_progress(f"switch {lang}", [train]) as bar:
                target_file = Path(f"{out}.train.txt")
                return dict(switch_file(train, target_file, tables[lang], options, workers, bar.update))

        derived[lang], rates[lang] = out, _derived(prefix, out, wanted, switch)
    return derived, rates
