"""Installs the user directory `fairseq_xling`; the pinned set lies in environment/requirements.txt."""

from setuptools import find_packages, setup

setup(
    name="fairseq-xling",
    version="0.1.0",
    description="Cross-lingual structure in masked language models: what is shared, and what emerges",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["fairseq_xling", "fairseq_xling.*"]),
    install_requires=[
        "torch>=2.6",
        "numpy>=2",
        "sentencepiece",
        "sacrebleu",
    ],
    extras_require={"fairseq": ["fairseq-fixed==0.12.3.1"]},
)
