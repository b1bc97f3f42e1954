"""Tasks, registered with fairseq on import."""

from fairseq_xling.tasks import masked_lm  # noqa: F401
