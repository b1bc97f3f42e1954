"""The invented world: a generator that knows the meaning of what it writes."""

from fairseq_xling.lab.files import LabOptions, write_lab
from fairseq_xling.lab.language import Language
from fairseq_xling.lab.meaning import Meaning, Node
from fairseq_xling.lab.sentence import Sentence, Word
from fairseq_xling.lab.typology import LANGUAGES, Typology
from fairseq_xling.lab.world import World

__all__ = [
    "LANGUAGES",
    "LabOptions",
    "Language",
    "Meaning",
    "Node",
    "Sentence",
    "Typology",
    "Word",
    "World",
    "write_lab",
]
