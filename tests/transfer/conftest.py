"""Toy data and models, made once."""

import pytest

from . import world


@pytest.fixture(scope="session")
def union(tmp_path_factory):
    return world.make_databin(tmp_path_factory.mktemp("bin"), "union")


@pytest.fixture(scope="session")
def per_language(tmp_path_factory):
    return world.make_databin(tmp_path_factory.mktemp("bin"), "separate")


@pytest.fixture(scope="session")
def shared_model(union, tmp_path_factory):
    """(data-bin, checkpoint) of a model that shares everything."""
    return union, world.make_pretrained(union, tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="session")
def separate_model(per_language, tmp_path_factory):
    """(data-bin, checkpoint) of a model with embeddings and two of four layers per language."""
    return per_language, world.make_pretrained(
        per_language, tmp_path_factory.mktemp("separate"), "--separate", "emb,1-2"
    )


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Folder of the three tasks' data: nli, ner, ud."""
    folder = tmp_path_factory.mktemp("data")
    world.write_nli(folder / "nli")
    world.write_ner(folder / "ner")
    world.write_treebank(folder / "ud")
    return folder
