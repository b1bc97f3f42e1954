"""A weighted dictionary out of PanLex Lite, the SQLite edition of PanLex."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from fairseq_xling.formats.dictionary import Weights
from fairseq_xling.formats.errors import InputError

_TABLES = {"lv": {"lv", "uid"}, "ex": {"ex", "lv", "tt"}, "dnx": {"mn", "ex", "ui", "uq"}}
# dnx: the denotations (expression ex has meaning mn) with their source group ui and its quality uq (0 to 9).
# A source group that gives the same translation through several meanings counts once, with its best quality.
_MOST = 1e12
_QUERY = """
SELECT source, target, SUM(quality) FROM (
    SELECT ex1.tt AS source, ex2.tt AS target, MAX(dnx1.uq) AS quality
    FROM ex AS ex1
    JOIN dnx AS dnx1 ON dnx1.ex = ex1.ex
    JOIN dnx AS dnx2 ON dnx2.mn = dnx1.mn AND dnx2.ex != dnx1.ex
    JOIN ex AS ex2 ON ex2.ex = dnx2.ex
    WHERE ex1.lv IN ({sources}) AND ex2.lv IN ({targets})
    GROUP BY ex1.tt, ex2.tt, dnx1.ui
) GROUP BY source, target HAVING SUM(quality) > 0
ORDER BY source, SUM(quality) DESC, target
"""


def read_panlex(path: Path, sources: Sequence[str], targets: Sequence[str]) -> Weights:
    """Translations with their quality, summed over sources.

    Parameters
    ----------
    path : Path
        `db.sqlite` of PanLex Lite.
    sources, targets : sequence of str
        Uniform identifiers of language varieties, such as `eng-000`, `cmn-000`.

    Raises
    ------
    InputError
        Not such a database, or a variety that it does not have.
    """
    if not path.is_file():
        raise InputError("no such file; expected db.sqlite out of panlex_lite.zip", path)
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            _check_tables(connection, path)
            ids = [[_variety(connection, uid, path) for uid in uids] for uids in (sources, targets)]
            marks = [",".join("?" * len(group)) for group in ids]
            query = _QUERY.format(sources=marks[0], targets=marks[1])
            weights: Weights = {}
            for source, target, quality in connection.execute(query, [*ids[0], *ids[1]]):
                if not isinstance(source, str) or not isinstance(target, str):
                    raise InputError(f"expected text in ex.tt, found {str(source)[:40]!r}, {str(target)[:40]!r}", path)
                if not isinstance(quality, (int, float)) or not 0 < quality < _MOST:
                    raise InputError(f"expected qualities of 0 to 9 in dnx.uq, found a sum of {quality}", path)
                weights.setdefault(source, {})[target] = float(quality)
            return weights
        finally:
            connection.close()
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise InputError(f"not a readable SQLite database: {error}", path) from error


def _check_tables(connection: sqlite3.Connection, path: Path) -> None:
    for table, columns in _TABLES.items():
        # a view of that name could be any query, one without an end among them
        kinds = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = ? AND type = 'table'", (table,)
        ).fetchall()
        plain = any(str(sql).upper().startswith("CREATE TABLE") for (sql,) in kinds)
        found = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if not plain or not columns <= found:
            wanted = ", ".join(sorted(columns))
            raise InputError(f"expected PanLex Lite's table {table} with columns {wanted}", path)


def _variety(connection: sqlite3.Connection, uid: str, path: Path) -> int:
    row = connection.execute("SELECT lv FROM lv WHERE uid = ?", (uid,)).fetchone()
    if row is None:
        near = [r[0] for r in connection.execute("SELECT uid FROM lv WHERE uid LIKE ? LIMIT 9", (uid[:3] + "%",))]
        hint = f"; there is {', '.join(near)}" if near else ""
        raise InputError(f"no language variety {uid!r}{hint}", path)
    if not isinstance(row[0], int):
        raise InputError(f"expected a number in lv.lv, found {str(row[0])[:40]!r}", path)
    return row[0]
