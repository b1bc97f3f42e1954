"""One small lab, and worlds and languages, for all tests of this folder."""

from __future__ import annotations

import random

import pytest

from fairseq_xling.lab import LANGUAGES, LabOptions, Language, World, write_lab

SMALL = LabOptions(seed=3, sentences=600, gold=0.05)


@pytest.fixture(scope="session")
def world():
    return World(3)


@pytest.fixture(scope="session")
def languages(world):
    return {code: Language(code, world, 3) for code in LANGUAGES}


@pytest.fixture(scope="session")
def meanings(world):
    rng = random.Random(0)
    return [world.meaning(rng, domain) for domain in ("wiki", "cc") for _ in range(200)]


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    return write_lab(tmp_path_factory.mktemp("lab") / "small", SMALL)
