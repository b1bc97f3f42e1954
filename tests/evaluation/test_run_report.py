"""The report of a run: what the lines hold is on the page, what they do not hold is named, nothing else is loaded."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from fairseq_xling.evaluation.figure_series import Names
from fairseq_xling.evaluation.layer_tables import layer_tables, single_numbers
from fairseq_xling.evaluation.report import Page
from fairseq_xling.evaluation.run_report import Command, run_report
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import Result, append_results, signature

SIGNATURE = signature(data="made_up", rule="test")
EVIL = "<script>alert(1)</script>\" onload='x' & ]]>"


def line(experiment, task, metric, layer, value, seed=1, pair="qaa-qab", chance=None, scale="lab"):
    return Result(experiment, pair, scale, seed, task, metric, layer, value, chance, 100, SIGNATURE)


def retrieval(scale="lab"):
    lines = []
    for seed in (1, 2):
        for experiment, level in (("mono", 0.8), ("random:mono", 0.1)):
            for layer in range(3):
                value = level - 0.1 * abs(layer - 1) + 0.01 * seed
                lines.append(
                    line(experiment, "sentence_retrieval", "precision@1", layer, value, seed, chance=0.01, scale=scale)
                )
                lines.append(line(experiment, "similarity", "linear_cka", layer, value, seed, scale=scale))
    return lines


def transfer(scale="lab", pair="qaa-qab"):
    lines = []
    for experiment, value in (("default", 0.75), ("no_anchors", 0.7)):
        for task, metric in (("nli", "accuracy"), ("ner", "f1"), ("parsing", "las")):
            lines.append(line(experiment, task, metric, None, value, pair=pair, scale=scale, chance=0.2))
            lines.append(line(experiment, task, f"{metric}_source", None, value + 0.1, pair=pair, scale=scale))
    return lines


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.attributes, self.cells, self.open = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag in ("td", "th"):
            self.cells.append("")
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.open.pop()

    def handle_data(self, data):
        if self.open:
            self.cells[-1] += data


def report(results, **options):
    return run_report(results, results[0].scale, Names(), **options).render()


def test_a_whole_run_has_table_figures_findings_and_commands():
    text = report(retrieval() + transfer(), commands=[Command(("python", "eval/grid.py", EVIL), 90.0)])
    read = Reader(text)
    assert read.tags.count("svg") == 3  # Figures 3, 6, 7
    for caption in ("Figure 3.", "Figure 6.", "Figure 7."):
        assert text.count(f">{caption}") == 1
    assert "Not in these results" in text
    for missing in ("Figure 4 (eval/word_translation.py)", "Figure 5 (eval/contextual.py)", "Figure 8"):
        assert missing in text
    assert "Table 1 and Figure 3 (" not in text
    assert "−5.0" in read.cells  # no_anchors against default
    assert "qaa-qab: and above untrained models aligned in the same way" in read.cells
    assert re.search(r"\d+ of \d+ findings hold\.", text)
    assert {"81.5\n±0.7", "0.815\n±0.007"} <= set(read.cells)  # mean and sample deviation of .81 and .82
    assert "90 s  python eval/grid.py &lt;script&gt;" in text
    assert "accuracy_source" in read.cells


@pytest.mark.parametrize("scale", ["lab", "pocket", "paper"])
def test_part_of_a_run_gives_part_of_the_page(scale):
    text = report(transfer(scale, "en-fr"))
    assert Reader(text).tags.count("svg") == 1
    assert "The findings of the paper" not in text
    assert f"Scale {scale}:" in text
    assert ("ACL 2020" in text) == (scale == "paper")  # the paper's numbers in brackets
    text = report(retrieval(scale))
    assert "Table 1 and Figure 3 (eval/grid.py)" in text
    assert "Zero-shot transfer" not in text


def test_tables_that_do_not_compare_are_named_and_the_rest_is_shown():
    other = transfer()
    other[0] = Result(**{**vars(other[0]), "signature": signature(rule="another")})
    text = report(other + retrieval())
    assert "No table: results of nli for qaa-qab were scored with different rules" in text
    assert "Figure 6." in text


def test_names_are_escaped_and_ids_are_unique():
    lines = [
        Result(**{**vars(r), "experiment": EVIL if r.experiment == "default" else r.experiment, "pair": EVIL})
        for r in transfer() + retrieval()
    ]
    read = Reader(report(lines, commands=[Command((EVIL,), 1.0)]))
    assert "script" not in read.tags
    assert not any(name.startswith("on") for name, _ in read.attributes)
    assert len(read.ids) == len(set(read.ids)) > 100
    links = [value for name, value in read.attributes if name in ("href", "xlink:href")]
    assert sum(value.startswith("data:image/png;base64,") for value in links) == 2  # Figure 7, two panels
    used = [value[1:] for value in links if not value.startswith("data:")]
    used += [target for _, value in read.attributes for target in re.findall(r"url\(#([^)]*)\)", value or "")]
    assert len(used) > 100
    assert set(used) <= set(read.ids)
    assert not any(name == "src" for name, _ in read.attributes)


def test_a_grid_has_a_row_a_pair_and_a_gap_where_a_layer_is_missing():
    lines = [line("mono", "sentence_retrieval", "precision@1", layer, 0.1 * layer) for layer in (0, 2)]
    lines += [line("mono", "sentence_retrieval", "precision@1", 1, 0.123, pair="qaa-qac", chance=0.01)]
    (grid,) = layer_tables(lines, "sentence_retrieval")
    assert grid.header == ["experiment", "pair", "L0", "L1", "L2", "chance"]
    assert grid.rows == [["mono", "qaa-qab", "0.0", "", "20.0", ""], ["mono", "qaa-qac", "", "12.3", "", "1.00"]]
    assert grid.best == {(0, 4)}
    again = [*lines, line("mono", "sentence_retrieval", "precision@1", 0, 0.5)]
    assert layer_tables(again, "sentence_retrieval")[0].rows[0][2] == "50.0"


def test_numbers_of_no_layer_are_means_over_seeds():
    lines = [line("paraphrase", "round_trip", "bleu", None, value, seed) for seed, value in ((1, 20.0), (2, 22.0))]
    assert single_numbers(lines) == [
        ["round_trip", "paraphrase", "qaa-qab", "bleu", "21.000 ± 1.414", "", "100", "2"],
    ]
    assert single_numbers(lines, leave_out="round_trip") == []


def test_a_table_whose_rows_do_not_fit_is_refused():
    with pytest.raises(ValueError, match="row 1 has 1 cells, the header 2"):
        Page("title").table("caption", ["a", "b"], [["1", "2"], ["3"]])


def test_the_command_takes_files_and_folders_of_runs(command, tmp_path, capsys):
    run = tmp_path / "run"
    append_results(run / "alignment" / "retrieval.jsonl", retrieval())
    append_results(run / "transfer" / "default" / "qaa-qab" / "seed1" / "results.jsonl", transfer())
    append_results(run / "transfer" / "default" / "qaa-qab" / "seed1" / "ner" / "results.jsonl", transfer())
    record = {"stage": "a", "output": "b", "state": "done", "identity": {"command": ["made", "it"]}, "began": 0.0}
    for name in ("alignment/retrieval.jsonl.a.json", "mono/qaa/seed1.pretrain.json"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(json.dumps(record | {"ended": 60.0}))
    (run / "alignment" / "other.json").write_text("[]")
    command("report", run, "--out", tmp_path / "report.html")
    assert f"{len(retrieval() + transfer())} numbers of 2 files" in capsys.readouterr().out
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Commands of 2 stages, 2 minutes" in text
    assert "Figure 3." in text
    assert "Figure 6." in text
    assert "closer languages are higher" not in text  # one pair
    append_results(run / "results.jsonl", [Result(**{**vars(r), "pair": "qaa-qac"}) for r in retrieval()])
    command("report", run, "--out", tmp_path / "report.html")
    assert "CKA, monolingual: closer languages are higher" in (tmp_path / "report.html").read_text(encoding="utf-8")
    command("report", run / "alignment" / "retrieval.jsonl", "--out", tmp_path / "one.html")
    assert "Commands of 1 stages" in (tmp_path / "one.html").read_text(encoding="utf-8")


def test_bad_input_is_one_clear_line(command, tmp_path):
    append_results(tmp_path / "results.jsonl", retrieval() + retrieval("pocket"))
    out = ("--out", tmp_path / "report.html")
    with pytest.raises(InputError, match="of scales lab, pocket; choose with --scale"):
        command("report", tmp_path / "results.jsonl", *out)
    with pytest.raises(InputError, match="no results of scale paper"):
        command("report", tmp_path / "results.jsonl", *out, "--scale", "paper")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no results in this folder"):
        command("report", tmp_path / "empty", *out)
    assert not (tmp_path / "report.html").exists()
