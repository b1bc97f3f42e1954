"""The pinned set, and the set-up scripts driven with a stand-in for Python that writes down what it is asked."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from fairseq_xling import doctor

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([0-9][0-9a-z.]*) +# \S.*$")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "environment" / name).read_text("utf-8").splitlines()
    found = [PIN.match(line) for line in lines if line and not line.startswith("#")]
    assert all(found), f"{name}: every line is NAME==VERSION  # reason"
    return {canonical(match[1]): match[2] for match in found if match}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# --- the pinned set ---------------------------------------------------------------------------------------------------


def test_pins_are_whole() -> None:
    """What a pinned package needs is pinned too (installing uses --no-deps); torchaudio alone is left out."""
    packaging = pytest.importorskip("packaging.requirements")
    pinned = pins("requirements.txt") | pins("requirements-dev.txt")
    assert not pinned.keys() & (pins("requirements-optional.txt") | pins("requirements-bench.txt")).keys()
    missing = set()
    for name in pinned:
        for text in metadata.requires(name) or []:
            requirement = packaging.Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                missing |= {canonical(requirement.name)} - pinned.keys()
    cuda = {name for name in missing if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert missing - cuda == {"torchaudio"}


def test_doctor_names_the_pinned_versions() -> None:
    pinned = pins("requirements.txt")
    assert {name: pinned[name] for name in doctor.NEEDED} == doctor.NEEDED
    assert pinned["fairseq-fixed"] == doctor.FAIRSEQ


def test_build_stub_drops_the_extensions_that_need_torch() -> None:
    setuptools = pytest.importorskip("setuptools")
    spec = importlib.util.spec_from_file_location("stub", ROOT / "environment/build_stub/torch/utils/cpp_extension.py")
    assert spec is not None
    assert spec.loader is not None
    stub = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stub)
    extensions = [stub.CppExtension("needs.torch", ["a.cpp"]), setuptools.Extension("plain", ["b.cpp"])]
    build = stub.BuildExtension(setuptools.Distribution({"ext_modules": extensions}))
    build.finalize_options()
    assert [extension.name for extension in build.extensions] == ["plain"]


# --- install.sh -------------------------------------------------------------------------------------------------------

STAND_IN = """#!/bin/sh
# Stands for Python: writes down its arguments, fails where FAIL matches, and makes an "environment" of itself.
printf '%s\\n' "$*" | head -n 1 >> "$CALLS"
if [ -n "$FAIL" ] && printf '%s' "$*" | grep -Eq -- "$FAIL"; then exit 1; fi
case "$*" in
*'-m venv'*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python"; : > "$last/pyvenv.cfg" ;;
*sys.version_info*) ;;
esac
"""
NO_TORCH = "m.version|find_spec"  # the two questions after torch, answered "not there"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the set-up scripts in a folder with a space in its name, and a stand-in for Python beside it."""
    house = tmp_path / "a house"
    shutil.copytree(ROOT / "environment", house / "environment")
    shutil.copy(ROOT / "setup.py", house / "setup.py")
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin" / "python3.11"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    return house


