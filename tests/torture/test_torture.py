"""The quick part: a few inputs, kills and faults of each kind. `make torture` is the long one."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from random import Random

import pytest

from tests.torture import dead_workers, determinism, faults, fuzz, kills, options
from tests.torture.mutations import COMMON, RARE, mutate
from tests.torture.work import prepare
from tests.torture.world import build

LIMIT = 3
"""Minutes, on a very busy machine; they take a few seconds."""

CHEAP = (
    "dict.txt", "spm.model", "data-bin", "manifest.json", "notes.json", "CoNLL-U", "BIO", "CoNLL 2003", "NLI TSV",
    "dictionaries", "parallel table", "aligned files", "Pharaoh", ".vec", "word means", "results.jsonl",
    "PanLex SQLite", "grid.toml", "machine.toml", "stage record", "archives", "checkpoint bytes", "text",
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("torture") / "world")


def test_damaged_files_give_one_clear_line_or_are_read(world):
    found = fuzz.fuzz(6, 0, 0.5, CHEAP, world=world)
    assert set(found) == set(CHEAP)
    assert not [finding for tally in found.values() for finding in tally.findings], fuzz.table(found)
    assert sum(tally.refused for tally in found.values()) > sum(tally.inputs for tally in found.values()) / 4


def test_the_fuzzer_finds_what_is_there():
    """A reader without any care gives findings, one that crashes its process as well."""

    def careless(folder: Path) -> None:
        int((folder / "number").read_text())

    def crashes(folder: Path) -> None:
        if (folder / "number").read_bytes() != b"12345\n":
            os.kill(os.getpid(), signal.SIGKILL)

    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"xling-careless-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / "number").write_bytes(b"12345\n")
        for read, finding in ((careless, "Error in"), (crashes, "process ended with -9")):
            reader = fuzz.Reader("own", ("number",), read)
            tally = fuzz.fuzz_reader(reader, folder, range(8), 1, float("inf"))
            assert tally.inputs == 8
            assert any(finding in name for name in tally.findings)
            assert (folder / "number").read_bytes() == b"12345\n"
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_mutations_are_drawn_from_the_seed_and_take_anything():
    for data in (b"", b"\n", b"a\tb 12\n", bytes(range(256))):
        for step in (*COMMON, *RARE):
            assert isinstance(step(data, Random(1)), bytes), step.__name__
        assert mutate(data, Random(7)) == mutate(data, Random(7))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    return prepare(tmp_path_factory.mktemp("torture") / "inputs")


def test_killed_works_end_as_undisturbed_ones(inputs):
    found = kills.campaign(4, 0, LIMIT, ("data-bin", "lab"), lambda line: None, inputs)
    assert not [line for tally in found.values() for line in tally.findings], kills.table(found)
    assert all(tally.reruns for tally in found.values())


def test_faults_are_told_in_one_line(inputs):
    found = faults.faults(1, 0, LIMIT, (), ("data-bin",), inputs)
    assert not [line for tally in found.values() for line in tally.findings], faults.table(found)
    if skipped := {tally.skipped for tally in found.values() if tally.skipped}:
        pytest.skip("; ".join(skipped))
    assert {name: tally.tried for name, tally in found.items()} == dict.fromkeys(faults.FAULTS, 1)


def test_odd_values_of_options_never_give_a_traceback(world):
    commands = ("preprocess/code_switch.py", "preprocess/shuffle_split.py", "eval/table1.py")
    found = options.odd_values(2, 0, 0.4, commands, world)
    assert not [line for tally in found.values() for line in tally.findings], options.table(found)


def test_the_number_of_processes_does_not_matter(inputs):
    found = determinism.matrix(LIMIT, ("data-bin, twice", "condition, workers", "code-switching, workers"), inputs)
    assert found == {name: [] for name in found}
    assert len(found) == 3


def test_a_dead_worker_is_noticed():
    assert dead_workers.dead_workers() == {"preprocessing worker": "", "data loader": ""}
