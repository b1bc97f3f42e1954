"""What all tests share: one thread a process, the folder of real data, and property tests without a clock."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch and NumPy are imported, here and in the programs that tests start: xdist runs a process a core.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None, derandomize=bool(os.environ.get("CI")), max_examples=100)
settings.load_profile("project")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data of the four languages, which lie beside the repository and are not part of it."""
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "manifest.tsv").is_file():
        pytest.skip("no ../shared/data beside the repository (real data, not part of it)")
    return folder