def install(house: Path, *options: str, fail: str = NO_TORCH, **variables: str) -> tuple[int, str, list[str]]:
    """Exit status, what was printed, and the calls of Python."""
    calls = house / "calls"
    calls.write_text("")
    environment = {"PATH": f"{house.parent}/bin:/usr/bin:/bin", "LC_ALL": "C", "CALLS": str(calls), "FAIL": fail}
    command = ["bash", "environment/install.sh", *options]
    done = subprocess.run(command, cwd=house, env=environment | variables, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines()


def torch_calls(calls: list[str]) -> list[str]:
    return [call for call in calls if "-m pip install" in call and re.search(r" torch==", call)]


def test_second_call_does_nothing_until_an_input_changes(house: Path) -> None:
    status, _, calls = install(house)
    assert status == 0
    assert any("-m venv" in call for call in calls)
    assert install(house) == (0, "", [])
    with open(house / "environment/requirements.txt", "a", encoding="utf-8") as handle:
        handle.write("another==1.0  # via test\n")
    status, _, calls = install(house)
    assert status == 0
    assert any("another==1.0" in call for call in calls)
    assert not any("-m venv" in call for call in calls), "the environment is kept"
    assert install(house) == (0, "", [])


def test_everything_pinned_is_installed_once(house: Path) -> None:
    _, _, calls = install(house, "--dev")
    words = [canonical(word) for call in calls if "-m pip" in call for word in call.split()]
    for name, version in pins("requirements.txt").items():
        assert words.count(canonical(f"{name}=={version}{'+cpu' if name == 'torch' else ''}")) == 1, name
    assert any("requirements-dev.txt" in call for call in calls)
    assert all("--no-deps" in call or "torch==" in call for call in calls if "-m pip" in call)


def test_an_optional_package_without_a_wheel_is_left_out_and_named(house: Path) -> None:
    (pin,) = [f"{name}=={version}" for name, version in pins("requirements-optional.txt").items()]
    status, text, calls = install(house)
    assert status == 0
    assert "left out" not in text
    (call,) = [call for call in calls if pin in call]
    assert "--no-deps --only-binary :all:" in call
    shutil.rmtree(house / ".venv")
    status, text, _ = install(house, fail=f"{NO_TORCH}|{pin}")
    assert status == 0
    assert re.search(f"left out, no wheel for this Python found: {pin} +# .*eval/contextual.py", text)
    assert install(house) == (0, "", []), "it is not tried again at every call"


def test_fairseq_is_built_anew_without_torch(house: Path) -> None:
    """A wheel in pip's cache may be of a build against another NumPy or torch."""
    (call,) = [call for call in install(house)[2] if "fairseq-fixed==" in call]
    for option in ("-m pip wheel", "--no-cache-dir", "--no-build-isolation", "--no-deps"):
        assert option in call


def test_failure_is_told_and_not_stamped(house: Path) -> None:
    status, text, _ = install(house, fail=f"{NO_TORCH}|sentencepiece==")
    assert status == 1
    assert "installing the wheels failed" in text
    status, _, calls = install(house)
    assert status == 0
    assert any("sentencepiece==" in call for call in calls)


def test_torch_for_the_cpu_and_its_three_places(house: Path) -> None:
    first, second, third = "torch==2.13.0+cpu", "--index-url https://download.pytorch.org/whl/cpu", "torch==2.13.0 -c"
    assert [first in call for call in torch_calls(install(house)[2])] == [True]
    shutil.rmtree(house / ".venv")
    _, text, calls = install(house, fail=f"{NO_TORCH}|[+]cpu$")
    assert [second in call for call in torch_calls(calls)] == [False, True, False]
    assert third in torch_calls(calls)[-1]
    assert "several GB" in text
    shutil.rmtree(house / ".venv")
    _, _, calls = install(house, fail=f"{NO_TORCH}|--no-deps torch==")
    assert [second in call for call in torch_calls(calls)] == [False, True]


def test_a_gpu_is_taken(house: Path) -> None:
    (house.parent / "bin/nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: Some GPU'\n")
    (house.parent / "bin/nvidia-smi").chmod(0o755)
    (call,) = torch_calls(install(house)[2])
    assert "torch==2.13.0,!=2.13.0+cpu" in call, "a CPU build that lies nearer must not win"
    shutil.rmtree(house / ".venv")
    (call,) = torch_calls(install(house, XLING_TORCH="cpu")[2])
    assert "torch==2.13.0+cpu" in call


def test_torch_that_is_there_is_kept(house: Path) -> None:
    status, text, calls = install(house, "--keep-torch", fail="m.version")
    assert status == 0
    assert "kept" in text
    assert torch_calls(calls) == []
    assert any("--system-site-packages" in call for call in calls)
    shutil.rmtree(house / ".venv")
    status, text, calls = install(house, XLING_KEEP_TORCH="1")
    assert status == 1
    assert "no torch to keep" in text


def test_offline_install_asks_no_index(house: Path) -> None:
    (house / "wheels").mkdir()
    status, _, calls = install(house, "--dev", "--wheelhouse", "wheels", fail="m.version")
    assert status == 0
    assert torch_calls(calls) == []
    asked = [call for call in calls if "-m pip install" in call]
    assert asked
    assert all("--no-index" in call for call in asked)
    assert not any("-m pip wheel" in call for call in calls)
    (house / "wheels/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl").touch()
    shutil.rmtree(house / ".venv")
    calls = install(house, "--wheelhouse", "wheels")[2]
    assert any(" torch==2.13.0 " in call and "--no-index" in call for call in calls)


@pytest.mark.parametrize(
    ("options", "fail", "expected"),
    [
        (["--wheelhouse", "nowhere"], "", "--wheelhouse nowhere: no such folder"),
        (["--wheelhouse"], "", "--wheelhouse needs a value"),
        (["--bogus"], "", "unknown option '--bogus'"),
        (["--python", "/bin/false"], "", "'/bin/false' is not a Python 3.11 or later"),
        ([], "ensurepip", "this Python has no venv module: apt-get install"),
    ],
)
def test_bad_input_is_one_line(house: Path, options: list[str], fail: str, expected: str) -> None:
    status, text, _ = install(house, *options, fail=fail)
    assert status == 1
    last = text.splitlines()[-1]
    assert last.startswith("install.sh: ")
    assert expected in last


def test_a_folder_in_the_way_is_left_alone(house: Path) -> None:
    (house / ".venv").mkdir()
    (house / ".venv/precious").touch()
    status, text, _ = install(house)
    assert status == 1
    assert "in the way" in text
    assert (house / ".venv/precious").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--python", "2.7"], "3.11 or later was expected"),
        (["--platform", "sparc"], "x86_64 or aarch64"),
        (["--glibc", "new"], "such as 2.28"),
        (["--out", "environment"], "other things than wheels"),
    ],
)
def test_wheelhouse_bad_input(options: list[str], expected: str) -> None:
    done = subprocess.run(
        ["bash", "environment/wheelhouse.sh", *options], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert expected in done.stderr
    assert (ROOT / "environment/install.sh").is_file()


def test_make_alone_teaches_every_target() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    text = subprocess.run(["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    (targets,) = re.findall(r"^\.PHONY: help (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert re.findall(r"^make ([a-z-]+)", text, re.M) == sorted(targets.split(), key=text.index)
    assert set(re.findall(r"^make ([a-z-]+)", text, re.M)) == set(targets.split())
