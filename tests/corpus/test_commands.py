"""The commands: help that teaches, exit status, one line on bad input."""

import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.corpus.worlds import write_lines, write_splits

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(path.name for path in (ROOT / "preprocess").glob("*.py"))


def run(monkeypatch, capsys, command, *arguments):
    """Exit status, standard output, standard error of `preprocess/COMMAND`."""
    monkeypatch.setattr(sys, "argv", [f"preprocess/{command}", *map(str, arguments)])
    status = 0
    try:
        runpy.run_path(str(ROOT / "preprocess" / command), run_name="__main__")
    except SystemExit as exit_:
        status = exit_.code or 0
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(monkeypatch, capsys, command):
    status, out, _ = run(monkeypatch, capsys, command, "-h")
    assert status == 0
    assert f"python preprocess/{command}" in out


def test_the_steps_one_by_one(monkeypatch, capsys, tmp_path):
    raw = write_lines(tmp_path / "raw.txt", [f"Hello, World {i}! It's {i}." for i in range(200)])
    for command, arguments, said in (
        ("tokenise.py", (raw, tmp_path / "tok.txt", "--lang", "en", "--split", "--casing", "lower"), "400 written"),
        ("shuffle_split.py", (tmp_path / "tok.txt", tmp_path / "en", "--valid", 9, "--test", 9), "9 valid"),
        ("sample_web.py", (raw, tmp_path / "s.txt", "--lang", "en", "--like", tmp_path / "en.valid.txt"), "9 of 200"),
        ("build_databin.py", (tmp_path / "bin", "--text", f"en={tmp_path / 'en'}", "--bpe-size", 60), "en train:"),
    ):
        status, out, err = run(monkeypatch, capsys, command, *arguments)
        assert status == 0, err
        assert said in out
    manifest = json.loads((tmp_path / "bin/manifest.json").read_text())  # evaluation follows it
    assert (manifest["casing"], manifest["tokenisation"]) == ("lower", {"en": "moses"})
    again = (tmp_path / "en.train.txt", tmp_path / "again", "--like", tmp_path / "bin", "--lang", "en", "--workers", 2)
    assert run(monkeypatch, capsys, "binarise.py", *again)[0] == 0
    for end in ("bin", "idx"):
        assert (tmp_path / f"again.{end}").read_bytes() == (tmp_path / f"bin/en/train.{end}").read_bytes()
    (tmp_path / "d.txt").write_text("hello bonjour\nworld monde\n")
    status, out, _ = run(monkeypatch, capsys, "make_dictionary.py", tmp_path / "w.tsv", "--files", tmp_path / "d.txt")
    assert (status, out.startswith("2 pairs of 2 words")) == (0, True)
    arguments = (tmp_path / "en.train.txt", tmp_path / "sw/en.train.txt", "--dictionary", tmp_path / "w.tsv")
    status, out, _ = run(monkeypatch, capsys, "code_switch.py", *arguments)
    assert status == 0
    assert "bonjour" in (tmp_path / "sw/en.train.txt").read_text()
    assert (tmp_path / "sw/notes.json").read_text() == (tmp_path / "notes.json").read_text()
    status, _, err = run(
        monkeypatch, capsys, "tokenise.py", raw, tmp_path / "tok2.txt", "--lang", "fr", "--casing", "cased"
    )
    assert status == 2
    assert "the text here is lower, not cased; take another folder" in err


def test_a_condition_of_text_that_gives_fewer_subwords(monkeypatch, capsys, tmp_path):
    """More than the pocket scale's 16,000 is asked of 300 sentences; --shrink is what the message and the docs name."""
    for lang, letters in (("fr", "abcdefgh"), ("ru", "абвгдежз")):
        write_splits(tmp_path / "text/wiki", lang, letters, 1, 300)
    arguments = ("default", "fr-ru", "--scale", "pocket", "--text", tmp_path, "--out", tmp_path / "bin")
    status, _, err = run(monkeypatch, capsys, "condition.py", *arguments)
    assert status == 2
    assert "--bpe-joint" in err
    assert "--shrink" in err
    status, out, err = run(monkeypatch, capsys, "condition.py", *arguments, "--shrink")
    assert status == 0, err
    assert "fr vocabulary:" in out


