"""The script of the second half: it prints all commands without running one, and refuses what it does not know."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def script(*arguments, **variables):
    command = ["bash", "train_scripts/alignment.sh", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=environment)


def option(words, name):
    return words[words.index(name) + 1]


def test_every_model_that_is_measured_is_trained_and_every_measure_has_its_file(tmp_path):
    done = script("--scale", "lab", "--targets", "qab", "--seeds", "1", "2", "--dry-run")
    assert done.returncode == 0, done.stderr
    commands = [shlex.split(line) for line in done.stdout.splitlines() if line]
    trained = {option(words, "--save-dir") for words in commands if words[0].endswith("fairseq-train")}
    assert sum("mono/qaa/" in folder for folder in trained) == 3  # two seeds, and a second one of the last
    measures = [words for words in commands if len(words) > 1 and words[1].startswith("eval/")]
    used = {word.partition("=")[2] for words in measures for word in words if "checkpoint_best.pt" in word}
    assert {str(Path(path).parent) for path in used} == trained
    results = [option(words, "--results") for words in measures if "--results" in words]
    assert len(results) == len(set(results)) == 2 * 18
    kinds = {(words[1], option(words, "--experiment")) for words in measures if "--experiment" in words}
    assert ("eval/cka.py", "random:mono") in kinds
    assert ("eval/contextual.py", "no_anchors") in kinds


def test_training_text_is_not_tokenised_a_second_time():
    """As it lies it is tokenised; of "the king 's" a second pass makes "the king ' s", which no model has seen."""
    done = script("--scale", "pocket", "--dry-run")
    commands = [shlex.split(line) for line in done.stdout.splitlines() if "eval/extract.py" in line]
    assert len(commands) == 4
    assert all("text/all/" in words[3] and "--raw" not in words for words in commands)


def test_a_measure_is_made_again_when_a_file_that_it_reads_has_changed(tmp_path):
    """Each file of its command is among the stage's inputs (word means stand for the models that they were made by)."""
    python, code = tmp_path / "python", tmp_path / "code.py"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {code} "$@"\n')  # a path may hold spaces
    code.write_text(
        "import json, sys\nif 'fairseq_xling.runs.stage' in sys.argv[:3]:\n"
        f"    print(json.dumps(sys.argv[3:]), file=open({str(tmp_path / 'seen')!r}, 'a'))\n"
    )
    python.chmod(0o755)
    runs = tmp_path / "runs"
    (runs / "lab/paraphrases").mkdir(parents=True)
    (runs / "lab/text/wiki").mkdir(parents=True)
    (runs / "lab/paraphrases/qaa.tsv").touch()
    done = script("--scale", "lab", "--targets", "qab", "--jobs", "1", PYTHON=str(python), RUNS=str(runs))
    assert done.returncode == 0, done.stderr
    measures = 0
    for line in (tmp_path / "seen").read_text().splitlines():
        words = json.loads(line)
        stage, command = words[: words.index("--")], words[words.index("--") + 1 :]
        if command[1].startswith("eval/"):
            read = {word.partition("=")[2] or word for word in command[2:] if str(runs) in word} - {stage[1]}
            if "--means" in command:
                read = {path for path in read if not path.endswith(".pt")}
            assert read <= set(stage), (stage[0], read - set(stage))
            measures += 1
    assert measures == 22


@pytest.mark.parametrize("arguments", [["--scale", "huge"], ["--scale", "lab", "--nothing"], ["word"], []])
def test_bad_options_give_one_line(arguments):
    done = script(*arguments)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_word_aligner_is_named_before_anything_is_trained(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    done = script("--scale", "lab", PYTHON=str(python), RUNS=str(tmp_path / "runs"), PATH="/usr/bin:/bin")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "systran-align==3.5.0" in line
    assert "eflomal==2.0.0" in line
    assert "--no-transfer" in line
    assert not (tmp_path / "runs").exists()
