"""Tasks, registered with fairseq on import."""

import sys
from pathlib import Path

from fairseq_xling.command import show_input_errors_in_one_line
from fairseq_xling.tasks import classification, masked_lm, parsing, tagging  # noqa: F401

if Path(sys.argv[0]).name.startswith("fairseq-"):  # its main function looks at folders before it makes the task
    show_input_errors_in_one_line()
