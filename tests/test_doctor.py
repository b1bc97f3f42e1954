"""The doctor: every check on a machine that has the trap and on one that does not."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fairseq_xling import doctor

ROOT = Path(__file__).resolve().parents[1]


def versions(monkeypatch: pytest.MonkeyPatch, **installed: str) -> None:
    known = {name.replace("_", "-"): version for name, version in installed.items()}
    monkeypatch.setattr(doctor, "version_of", known.get)


def modules(monkeypatch: pytest.MonkeyPatch, **loaded: object) -> None:
    """Only these modules load, by their last name; the others fail as a missing library would make them."""

    def load(name: str) -> tuple[object, str]:
        module = loaded.get(name.split(".")[-1])
        return module, "" if module is not None else "ImportError: undefined symbol"

    monkeypatch.setattr(doctor, "load", load)


def fake_torch(
    version: str = "2.13.0+cpu", gpus: int = 0, cuda: str | None = None, gloo: bool = True
) -> SimpleNamespace:
    return SimpleNamespace(
        __version__=version,
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(device_count=lambda: gpus, is_available=lambda: gpus > 0),
        distributed=SimpleNamespace(is_available=lambda: True, is_gloo_available=lambda: gloo),
    )


def expect(finding: doctor.Finding, state: str, *parts: str) -> None:
    assert finding.state == state
    assert state == "OK" or finding.fix
    assert "\n" not in finding.text + finding.fix
    for part in parts:
        assert part in f"{finding.text} {finding.fix}"


@pytest.mark.parametrize(("version", "state"), [((3, 10, 9), "BROKEN"), ((3, 13, 1), "OK"), ((3, 14, 0), "note")])
def test_python_versions(monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], state: str) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    expect(doctor.check_python(), state)


def test_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch)
    expect(doctor.check_torch(), "BROKEN", "not installed", "make setup")
    versions(monkeypatch, torch="2.13.0")
    modules(monkeypatch)
    expect(doctor.check_torch(), "BROKEN", "undefined symbol")
    modules(monkeypatch, torch=fake_torch("2.5.1"))
    expect(doctor.check_torch(), "BROKEN", "2.6 or later")
    modules(monkeypatch, torch=fake_torch("2.10.0"))
    expect(doctor.check_torch(), "OK", "2.10.0")


def test_numpy_that_the_extensions_were_not_built_for(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, torch="2.13.0", fairseq_fixed="0.12.3.1")
    numpy = SimpleNamespace(__version__="2.4.6")
    modules(monkeypatch, numpy=numpy)
    expect(doctor.check_numpy(), "BROKEN", "data_utils_fast", "make setup")
    modules(monkeypatch, numpy=numpy, data_utils_fast=1, token_block_utils_fast=1)
    expect(doctor.check_numpy(), "OK")
    modules(monkeypatch, numpy=SimpleNamespace(__version__="1.26.4"))
    expect(doctor.check_numpy(), "BROKEN", "2 or later")


def test_configuration_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"hydra_core": "1.3.2", "omegaconf": "2.3.0", "antlr4_python3_runtime": "4.9.3"}
    versions(monkeypatch, **good)
    expect(doctor.check_configuration(), "OK")
    versions(monkeypatch, **(good | {"omegaconf": "2.0.6"}))
    expect(doctor.check_configuration(), "BROKEN", "omegaconf 2.0.6", "omegaconf==2.3.0")


def test_fairseq(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch)
    expect(doctor.check_fairseq(), "BROKEN", "not installed")
    versions(monkeypatch, fairseq="0.12.2", fairseq_fixed="0.12.3.1")
    expect(doctor.check_fairseq(), "BROKEN", "stock fairseq 0.12.2", "pip uninstall")
    versions(monkeypatch, fairseq_fixed="0.12.3.1")
    modules(monkeypatch)
    expect(doctor.check_fairseq(), "BROKEN", "does not load")
    modules(monkeypatch, train=1)
    expect(doctor.check_fairseq(), "OK")


def test_torchaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch)
    expect(doctor.check_torchaudio(), "OK")
    versions(monkeypatch, torchaudio="2.11.0")
    modules(monkeypatch)
    expect(doctor.check_torchaudio(), "note", "transformers", "pip uninstall -y torchaudio")


def test_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "driver_gpus", lambda: [])
    expect(doctor.check_gpu(), "OK", "none")
    monkeypatch.setattr(doctor, "driver_gpus", lambda: ["Some GPU, 80 GiB"])
    modules(monkeypatch, torch=fake_torch())
    expect(doctor.check_gpu(), "note", "CPU build", "XLING_TORCH=cuda")
    modules(monkeypatch, torch=fake_torch(cuda="13.0"))
    expect(doctor.check_gpu(), "note", "driver")
    modules(monkeypatch, torch=fake_torch(cuda="13.0", gpus=1))
    expect(doctor.check_gpu(), "OK", "Some GPU")


def test_driver_gpus_with_no_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.driver_gpus() == []


@pytest.mark.parametrize(("gpus", "state"), [(0, "OK"), (1, "note"), (2, "OK")])
def test_torchrun_with_one_gpu(monkeypatch: pytest.MonkeyPatch, gpus: int, state: str) -> None:
    modules(monkeypatch, torch=fake_torch(gpus=gpus))
    expect(doctor.check_torchrun(), state)


def test_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    modules(monkeypatch, torch=fake_torch())
    expect(doctor.check_ddp(), "OK", "legacy_ddp")
    modules(monkeypatch, torch=fake_torch(gloo=False))
    expect(doctor.check_ddp(), "note")
    modules(monkeypatch)
    expect(doctor.check_ddp(), "BROKEN")


def test_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "SHARED_MEMORY", tmp_path / "missing")
    monkeypatch.setattr(sys, "platform", "linux")
    expect(doctor.check_shared_memory(), "note", "--num-workers 0")
    monkeypatch.setattr(doctor, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=64 << 20, total=64 << 20))
    expect(doctor.check_shared_memory(), "note", "64 MB", "--shm-size")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=8 << 30, total=8 << 30))
    expect(doctor.check_shared_memory(), "OK", "8192 MB")


def test_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "g++" else "/usr/bin/gcc")
    versions(monkeypatch)
    expect(doctor.check_compiler(), "BROKEN", "no g++", "apt-get install g++")
    versions(monkeypatch, fairseq_fixed="0.12.3.1")
    expect(doctor.check_compiler(), "OK", "not needed")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    expect(doctor.check_compiler(), "note", "two thirds of the speed", "apt-get install gcc")


def test_locale_home_and_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(encoding="ascii"))
    expect(doctor.check_locale(), "note", "PYTHONUTF8=1")
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(encoding="utf-8"))
    expect(doctor.check_locale(), "OK")
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    expect(doctor.check_home(), "note", "CACHE=$(mktemp -d)", "TORCHINDUCTOR_CACHE_DIR=$CACHE")  # nobody else's code
    monkeypatch.setenv("HOME", str(tmp_path))
    expect(doctor.check_home(), "OK")
    monkeypatch.setattr(doctor, "usable_cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    expect(doctor.check_threads(), "note", "OMP_NUM_THREADS=2")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    expect(doctor.check_threads(), "OK")


def test_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fairseq")
    expect(doctor.check_checkpoints(), "OK")
    reader = SimpleNamespace(read_state=lambda path: (_ for _ in ()).throw(ValueError("Unsupported global: Namespace")))
    modules(monkeypatch, torch=importlib.import_module("torch"), checkpoints=reader)
    expect(doctor.check_checkpoints(), "BROKEN", "Unsupported global", "add_safe_globals")
    modules(monkeypatch)
    expect(doctor.check_checkpoints(), "BROKEN")


def test_exit_status_tells_what_is_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    note = doctor.Finding("one", "note", "text", "a fix")
    monkeypatch.setattr(doctor, "CHECKS", (lambda: note,))
    assert doctor.main([]) == 0
    assert "nothing is broken; 1 to note" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "CHECKS", (lambda: doctor.Finding("two", "BROKEN", "text", "a fix"), lambda: note))
    assert doctor.main([]) == 1
    assert capsys.readouterr().out.endswith("broken: two\n")


def test_doctor_without_torch_and_fairseq() -> None:
    """As on a bare machine: no site packages at all, and a locale without UTF-8."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-S", "-m", "fairseq_xling.doctor"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "BROKEN  torch            not installed" in done.stdout
    assert done.stderr == ""


def test_broken_fairseq_does_not_silence_the_doctor(tmp_path: Path) -> None:
    (tmp_path / "fairseq").mkdir()
    (tmp_path / "fairseq/__init__.py").write_text(
        "raise ImportError('libcudart.so.13: cannot open shared object file')\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "fairseq_xling.doctor"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert re.search(r"^BROKEN  fairseq +does not load: ImportError: libcudart", done.stdout, re.M)


def test_load_survives_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaves_at_once.py").write_text("import sys; sys.exit('gone')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert doctor.load("leaves_at_once") == (None, "SystemExit: gone")
    assert doctor.load("argparse") == (argparse, "")
