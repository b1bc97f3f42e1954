"""fairseq-train, with the one name that stock fairseq needs and NumPy 2 lacks: ``np.compat.long``."""

import types

import numpy as np

if not hasattr(np, "compat"):
    np.compat = types.SimpleNamespace(long=np.int64)  # type: ignore[attr-defined]

from fairseq_cli.train import cli_main

if __name__ == "__main__":
    cli_main()
