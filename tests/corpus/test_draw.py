"""Shuffling and sampling in one pass."""

from collections import Counter

import pytest

from fairseq_xling.corpus import draw as draw_module
from fairseq_xling.corpus.draw import Drawing
from fairseq_xling.corpus.lines import LineStep
from fairseq_xling.corpus.steps import join_splits, prepare_text, sample, shuffle_split
from fairseq_xling.formats.errors import InputError
from tests.corpus.worlds import write_lines


def drawn(folder, lines, seed, count=None, batch=7, buckets=8):
    drawing = Drawing(folder, seed, count, buckets)
    for start in range(0, len(lines), batch):
        drawing.add(lines[start : start + batch])
    return [line for part in drawing.lines() for line in part]


LINES = [str(i).encode() for i in range(500)]


def test_shuffling_keeps_every_line(tmp_path):
    result = drawn(tmp_path / "b", LINES, 1)
    assert sorted(result) == sorted(LINES)
    assert result != LINES
    assert not (tmp_path / "b").exists()
    within = [drawn(tmp_path / "b", LINES, seed, buckets=1) for seed in (1, 2, 2)]  # also the order within a bucket
    assert within[0] != within[1] == within[2]


@pytest.mark.parametrize("count", [0, 1, 99, 500, 600])
def test_samples_have_the_size_asked_for(tmp_path, count):
    result = drawn(tmp_path / "b", LINES, 1, count)
    assert len(result) == len(set(result)) == min(count, 500)


def test_the_disk_changes_nothing(tmp_path, monkeypatch):
    """The same drawing whether lines are held in memory or spilt after every batch, and a sample is its beginning."""
    in_memory = [drawn(tmp_path / "b", LINES, 3, count) for count in (None, 120)]
    monkeypatch.setattr(draw_module, "_HELD_BYTES", 10)
    assert [drawn(tmp_path / "b", LINES, 3, count) for count in (None, 120)] == in_memory
    assert in_memory[1] == in_memory[0][:120]


def test_the_disk_holds_little_more_than_the_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(draw_module, "_HELD_BYTES", 10)
    drawing = Drawing(tmp_path / "b", 1, 20, 64)
    for _ in range(50):
        drawing.add(LINES)
    held = sum(path.read_bytes().count(b"\n") for path in (tmp_path / "b").glob("*.txt"))
    assert 20 <= held < 20 + 3 * 50 * len(LINES) / 64
    assert sum(map(len, drawing.lines())) == 20


def test_every_line_is_drawn_equally_often(tmp_path):
    """2,000 samples of 5 of 20: each line 500 times, standard deviation 19; also by place in the shuffle."""
    lines = LINES[:20]
    taken, first = Counter(), Counter()
    for seed in range(2000):
        result = drawn(tmp_path / "b", lines, seed, 5)
        taken.update(result)
        first[result[0]] += 1
    assert all(abs(taken[line] - 500) < 5 * 19.4 for line in lines)
    assert all(abs(first[line] - 100) < 5 * 9.8 for line in lines)


def test_seeds(tmp_path):
    assert drawn(tmp_path / "b", LINES, 1, 50) == drawn(tmp_path / "b", LINES, 1, 50)
    assert drawn(tmp_path / "b", LINES, 1, 50) != drawn(tmp_path / "b", LINES, 2, 50)


def test_what_an_interrupted_run_left_is_cleared(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "0.txt").write_bytes(b"stale\n")
    assert b"stale" not in drawn(tmp_path / "b", LINES, 1)


def test_splits_are_a_partition_and_held_out_sentences_do_not_come_back(tmp_path):
    lines = [f"sentence {i % 90}" for i in range(100)] + ["", " "]
    source = write_lines(tmp_path / "a.txt", lines)
    counts = shuffle_split([source], tmp_path / "x" / "en", 20, 10, 1)
    parts = {s: (tmp_path / "x" / f"en.{s}.txt").read_text().splitlines() for s in ("train", "valid", "test")}
    assert {split: len(part) for split, part in parts.items()} == {s: counts[s] for s in parts}
    assert not set(parts["train"]) & (set(parts["valid"]) | set(parts["test"]))
    assert sum(counts.values()) == 100
    assert (counts["valid"], counts["test"]) == (20, 10)
    assert counts["repeats"] > 0


def test_splits_do_not_depend_on_the_memory(tmp_path, monkeypatch):
    """Repeats of held-out sentences are left out from memory and from disk, in the same order."""
    source = write_lines(tmp_path / "a.txt", [f"sentence {i % 300}" for i in range(900)])

    def split(name):
        counts = shuffle_split([source], tmp_path / name, 20, 10, 1)
        return counts, [(tmp_path / f"{name}.{s}.txt").read_text() for s in ("train", "valid", "test")]

    in_memory = split("memory")
    assert in_memory[0]["repeats"] > 30
    monkeypatch.setattr(draw_module, "_HELD_BYTES", 1000)
    assert split("disk") == in_memory
    monkeypatch.setattr(draw_module, "_LINES_AT_ONCE", 7)
    assert split("short-lists") == in_memory


def test_too_few_sentences_to_hold_out(tmp_path):
    source = write_lines(tmp_path / "a.txt", ["a", "b", "c"])
    with pytest.raises(InputError, match="3 sentences; expected more than the 3 to hold out"):
        shuffle_split([source], tmp_path / "en", 2, 1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_sample_of_json_lines(tmp_path):
    source = tmp_path / "web.jsonl"
    source.write_text('{"text": "One. Two.\\nThree."}\nnot json\n{"body": 1}\n{"text": 5}\n', encoding="utf-8")
    step = LineStep("en", split=True, json_field="text")
    written, found = sample(source, tmp_path / "out.txt", step, 2, 1)
    assert written == 2
    assert set((tmp_path / "out.txt").read_text().splitlines()) < {"One.", "Two.", "Three."}
    assert found.counts["not_json"] == 3
    assert found.first == {"not_json": 2}


def test_preparing_text_in_one_go_is_the_steps_one_by_one(tmp_path):
    source = write_lines(tmp_path / "a.txt", [f"Hello, World{i}!" for i in range(50)])
    step = LineStep("en", "moses", "lower")
    prepare_text([source], tmp_path / "one" / "en", step, 5, 5, 1, workers=2)
    from fairseq_xling.corpus.lines import write_lines as run

    run(source, tmp_path / "tok.txt", step, 1)
    shuffle_split([tmp_path / "tok.txt"], tmp_path / "two" / "en", 5, 5, 1)
    for split in ("train", "valid", "test"):
        name = f"en.{split}.txt"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert "hello , world" in (tmp_path / "one" / "en.train.txt").read_text()


def test_domains_put_together(tmp_path):
    prefixes = []
    for domain in ("a", "b"):
        lines = [f"{domain} {i}" for i in range(30)] + ["a 1"]
        shuffle_split([write_lines(tmp_path / f"{domain}.raw", lines)], tmp_path / domain / "en", 4, 4, 1)
        prefixes.append(tmp_path / domain / "en")
    join_splits(prefixes, tmp_path / "all" / "en", 1)
    parts = {s: (tmp_path / "all" / f"en.{s}.txt").read_text().splitlines() for s in ("train", "valid", "test")}
    for split in ("valid", "test"):
        assert parts[split] == [x for p in prefixes for x in p.with_name(f"en.{split}.txt").read_text().splitlines()]
    assert not set(parts["train"]) & set(parts["valid"] + parts["test"])