def bad_inputs(folder):
    """Command, arguments, what must be in the one line."""
    text = write_splits(folder, "en", "abcd")
    broken = folder / "broken.tsv"
    broken.write_text("a\tb\t1\nc\td\n")
    (folder / "cut.xml.bz2").write_bytes(b"BZh91AY&SY")
    return [
        ("build_databin.py", (folder / "o", "--text", f"en={folder / 'no'}"), "no.train.txt: no train text"),
        ("build_databin.py", (folder / "o", "--text", f"en={text}", f"en={text}"), "given twice"),
        ("build_databin.py", (folder / "o", "--text", f"en={text}", "--bpe-size", 99999), "gives at most"),
        ("extract_wiki.py", (folder / "cut.xml.bz2", folder / "o", "--lang", "en"), "cut short"),
        ("extract_wiki.py", (folder / "none.xml", folder / "o", "--lang", "en"), "none.xml"),
        ("tokenise.py", (folder / "none.txt", folder / "o", "--lang", "en"), "none.txt"),
        (
            "code_switch.py",
            (f"{text}.train.txt", folder / "o", "--dictionary", broken),
            "broken.tsv:2: expected 3 columns",
        ),
        ("code_switch.py", (f"{text}.train.txt", folder / "o", "--dictionary", broken, "--rate", 2), "--rate is 2"),
        ("sample_web.py", (f"{text}.train.txt", folder / "o", "--lang", "en", "--sentences", 0), "at least 1"),
        ("make_dictionary.py", (folder / "o",), "nothing to make"),
        (
            "make_dictionary.py",
            (folder / "o", "--panlex", folder / "x", "--from", "eng-000", "--to", "x"),
            "no such file",
        ),
        ("binarise.py", (f"{text}.train.txt", folder / "o", "--like", folder, "--lang", "en"), "no manifest"),
        ("convert_ner.py", (broken, folder / "o"), "broken.tsv:1: expected a tag"),
        ("lay_out_pocket.py", (folder, folder / "o"), "manifest.tsv"),
        (
            "condition.py",
            ("default", "en", "--scale", "lab", "--text", folder, "--out", folder / "o"),
            "needs 2 languages",
        ),
        (
            "condition.py",
            ("default", "pt-br-en", "--scale", "lab", "--text", folder, "--out", folder / "o"),
            "a language code has none, so write pt_br",
        ),
    ]


def test_bad_input_gives_one_line_status_2_and_no_output(monkeypatch, capsys, tmp_path):
    for number, (command, arguments, message) in enumerate(bad_inputs(tmp_path)):
        status, _, err = run(monkeypatch, capsys, command, *arguments)
        lines = [line for line in err.splitlines() if line.strip() and "B/s" not in line and "?it/s" not in line]
        assert status == 2, (number, command, err)
        assert len(lines) == 1, (command, lines)
        assert message in lines[0]
        assert not (tmp_path / "o").exists(), command


def test_a_misspelt_text_leaves_no_notes(monkeypatch, capsys, tmp_path):
    """Those would say that the folder holds text of this casing, and keep another out."""
    arguments = (tmp_path / "nope.txt", tmp_path / "out" / "fr.txt", "--lang", "fr", "--casing", "lower")
    status, _, err = run(monkeypatch, capsys, "tokenise.py", *arguments)
    assert status == 2
    assert "nope.txt" in err
    assert not (tmp_path / "out").exists()


