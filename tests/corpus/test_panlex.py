"""PanLex Lite: a small database, and the sum over sources done by hand."""

import random
import sqlite3
from collections import defaultdict

import pytest

from fairseq_xling.corpus.panlex import read_panlex
from fairseq_xling.formats.errors import InputError


def database(path, expressions, denotations):
    """`expressions`: (uid, text); `denotations`: (meaning, expression number, source group, quality)."""
    connection = sqlite3.connect(path)
    uids = sorted({uid for uid, _ in expressions})
    connection.executescript(
        "CREATE TABLE lv (lv INTEGER, lc TEXT, vc INTEGER, uid TEXT, tt TEXT);"
        "CREATE TABLE ex (ex INTEGER, lv INTEGER, tt TEXT, td TEXT);"
        "CREATE TABLE dnx (mn INTEGER, ex INTEGER, ui INTEGER, ap INTEGER, uq INTEGER);"
    )
    connection.executemany("INSERT INTO lv VALUES (?, ?, 0, ?, '')", [(i, u[:3], u) for i, u in enumerate(uids)])
    rows = [(i, uids.index(uid), text, text) for i, (uid, text) in enumerate(expressions)]
    connection.executemany("INSERT INTO ex VALUES (?, ?, ?, ?)", rows)
    connection.executemany("INSERT INTO dnx VALUES (?, ?, ?, 0, ?)", denotations)
    connection.commit()
    connection.close()
    return path


def test_quality_is_summed_over_sources_and_a_source_counts_once(tmp_path):
    expressions = [("eng-000", "house"), ("fra-000", "maison"), ("fra-000", "foyer"), ("deu-000", "Haus")]
    path = database(
        tmp_path / "db.sqlite",
        expressions,
        # meanings 1 and 2 are of source 1, meaning 3 of source 2, meaning 4 of source 3
        [
            *((1, 0, 1, 5), (1, 1, 1, 5), (2, 0, 1, 7), (2, 1, 1, 7), (3, 0, 2, 3), (3, 1, 2, 3)),
            *((4, 0, 3, 2), (4, 2, 3, 2), (4, 3, 3, 9)),
        ],
    )
    assert read_panlex(path, ["eng-000"], ["fra-000"]) == {"house": {"maison": 7.0 + 3.0, "foyer": 2.0}}


def test_against_plain_loops(tmp_path):
    rng = random.Random(1)
    expressions = [(uid, f"{uid[:3]}{i}") for uid in ("eng-000", "cmn-000", "cmn-001") for i in range(12)]
    denotations, source_of = set(), {}
    for meaning in range(60):
        source_of[meaning] = (rng.randrange(5), rng.randrange(1, 10))
        for number in rng.sample(range(len(expressions)), 4):
            denotations.add((meaning, number, *source_of[meaning]))
    path = database(tmp_path / "db.sqlite", expressions, sorted(denotations))
    best = defaultdict(dict)
    for m1, e1, ui, uq in denotations:
        for m2, e2, _, _ in denotations:
            if m1 == m2 and expressions[e1][0] == "eng-000" and expressions[e2][0].startswith("cmn"):
                pair = (expressions[e1][1], expressions[e2][1])
                best[pair][ui] = max(uq, best[pair].get(ui, 0))
    expected = {pair: float(sum(groups.values())) for pair, groups in best.items()}
    found = read_panlex(path, ["eng-000"], ["cmn-000", "cmn-001"])
    assert {(s, t): q for s, targets in found.items() for t, q in targets.items()} == expected


def test_bad_databases(tmp_path):
    path = database(tmp_path / "db.sqlite", [("eng-000", "a"), ("eng-001", "b")], [])
    with pytest.raises(InputError, match="no language variety 'eng-009'; there is eng-000, eng-001"):
        read_panlex(path, ["eng-009"], ["eng-000"])
    with pytest.raises(InputError, match=r"no such file; expected db\.sqlite"):
        read_panlex(tmp_path / "no.sqlite", ["eng-000"], ["eng-000"])
    (tmp_path / "text").write_text("no database at all, but long enough to be read as one" * 30)
    with pytest.raises(InputError, match="not a readable SQLite database"):
        read_panlex(tmp_path / "text", ["eng-000"], ["eng-000"])
    sqlite3.connect(tmp_path / "empty.sqlite").execute("CREATE TABLE lv (lv INTEGER)").connection.close()
    with pytest.raises(InputError, match="expected PanLex Lite's table lv"):
        read_panlex(tmp_path / "empty.sqlite", ["eng-000"], ["eng-000"])
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError):
        read_panlex(path, ["eng-000"], ["eng-001"])
