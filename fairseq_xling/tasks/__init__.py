"""Tasks, registered with fairseq on import."""

from fairseq_xling.tasks import classification, masked_lm, parsing, tagging  # noqa: F401