def test_a_killed_command_leaves_no_half_file_and_no_worker(tmp_path):
    """SIGKILL in the middle of a step with two workers, whose input, a pipe, has not ended."""
    pipe, out = tmp_path / "pipe", tmp_path / "out.txt"
    os.mkfifo(pipe)
    command = [sys.executable, str(ROOT / "preprocess/tokenise.py"), str(pipe), str(out)]
    options = ["--lang", "en", "--tokenisation", "none", "--workers", "2"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with open(pipe, "wb") as feed:
        feed.write(b"A sentence.\n" * 250_000)  # three blocks: enough to start both workers
        feed.flush()
        assert list(tmp_path.glob(".out.txt.*.tmp"))
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.wait()
    assert workers
    assert not out.exists()
    for _ in range(600):
        if not any(Path(f"/proc/{worker}").exists() for worker in workers):
            break
        time.sleep(0.1)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_no_command_imports_fairseq_or_torch(tmp_path):
    """It would cost each of them seconds and 300 MB."""
    shim = tmp_path / "sitecustomize.py"
    shim.write_text(
        "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules, 'fairseq' in sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for command in COMMANDS:
        program = [sys.executable, f"preprocess/{command}", "-h"]
        done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "False False", command


GET_DATA = ROOT / "preprocess" / "get_data.sh"


def get_data(*arguments):
    return subprocess.run(["bash", str(GET_DATA), *map(str, arguments)], capture_output=True, text=True, check=False)


def test_get_data_takes_files_fetched_by_hand_and_checks_them(tmp_path):
    hand, out = tmp_path / "hand", tmp_path / "out"
    for name in ("en-fr.0-5000.txt", "en-fr.5000-6500.txt", "fr-en.0-5000.txt"):
        write_lines(hand / name, ["a b"])
    arguments = (out, "--sets", "muse", "--langs", "en fr", "--from-dir", hand)
    first = get_data(*arguments)
    assert first.returncode == 2
    assert "absent: fr-en.5000-6500.txt" in first.stderr
    write_lines(hand / "fr-en.5000-6500.txt", ["a b"])
    assert get_data(*arguments).returncode == 0
    assert len((out / "SHA256SUMS").read_text().splitlines()) == 4
    assert get_data(*arguments).returncode == 0
    write_lines(out / "muse" / "en-fr.0-5000.txt", ["changed"])
    spoilt = get_data(*arguments)
    assert spoilt.returncode == 2
    assert "SHA-256 is" in spoilt.stderr


def test_two_get_data_at_once_fetch_a_file_that_both_want_once(tmp_path):
    """As the data jobs of en-fr and en-ru do; curl goes on after what the other has written so far."""
    curl = tmp_path / "bin" / "curl"
    curl.parent.mkdir()
    curl.write_text(
        "#!/bin/bash\n"
        'while [ "$1" != --output ]; do shift; done\n'
        f'for i in {{1..20}}; do echo "$i ${{3##*/}}" >> "$2"; sleep 0.02; done; echo "$3" >> {tmp_path}/fetched\n'
    )
    curl.chmod(0o755)
    environment = {**os.environ, "PATH": f"{curl.parent}:{os.environ['PATH']}"}
    runs = [
        subprocess.Popen(
            ["bash", str(GET_DATA), str(tmp_path / "raw"), "--sets", "wiki", "--langs", f"en {lang}"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for lang in ("fr", "ru")
    ]
    said = [run.communicate(timeout=60)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert len((tmp_path / "fetched").read_text().splitlines()) == 3
    name = "enwiki-latest-pages-articles.xml.bz2"
    assert (tmp_path / "raw" / "wiki" / name).read_text() == "".join(f"{i} {name}\n" for i in range(1, 21))
    assert len((tmp_path / "raw" / "SHA256SUMS").read_text().splitlines()) == 3


def test_get_data_refuses_a_wrong_hash_and_unknown_sets(tmp_path):
    write_lines(tmp_path / "hand" / "multinli_1.0.zip", ["not it"])
    wrong = get_data(tmp_path / "out", "--sets", "nli", "--from-dir", tmp_path / "hand")
    assert wrong.returncode == 2
    assert "expected 049f507b" in wrong.stderr
    assert not (tmp_path / "out/nli/multinli_1.0.zip").exists()
    assert get_data(tmp_path / "out", "--sets", "bnc").returncode == 2
    assert get_data("-h").returncode == 0
    assert "dumps.wikimedia.org/enwiki" in get_data(tmp_path / "x", "--list").stdout
