"""Table 1 from results: means, differences, formats, the paper's numbers."""

import csv
import io
from dataclasses import replace

import pytest

from fairseq_xling.evaluation.figure3 import draw_figure3, figure3
from fairseq_xling.evaluation.paper_table1 import PAIRS, TASKS, experiments, paper_numbers
from fairseq_xling.evaluation.table1 import METRICS, make_table
from fairseq_xling.evaluation.table1_text import to_csv, to_latex, to_markdown
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.results import Result, read_results

from ..conftest import ROOT


def result(experiment, value, task="nli", pair="qaa-qab", seed=1, scale="lab", metric=None, chance=None, rule="r"):
    metric = metric or METRICS[task]
    return Result(experiment, pair, scale, seed, task, metric, None, value, chance, 10, f"rule:{rule}|split:test")


LAB = [
    result("sep_l1-6", 0.40),
    result("default", 0.80, seed=1, chance=1 / 3),
    result("default", 0.70, seed=2, chance=1 / 3),
    result("default", 0.90, seed=3),
    result("own_idea", 0.5),
    result("sep_l1-6", 0.30, task="parsing"),
    result("default", 0.60, task="parsing", chance=0.01),
    result("default", 0.35, metric="accuracy_majority"),
    result("default", 0.99, metric="accuracy_source"),
    result("default", 0.10, scale="pocket"),
    result("default", 0.60, task="ner", pair="qaa-qac"),
]


def test_rows_columns_and_differences():
    table = make_table(LAB, "lab", ["qaa-qab"])
    assert table.columns == [("nli", "qaa-qab"), ("parsing", "qaa-qab")]
    assert [row.name for row in table.rows] == ["default", "sep_l1-6", "own_idea"]
    default, separate, own = table.rows
    assert default.cells["nli", "qaa-qab"].mean == pytest.approx(0.8)
    assert default.cells["nli", "qaa-qab"].sd == pytest.approx(0.1)
    assert default.cells["nli", "qaa-qab"].seeds == 3
    assert separate.deltas == pytest.approx({"nli": -0.4, "parsing": -0.3})
    assert own.deltas == pytest.approx({"nli": -0.3})
    assert [row.name for row in table.baselines] == ["chance", "majority"]
    assert table.baselines[0].cells["nli", "qaa-qab"].mean == pytest.approx(1 / 3)
    assert make_table(LAB, "lab").columns[1] == ("ner", "qaa-qac")


def test_a_number_made_again_counts_once():
    table = make_table([*LAB, result("default", 0.75, seed=2)], "lab", ["qaa-qab"])
    assert table.rows[0].cells["nli", "qaa-qab"].mean == pytest.approx((0.8 + 0.75 + 0.9) / 3)
    assert table.rows[0].cells["nli", "qaa-qab"].seeds == 3


def test_markdown_line_by_line():
    lines = to_markdown(make_table(LAB, "lab", ["qaa-qab"])).splitlines()
    assert lines[:7] == [
        "|  | NLI (accuracy) qaa-qab | Δ | Parsing (LAS) qaa-qab | Δ |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| default | 80.0 ± 10.0 | 0.0 | 60.0 | 0.0 |",
        "| sep_l1-6 | 40.0 | −40.0 | 30.0 | −30.0 |",
        "| own_idea | 50.0 | −30.0 |  |  |",
        "| chance | 33.3 |  | 1.0 |  |",
        "| majority | 35.0 |  |  |  |",
    ]
    assert "per cent, 1 to 3 seeds, mean ± sample standard deviation: the mean of the two" in lines[-1]
    assert "±" not in to_markdown(make_table([LAB[0]], "lab"))


def test_the_documents_table_is_what_the_command_prints():
    printed = to_markdown(make_table(read_results(ROOT / "docs" / "results" / "table1_lab.jsonl"), "lab"))
    assert printed in (ROOT / "docs" / "transfer.md").read_text(encoding="utf-8")


