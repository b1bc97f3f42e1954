"""A small lab, a data-bin of two of its languages, and a model of two updates: small, but made in the usual way."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from fairseq_xling.corpus.databin import DatabinOptions, build_databin
from fairseq_xling.evaluation.pretrained import Pretrained
from fairseq_xling.lab import LabOptions, write_lab
from tests.tasks import pretraining

ROOT = Path(__file__).resolve().parents[2]

LANGUAGES = ("qaa", "qab")


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Path:
    return write_lab(tmp_path_factory.mktemp("lab") / "small", LabOptions(seed=3, sentences=300, gold=0.05))


@pytest.fixture(scope="session")
def checkpoint(lab, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    texts = {language: lab / "text" / "wiki" / language for language in LANGUAGES}
    options = DatabinOptions(mode="prefixed", bpe_size=300, coverage=1.0, shrink=True)
    build_databin(folder / "data", texts, options)
    pretraining.train(folder / "data", folder / "save", "--max-update", "2", "--max-positions", "24")
    return folder / "save" / "checkpoint_last.pt"


@pytest.fixture(scope="session")
def model(checkpoint) -> Pretrained:
    return Pretrained.load(checkpoint, device="cpu")


@pytest.fixture
def command(monkeypatch):
    """Runs the main function of eval/NAME.py with arguments."""

    def run(name: str, *arguments: object) -> None:
        spec = importlib.util.spec_from_file_location(f"eval_{name}", ROOT / "eval" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [f"eval/{name}.py", *map(str, arguments)])
        module.main()

    return run
