"""Lines of the field's file formats from sentences."""

from __future__ import annotations

from collections.abc import Iterator

from fairseq_xling.lab.meaning import UD_RELATION
from fairseq_xling.lab.sentence import Sentence


def conllu(sentence: Sentence, sent_id: str) -> str:
    """A sentence as a CoNLL-U block, multi-word tokens included, without the blank line that ends it."""
    lines = [f"# sent_id = {sent_id}", f"# text = {sentence.text()}"]
    merged = {first: (last, form) for first, last, form in sentence.contractions}
    for i, word in enumerate(sentence.words):
        if i in merged:
            last, form = merged[i]
            lines.append(f"{i + 1}-{last + 1}\t{form}" + "\t_" * 8)
        relation = UD_RELATION[word.role]
        lines.append(
            f"{i + 1}\t{word.form}\t{word.lemma}\t{word.upos}\t_\t{word.features}\t{word.head + 1}\t{relation}\t_\t_"
        )
    return "\n".join(lines)


def bio(sentence: Sentence) -> Iterator[tuple[str, str]]:
    """Tokens with their BIO tags."""
    tags = ["O"] * len(sentence.tokens())
    for first, last, kind in sentence.entities():
        tags[first] = f"B-{kind}"
        tags[first + 1 : last + 1] = [f"I-{kind}"] * (last - first)
    for (form, _), tag in zip(sentence.tokens(), tags):
        yield form, tag
