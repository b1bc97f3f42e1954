"""The table of durations: tokens and operations counted by hand, speeds where they come from."""

import itertools
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_xling.runs.hours import PEAKS, RECIPES, REPORTED_V100, Recipe, hours, table

ROOT = Path(__file__).resolve().parents[2]


def test_the_tokens_of_the_paper():
    assert RECIPES["paper"].tokens == 416_800 * 8 * 96 * 256  # about 82 G, as XLM's 200 epochs
    assert hours(RECIPES["paper"], REPORTED_V100, 8) == pytest.approx(3 * 24, rel=0.02)  # "about 3 days"


@pytest.mark.parametrize("scale", RECIPES)
def test_the_recipes_are_those_of_the_scales(scale):
    pair = "qaa-qab" if scale == "lab" else "en-fr"
    command = ["bash", "train_scripts/run.sh", "default", pair, "--scale", scale, "--stage", "pretrain", "--dry-run"]
    words = shlex.split(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)
    options = {"--update-freq": "1", **dict(itertools.pairwise(words))}
    recipe = RECIPES[scale]
    assert recipe.updates == int(options["--max-update"])
    assert recipe.sequences == int(options["--batch-size"]) * int(options["--update-freq"])
    assert scale == "lab" or recipe.length == int(options["--tokens-per-sample"])


def test_operations_counted_one_by_one():
    """One layer of width 2, feed-forward 4, blocks of 3, 10 subwords."""
    recipe = Recipe(updates=1, sequences=1, length=3, layers=1, dim=2, hidden=4, vocabulary=10)
    weights = 4 * 2 * 2 + 2 * 2 * 4  # query, key, value, output; two feed-forward maps
    scores = 2 * 3 * 2  # for one token: 3 products of width 2, and 3 weighted vectors of width 2
    predicted = 0.15 * 2 * 10
    assert recipe.flops == 6 * (weights + scores + predicted)


def test_the_table_says_what_was_reported_and_what_was_computed():
    lines = table(RECIPES["paper"], 8)
    assert [line.split()[0] for line in lines[1:]] == ["V100", "A100", "A100", "H100", "H100"]
    assert "40,000" in lines[1]
    assert lines[1].count("reported") == 1
    assert all("computed" in line for line in lines[2:])
    a100 = float(lines[2].split()[1].replace(",", ""))
    assert a100 / REPORTED_V100 == pytest.approx(PEAKS["A100"] / PEAKS["V100"], rel=1e-3)


def test_a_measured_speed():
    command = [sys.executable, "-m", "fairseq_xling.runs.hours", "--scale", "pocket"]
    shown = subprocess.run([*command, "--tokens-per-second", "27306.67"], capture_output=True, text=True, check=True)
    assert "1.00 hours on one GPU" in shown.stdout  # 12,000 x 64 x 128 tokens
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
    for wrong in (["--gpus", "0"], ["--tokens-per-second", "nan"]):
        assert subprocess.run([*command, *wrong], capture_output=True, check=False).returncode == 2