def test_csv_and_latex():
    table = make_table(LAB, "lab", ["qaa-qab"])
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert rows[0] == dict(zip(rows[0], ["default", "nli", "qaa-qab", "80.00", "10.00", "3", ""]))
    assert {"experiment": "sep_l1-6", "task": "parsing", "pair": "delta", "mean": "-30.00"}.items() <= next(
        row for row in rows if row["pair"] == "delta" and row["task"] == "parsing" and row["experiment"] != "default"
    ).items()
    latex = to_latex(table)
    assert r"sep\_l1-6 & 40.0 & $-$40.0 & 30.0 & $-$30.0 \\" in latex
    assert r"default & 80.0 $\pm$ 10.0 & 0.0" in latex
    assert latex.count(r"\multicolumn{2}{c}") == 2
    assert r"\begin{tabular}{lrrrr}" in latex


def paper_results(**replaced):
    return [
        result(experiment, replaced.get(experiment, value), task, pair, scale="paper")
        for (experiment, task, pair), value in paper_numbers().items()
    ]


def test_the_papers_own_numbers_give_the_papers_table():
    table = make_table(paper_results(), "paper")
    assert [row.name for row in table.rows] == experiments()
    markdown = to_markdown(table)
    first = markdown.splitlines()[2]
    assert first.startswith("| default | 73.6 [73.6] | 68.7 [68.7] | 68.3 [68.3] | 0.0 | 79.8 [79.8] |")
    assert "In brackets: Emerging Cross-lingual Structure" in markdown
    separate = next(row for row in table.rows if row.name == "sep_emb_l1-6")
    # as printed in the paper's Δ columns, which were computed before rounding
    assert {task: 100 * delta for task, delta in separate.deltas.items()} == pytest.approx(
        {"nli": -29.6, "ner": -47.1, "parsing": -33.3}, abs=0.06
    )


def test_the_restated_table_is_the_papers():
    path = ROOT.parent / "shared" / "paper" / "table1.csv"
    if not path.is_file():
        pytest.skip("no ../shared/paper/table1.csv beside the repository (not part of it)")
    names = {"nli": "xnli", "ner": "ner", "parsing": "las"}
    with open(path, newline="") as lines:
        rows = {row["experiment"]: row for row in csv.DictReader(lines)}
    expected = {
        (experiment, task, pair): float(row[f"{names[task]}_{pair[3:]}"]) / 100
        for experiment, row in rows.items()
        for task in TASKS
        for pair in PAIRS
    }
    assert paper_numbers() == pytest.approx(expected)
    assert experiments() == list(rows)


def test_other_rules_do_not_stand_in_one_column():
    with pytest.raises(InputError, match=r"results of nli for qaa-qab were scored with different rules: other, r"):
        make_table([*LAB, result("no_anchors", 0.5, rule="other")], "lab")
    with pytest.raises(
        InputError, match="no results of NLI, NER or parsing at scale paper; there are some of scale lab"
    ):
        make_table(LAB, "paper")


def test_other_test_sets_do_not_stand_in_one_column():
    """As of the lab with and without ``--shared 0.75``: the seeds of one row would be of two worlds."""
    files = [ROOT / "docs" / "results" / f"{name}_lab.jsonl" for name in ("table1", "anchors")]
    for path in files:
        make_table(read_results(path), "lab")
    with pytest.raises(InputError, match=r"results of nli for qaa-qab were scored with different data: qab.test.tsv@"):
        make_table([result for path in files for result in read_results(path)], "lab")


def test_figure3_is_drawn(tmp_path):
    table = make_table(LAB, "lab")
    for suffix, magic in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
        draw_figure3(table, tmp_path / f"figure3{suffix}")
        assert (tmp_path / f"figure3{suffix}").read_bytes().startswith(magic)
    assert len(list(tmp_path.iterdir())) == 3  # nothing half written is left


def test_figure3_shows_means_and_deviations_in_per_cent():
    (bars,) = (
        each for each in figure3(make_table(LAB, "lab", ["qaa-qab"])).axes[0].containers if hasattr(each, "patches")
    )
    assert [bar.get_height() for bar in bars] == pytest.approx([80, 40, 50])
    errors = bars.errorbar.lines[2][0].get_segments()
    assert errors[0][:, 1] == pytest.approx([70, 90])


def test_one_test_set_under_two_names_is_one_column():
    lines = [
        replace(result(name, 0.5), signature=f"rule:r|split:test|data:{data}@ab12cd34")
        for name, data in (("default", "qab.test.tsv"), ("sep_l1-3", "qab-test.tsv"))
    ]
    assert len(make_table(lines, "lab").rows) == 2
