"""fairseq user directory: masked language models with language-specific and shared parts.

Importing it registers the tasks, models and criterions with fairseq and makes fairseq check
checkpoints before it uses them; it does nothing else. Where fairseq is not installed it does
nothing, so that ``fairseq_xling.analysis`` and ``fairseq_xling.formats`` work alone.
"""

import logging
import sys
from importlib.util import find_spec
from pathlib import Path

__version__ = "0.1.0"

# Programs that do without fairseq: the doctor must work where fairseq or torch cannot be imported, the commands about
# runs must answer at once, and those of preprocess/ would each lose seconds and 300 MB to the import.
ALONE = ("fairseq_xling.doctor", "fairseq_xling.runs.")
_alone = any(word.startswith(ALONE) for word in getattr(sys, "orig_argv", ()))
_program = Path(sys.argv[0]).resolve()  # a user's own folder may be called preprocess, too
_alone = _alone or (_program.is_file() and _program.parent == Path(__file__).resolve().parents[1] / "preprocess")
if find_spec("fairseq") is not None and not _alone:
    _level, _handlers = logging.getLogger().level, list(logging.getLogger().handlers)
    from fairseq_xling import checkpoints, criterions, models, optim, tasks  # noqa: F401

    # fairseq's text_to_speech task, which nobody asked for, sets it to DEBUG and adds a handler, after which a
    # script's own basicConfig would do nothing
    logging.getLogger().setLevel(_level)
    logging.getLogger().handlers[:] = _handlers

    checkpoints.install()
