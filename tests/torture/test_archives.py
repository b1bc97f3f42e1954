"""Archives whose members climb out of their folder, point elsewhere or never end."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from fairseq_xling.corpus import tasks_layout
from fairseq_xling.corpus.tasks_layout import TaskSets
from fairseq_xling.formats.errors import InputError
from tests.torture.world import write_archives

CLIMBING = ("../../evil", "/tmp/evil-xling", "x/../../../evil", "..\\..\\evil", "evil\0.txt")


@pytest.fixture
def raw(tmp_path):
    write_archives(tmp_path / "raw")
    return tmp_path / "raw"


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_tar_with_climbing_names_and_links_writes_nothing_outside(raw, tmp_path):
    stem = "ud-treebanks-v2.3/UD_English-EWT/en_ewt-ud-{}.conllu"
    with tarfile.open(raw / "ud/ud-treebanks-v2.3.tgz", "w:gz") as archive:
        for name in (*CLIMBING[:4], *(f"../{stem.format(split)}" for split in ("train", "dev", "test"))):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo(stem.format("train"))
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    sets = TaskSets(raw, tmp_path / "out", ["en"])
    with pytest.raises(InputError, match=r"ud-treebanks-v2\.3\.tgz: "):
        sets.treebanks()
    assert {name for name in written(tmp_path) if not name.startswith("raw/")} == set()
    assert not Path("/tmp/evil-xling").exists()


def test_a_zip_member_is_taken_by_its_name_and_written_under_ours(raw, tmp_path):
    table = "language\tgold_label\tsentence1\tsentence2\nen\tneutral\tOne.\tTwo.\n"
    with zipfile.ZipFile(raw / "nli/XNLI-1.0.zip", "w") as archive:
        for split in ("dev", "test"):
            archive.writestr(f"../../../xnli.{split}.tsv", table)
    TaskSets(raw, tmp_path / "out", ["en"]).entailment()
    assert {name for name in written(tmp_path) if not name.startswith("raw/")} == {
        f"out/nli/en.{split}.tsv" for split in ("train", "dev", "test")
    }


def test_a_line_without_end_in_an_archive_is_refused(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks_layout, "LONGEST_LINE", 1 << 20)
    with zipfile.ZipFile(raw / "nli/multinli_1.0.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("multinli_1.0_train.jsonl", b"a" * (3 << 20))
    with pytest.raises(InputError, match=r"multinli_1\.0\.zip:1: a line of more than 1 MiB"):
        TaskSets(raw, tmp_path / "out", ["en"]).entailment()


def test_what_get_data_unpacks_stays_in_its_folder(tmp_path):
    """`get_data.sh` unpacks PanLex with Python's zipfile, which takes climbing out of names."""
    assert "-m zipfile -e" in (Path(__file__).parents[2] / "preprocess/get_data.sh").read_text()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in CLIMBING[:3]:
            archive.writestr(name, "evil")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", tmp_path / "x.zip", tmp_path / "a/b/out"], check=True)
    assert all(name == "x.zip" or name.startswith("a/b/out/") for name in written(tmp_path))
    assert not Path("/tmp/evil-xling").exists()


@pytest.mark.parametrize("count", [3, 10])
def test_a_gzip_header_cut_short_is_one_line(raw, tmp_path, count):
    (raw / "ud/ud-treebanks-v2.3.tgz").write_bytes(b"\x1f\x8b\x08\x04\0\0\0\0\0\0\0"[:count])
    with pytest.raises(InputError, match=r"treebanks-v2\.3\.tgz: not a tar archive, or one cut short: no gzip header"):
        TaskSets(raw, tmp_path / "out", ["en"]).treebanks()
