"""The floors of docs/architecture.md: a room imports only from rooms that stand above it in the table."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "fairseq_xling"


def rooms_of_the_page() -> list[str]:
    """Names of files and folders of the package, in the order of the table."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| \d \| (`fairseq_xling/.*?) \|", page, flags=re.MULTILINE)
    names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    return [name.removeprefix(f"{PACKAGE}/").removesuffix("/").removesuffix(".py") for name in names]


def imported(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports, inside of functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            yield from (f"{PACKAGE}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
            yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(f"{PACKAGE}."))


def test_every_room_is_in_the_table() -> None:
    found = {
        path.stem for path in (ROOT / PACKAGE).iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert set(rooms_of_the_page()) == found - {"__init__", "doctor"}  # the doctor imports nothing of the package


def test_a_room_imports_only_from_rooms_above_it() -> None:
    order = rooms_of_the_page()
    wrong = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        room = path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")
        if room not in order:
            continue
        for module in imported(path):
            other = module.split(".")[1]
            if other in order and order.index(other) > order.index(room):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not wrong
