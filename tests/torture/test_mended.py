"""What the campaigns found, each by itself: inputs that gave a traceback, another's file, or all of the memory."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from fairseq_xling import command
from fairseq_xling.checkpoints import load_models, read_state
from fairseq_xling.corpus.notes import read_notes
from fairseq_xling.corpus.panlex import read_panlex
from fairseq_xling.corpus.wikipedia import extract
from fairseq_xling.evaluation import figure_file
from fairseq_xling.evaluation.demo import _metrics
from fairseq_xling.evaluation.frozen_transfer import HeadOptions
from fairseq_xling.evaluation.grid_file import read_grids
from fairseq_xling.formats.dict_txt import read_dict
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.manifest import read_manifest
from fairseq_xling.formats.results import read_results
from fairseq_xling.runs.plan import read_machine
from fairseq_xling.runs.record import Record, read_record
from fairseq_xling.tasks.metrics_log import MetricsLog
from fairseq_xling.tasks.training_report import describe_disk
from tests.tasks.pretraining import train, write_data
from tests.torture.world import write_panlex, write_results

DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(write_data(folder / "data", {"en": 60, "fr": 30}), folder / "run", "--max-update", 1)
    return folder


@pytest.mark.parametrize(
    "languages", ['["../x"]', '["a/b"]', '[".."]', "[1]", '"en"', "null", '["\\u0000"]', f'["{"f" * 201}"]']
)
def test_languages_of_a_manifest_are_names_of_folders(tmp_path, languages):
    (tmp_path / "manifest.json").write_text(f'{{"languages": {languages}, "mode": "joint", "casing": "cased"}}')
    with pytest.raises(InputError, match=r"manifest\.json: languages: expected"):
        read_manifest(tmp_path)


def test_json_too_deep_for_a_recursive_reader(tmp_path):
    for name, read in (
        ("manifest.json", lambda path: read_manifest(path.parent)),
        ("results.jsonl", read_results),
        ("notes.json", lambda path: read_notes(path.parent)),
        ("record.json", read_record),
    ):
        (tmp_path / name).write_text(DEEP)
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)
    (tmp_path / "metrics.jsonl").write_bytes(
        b'\xff\n{"phase": 1}\n[]\n{"phase": "train", "update": 1}\n' + DEEP.encode()
    )
    assert _metrics(tmp_path / "metrics.jsonl") == [{"phase": "train", "update": 1}]
    MetricsLog(tmp_path / "metrics.jsonl").start(4)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"phase": "train", "update": 1}\n'


def test_numbers_beyond_all_types(tmp_path):
    (tmp_path / "dict.txt").write_text("a " + "9" * 5000 + "\n")
    with pytest.raises(InputError, match=r"dict\.txt:1"):
        read_dict(tmp_path / "dict.txt")
    write_results(tmp_path / "results.jsonl")
    (tmp_path / "results.jsonl").write_text((tmp_path / "results.jsonl").read_text().replace("0.6", "9" * 400))
    with pytest.raises(InputError, match=r"results\.jsonl:1: value must be a finite number"):
        read_results(tmp_path / "results.jsonl")


@pytest.mark.parametrize("change", [{"began": "x"}, {"pid": None}, {"identity": {"command": 1}}, {"ended": 1e300}])
def test_a_record_of_other_types(tmp_path, change):
    (tmp_path / "r.json").write_text(json.dumps({**asdict(Record("x", "y")), **change}))
    with pytest.raises(InputError, match="not the record of a stage"):
        read_record(tmp_path / "r.json")


@pytest.mark.parametrize(
    "line", ['warmup = "x"', 'options = "--x"', "epoch_examples = -1", "lr = [inf]", "epochs = " + "9" * 30]
)
def test_grids_of_other_types(tmp_path, line):
    name = line.partition(" ")[0]
    rest = [each for each in ("epochs = 1", "batch_size = [1]", "lr = [1]") if not each.startswith(name)]
    (tmp_path / "g.toml").write_text("\n".join(["[nli]", *rest, line]))
    with pytest.raises(InputError, match=rf"g\.toml: \[nli\] {name}"):
        read_grids(tmp_path / "g.toml")
    (tmp_path / "m.toml").write_text('via = "local"\nx = ' + "9" * 5000)
    with pytest.raises(InputError, match=r"m\.toml"):
        read_machine(tmp_path / "m.toml")


def test_a_view_in_the_place_of_a_panlex_table_is_refused(tmp_path):
    """It could be a query without an end."""
    write_panlex(tmp_path / "db.sqlite")
    connection = sqlite3.connect(tmp_path / "db.sqlite")
    connection.executescript(
        "ALTER TABLE dnx RENAME TO old; CREATE VIEW dnx AS "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT i AS mn, i AS ex, i AS ui, 0 AS ap, i AS uq FROM n;"
    )
    connection.close()
    with pytest.raises(InputError, match=r"db\.sqlite: expected PanLex Lite's table dnx"):
        read_panlex(tmp_path / "db.sqlite", ["eng-000"], ["fra-000"])


def test_a_token_beyond_the_vocabulary_names_the_file(trained, tmp_path):
    data = write_data(tmp_path / "data", {"en": 60})
    tokens = np.memmap(data / "en" / "train.bin", dtype=np.uint16, mode="r+")
    tokens[:] = 60_000
    tokens.flush()
    with pytest.raises(InputError, match=r"en/train\.bin: token 60000, but the vocabulary ends at 64"):
        train(data, tmp_path / "run", "--max-update", 1)


@pytest.mark.parametrize(
    ("part", "key", "value", "says"),
    [
        ("model", "encoder_layers", 10**30, "sizes that no model has"),
        ("model", "encoder_embed_dim", 10**6, "far larger than its weights"),
        ("model", "encoder_ffn_embed_dim", -1, "sizes that no model has"),
        ("model", "encoder_embed_dim", 32, "does not fit the model"),
        ("model", "separate", [1, 2], "does not fit the model"),
        ("model", "dropout", "x", "does not fit the model"),
        ("model", "encoder_attention_heads", 3, "not a multiple of 3 heads"),
        ("model", "encoder_attention_heads", 0, "sizes that no model has"),
        ("model", "decoder_layers", 10**30, "sizes that no model has"),
    ],
)
def test_a_checkpoint_that_does_not_fit_its_configuration(trained, tmp_path, part, key, value, says):
    state = torch.load(trained / "run" / "checkpoint_last.pt", weights_only=False)
    state["cfg"][part][key] = value
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(InputError, match=rf"x\.pt: .*{says}"):
        load_models([str(tmp_path / "x.pt")])


def test_an_honest_checkpoint_passes_the_check_of_sizes(trained):
    assert read_state(trained / "run" / "checkpoint_last.pt")["cfg"]["model"]["encoder_layers"] == 4


@pytest.mark.parametrize("options", [("--dropout", "nan"), ("--attention-dropout", "inf"), ("--init-std", "-1")])
def test_values_that_no_model_has(trained, tmp_path, options):
    with pytest.raises(InputError, match=options[0]):
        train(trained / "data", tmp_path / "run", "--max-update", 1, *options)


def test_a_dump_that_begins_in_the_middle_of_a_page(tmp_path):
    (tmp_path / "wiki.xml").write_text("x</page>\n</mediawiki>")
    with pytest.raises(InputError, match=r"wiki\.xml: no <page>"):
        extract(tmp_path / "wiki.xml", tmp_path / "out", "en")


def test_what_is_expected_is_one_line():
    assert command.one_line(PermissionError(13, "Permission denied", "x")) == "[Errno 13] Permission denied: 'x'"
    assert command.one_line(OSError(28, "No space left on device")) == "[Errno 28] No space left on device"
    assert command.one_line(OSError("something else")) is None
    died = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    assert command.one_line(died).startswith("a data loader died")
    inside = "Caught InputError in DataLoader worker process 0.\nTraceback (most recent call last):\n  x\n"
    assert command.one_line(InputError(inside + "fairseq_xling.formats.errors.InputError: a.bin: bad")) == "a.bin: bad"
    assert command.one_line(RuntimeError("x")) is None
    assert command.one_line(ConnectionResetError(104, "Connection reset by peer")) is None  # of whom?


def test_a_loader_that_dies_while_it_sends_is_one_line():
    ours, loaders = multiprocessing.Pipe()
    loaders.close()
    with pytest.raises((EOFError, ConnectionError)) as caught:
        ours.recv()
    assert command.one_line(caught.value).startswith("a data loader died")


def test_the_need_of_disk_is_told(tmp_path):
    class Options:
        save_interval_updates, keep_interval_updates = 100, 2
        no_epoch_checkpoints, keep_last_epochs, keep_best_checkpoints = True, -1, -1

    model = torch.nn.Linear(1000, 999)  # 999,999 weights
    line = describe_disk(Options, model, tmp_path / "not" / "there")
    assert line.startswith("checkpoints: about 12 MB each, at most 6 at a time: 72 MB; free in ")
    Options.no_epoch_checkpoints = False
    assert "--keep-last-epochs bounds them" in describe_disk(Options, model, tmp_path)
    Options.keep_last_epochs = 10**9
    assert "THAT IS NOT ENOUGH" in describe_disk(Options, model, tmp_path)


def test_a_full_disk_under_a_figure_is_told_as_such(tmp_path, monkeypatch):
    """Written to a file at once, matplotlib's PDF writer answers with an AttributeError of its own."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(figure_file, "atomic_write", full)
    with pytest.raises(OSError, match="No space left"):
        figure_file.write_figure(Figure(), tmp_path / "a.pdf")


def test_a_head_needs_a_probability():
    with pytest.raises(InputError, match=r"--dropout 3\.0: expected a probability"):
        HeadOptions(dropout=3.0)
