"""Installs the user directory `fairseq_xling`; the pinned set lies in environment/requirements.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "fairseq_xling/__init__.py").read_text("utf-8"), re.M)
assert VERSION is not None

setup(
    name="fairseq-xling",
    version=VERSION[1],
    description="Cross-lingual structure in masked language models: what is shared, and what emerges",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["fairseq_xling", "fairseq_xling.*"]),
    package_data={"fairseq_xling.models": ["*.c", "*.h"]},  # compiled where they run
    install_requires=["torch>=2.6", "numpy>=2", "scipy", "sentencepiece", "tqdm"],
    extras_require={
        # Better with --no-deps, as environment/install.sh does: it asks for a torchaudio that does not load.
        "fairseq": ["fairseq-fixed==0.12.3.1", "hydra-core==1.3.2", "omegaconf==2.3.0"],
        "corpus": ["sacremoses", "jieba"],
        "figures": ["matplotlib"],
    },
)
