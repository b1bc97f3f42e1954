"""A language: says a meaning in words."""

from __future__ import annotations

import random
from collections.abc import Callable

from fairseq_xling.lab.concepts import ENTITY, UPOS
from fairseq_xling.lab.lexicon import Lexicon
from fairseq_xling.lab.meaning import DEFINITE, PAST, PLURAL, Meaning, Node
from fairseq_xling.lab.sentence import Sentence, Word
from fairseq_xling.lab.typology import LANGUAGES, Typology
from fairseq_xling.lab.world import World

SOURCE = "qaa"

_UD_FEATURE = {
    "plural": "Number=Plur",
    "definite": "Definite=Def",
    "accusative": "Case=Acc",
    "past": "Tense=Past",
    "negative": "Polarity=Neg",
    "subject_plural": "Number=Plur",
}


def never() -> bool:
    """The usual word and order everywhere."""
    return False


def always() -> bool:
    """The other word and order wherever there is one."""
    return True


def sometimes(rng: random.Random, share: float = 0.05) -> Callable[[], bool]:
    """As people speak: mostly the usual way."""
    return lambda: rng.random() < share


class Language:
    """One of the lab's languages.

    Parameters
    ----------
    code : str
        "qaa" (source), "qab", "qac" or "qad"; with `typology` given, any code.
    world : World
        The concepts it has words for.
    seed : int
        Draws the forms of its words.
    typology : Typology, optional
        Its sound, shared words, word order and inflection.
    """

    def __init__(self, code: str, world: World, seed: int = 1, typology: Typology | None = None):
        if typology is None:
            if code not in LANGUAGES:
                raise ValueError(f"unknown language {code!r}: the lab's languages are {', '.join(LANGUAGES)}")
            typology = LANGUAGES[code]
        self.code, self.world, self.typology = code, world, typology
        source = None
        if code != SOURCE:
            source = Lexicon(SOURCE, LANGUAGES[SOURCE], world.inventory, seed, None, world.cognateness)
        self.lexicon = Lexicon(code, typology, world.inventory, seed, source, world.cognateness)
        self._word_class, self._gender = world.inventory.word_class, world.inventory.gender
        self._articles = world.inventory.members("article")
        self._forms: dict[tuple, tuple[str, str, str, str]] = {}

    def realise(self, meaning: Meaning, choose: Callable[[], bool] = never) -> Sentence:
        """Say a meaning.

        Parameters
        ----------
        meaning : Meaning
        choose : callable
            Asked wherever the language has two ways (a synonym, another place for an adverb): true takes the
            second. `never` gives the usual sentence, `always` a paraphrase, ``sometimes(rng)`` running text.
        """
        placed: list[tuple[Node, Node | None, tuple[str, str, str, str]]] = []
        self._say(meaning.root, None, choose, placed)
        index = {id(node): i for i, (node, _, _) in enumerate(placed)}
        words = []
        for node, parent, (form, lemma, upos, features) in placed:
            head = -1 if parent is None else index[id(parent)]
            named = parent if node.role == "name_part" else node
            entity = ENTITY.get(self._word_class[named.concept], "")  # type: ignore[union-attr]
            words.append(Word(form, lemma, upos, features, node.concept, head, node.role, entity))
        return Sentence(words, self._contractions(words))

    def _say(self, node: Node, parent: Node | None, choose: Callable[[], bool], placed: list) -> None:
        order, alternatives = self.typology.order, self.typology.alternatives
        before: list[tuple[int, Node]] = []
        after: list[tuple[int, Node]] = []
        children = node.children
        word_class = self._word_class[node.concept]
        if word_class == "noun":
            children = self._with_article(node)
        for child in children:
            place = order[child.role]
            if child.role in alternatives and choose():
                place = alternatives[child.role]
            (before if place < 0 else after).append((place, child))
        if len(before) > 1:
            before.sort(key=_place)
        if len(after) > 1:
            after.sort(key=_place)
        for _, child in before:
            if not self._is_affix(child):
                self._say(child, node, choose, placed)
        placed.append((node, parent, self._form(node, parent, word_class, choose)))
        for _, child in after:
            self._say(child, node, choose, placed)

    def _is_affix(self, node: Node) -> bool:
        return node.role == "negation" and "negative" in self.typology.inflection.get("verb", ())

    def _with_article(self, noun: Node) -> list[Node]:
        definite = DEFINITE in noun.marks
        if ("definite" if definite else "indefinite") not in self.typology.articles:
            return noun.children
        return [*noun.children, Node(self._articles[0 if definite else 1], "article")]

    def _form(
        self, node: Node, parent: Node | None, word_class: str, choose: Callable[[], bool]
    ) -> tuple[str, str, str, str]:
        stems = self.lexicon.stems[node.concept]
        features: tuple[str, ...] = ()
        if word_class == "article":
            gender = self._gender[parent.concept] if parent is not None and self.typology.gendered_articles else 0
            stem = stems[gender]
        else:
            stem = stems[1] if len(stems) > 1 and choose() else stems[0]
            features = self._features(node, parent, word_class)
        key = (stem, features, word_class)
        cached = self._forms.get(key)
        if cached is None:
            form = stem + "".join(self.lexicon.suffixes[feature] for feature in features)
            named = sorted({_UD_FEATURE[feature] for feature in features})
            cached = self._forms[key] = (form, stem, UPOS[word_class], "|".join(named) or "_")
        return cached

    def _features(self, node: Node, parent: Node | None, word_class: str) -> tuple[str, ...]:
        inflection = self.typology.inflection.get(word_class)
        if not inflection:
            return ()
        if word_class == "noun":
            present = {
                "plural": PLURAL in node.marks,
                "definite": DEFINITE in node.marks,
                "accusative": node.role == "object",
            }
        elif word_class == "adjective":
            present = {"plural": parent is not None and PLURAL in parent.marks}
        else:
            subject = node.child("subject")
            present = {
                "past": PAST in node.marks,
                "negative": node.child("negation") is not None,
                "subject_plural": subject is not None and PLURAL in subject.marks,
            }
        return tuple([feature for feature in inflection if present[feature]])

    def _contractions(self, words: list[Word]) -> list[tuple[int, int, str]]:
        contracted = self.lexicon.contracted
        if not contracted:
            return []
        found = []
        for i in range(len(words) - 1):
            if words[i].role == "adposition" and words[i + 1].role == "article":
                form = contracted.get((words[i].form, words[i + 1].form))
                if form is not None:
                    found.append((i, i + 1, form))
        return found


def _place(item: tuple[int, Node]) -> int:
    return item[0]
