"""Says whether this machine can run the project, and for each known trap the fix.

::

    python -m fairseq_xling.doctor

prints the versions that matter, then one line for each trap: OK, a note (works, but know this) or BROKEN with
the fix. Exit status 1 if something needed is broken. It needs nothing but Python itself, so it also answers
where torch or fairseq are missing or do not load.
"""

from __future__ import annotations

import argparse
import importlib
import io
import locale
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

REINSTALL = "rm -r .venv && make setup"
NEEDED = {"hydra-core": "1.3.2", "omegaconf": "2.3.0", "antlr4-python3-runtime": "4.9.3"}
"""fairseq's configuration breaks at import with other versions."""
FAIRSEQ = "0.12.3.1"
SHOWN = [
    "torch",
    "fairseq-fixed",
    "numpy",
    "scipy",
    "omegaconf",
    "hydra-core",
    "sentencepiece",
    "sacrebleu",
    "matplotlib",
    "tensorboardX",
]
SHARED_MEMORY = Path("/dev/shm")
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Finding:
    """What one check found: `text` in any case, `fix` in one line where the state is not OK."""

    name: str
    state: Literal["OK", "note", "BROKEN"]
    text: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"{self.state:<6}  {self.name:<16} {self.text}"
        return f"{line}\n{'':26}fix: {self.fix}" if self.fix else line


def version_of(package: str) -> str | None:
    """The installed version of a distribution, or None; nothing is imported."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def load(module: str) -> tuple[Any, str]:
    """Import a module: (module, "") or (None, why not, in one line)."""
    try:
        return importlib.import_module(module), ""
    except (Exception, SystemExit) as error:  # a package that does not load may fail in any way
        lines = str(error).strip().splitlines() or [""]
        return None, f"{type(error).__name__}: {lines[-1][:160]}"


# --- what is there ----------------------------------------------------------------------------------------------------


def cpu_facts() -> tuple[str, list[str]]:
    """The processor's name, and those of its features that make bfloat16 fast (Linux; elsewhere unknown)."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return platform.processor() or platform.machine(), []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    flags = fields.get("flags", fields.get("Features", "")).split()
    return fields.get("model name", platform.machine()), [f for f in ("avx512_bf16", "amx_bf16", "bf16") if f in flags]


def usable_cores() -> int:
    """Cores that this process may use: its affinity, which batch systems and containers set."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Main memory in bytes, 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def driver_gpus() -> list[str]:
    """GPUs that the NVIDIA driver lists, whether or not torch can use them."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()] if answer.returncode == 0 else []


def facts() -> list[tuple[str, str]]:
    """What a report of a problem should carry: versions, processor, memory, locale."""
    name, features = cpu_facts()
    encoding = locale.getpreferredencoding(False)
    variables = [f"{key}={os.environ[key]}" for key in ("LC_ALL", "LANG") if key in os.environ]
    return [
        ("python", f"{platform.python_version()} ({sys.executable}), {platform.platform()}"),
        *((package, version_of(package) or "not installed") for package in SHOWN),
        (
            "processor",
            f"{name}, {usable_cores()} cores usable, bfloat16: {', '.join(features) or 'no fast unit found'}",
        ),
        ("gpu", "; ".join(driver_gpus()) or "none"),
        ("memory", f"{memory_bytes() / 2**30:.0f} GiB"),
        (
            "/dev/shm",
            f"{shutil.disk_usage(SHARED_MEMORY).total // MEGABYTE} MB" if SHARED_MEMORY.is_dir() else "missing",
        ),
        ("locale", f"{encoding} ({', '.join(variables) or 'LC_ALL and LANG not set'})"),
        ("HOME", os.environ.get("HOME", "not set")),
    ]


# --- known traps ------------------------------------------------------------------------------------------------------


def check_python() -> Finding:
    """3.11 is the least; from 3.13 on fairseq has to be compiled, and 3.13 is the last that was tried."""
    found = sys.version_info[:2]
    text = ".".join(map(str, found))
    if found < (3, 11):
        return Finding(
            "python", "BROKEN", f"{text} is too old", "use Python 3.11 or later: make setup PYTHON=python3.11"
        )
    if found >= (3, 14):
        fix = "if setup fails use 3.11, 3.12 or 3.13: make setup PYTHON=python3.12"
        return Finding("python", "note", f"{text} was not tried; fairseq has no wheel for it", fix)
    return Finding("python", "OK", text)


def check_torch() -> Finding:
    """torch loads, and is new enough for checkpoints to be read as plain data."""
    if version_of("torch") is None:
        return Finding("torch", "BROKEN", "not installed", "make setup")
    torch, why = load("torch")
    if torch is None:
        return Finding("torch", "BROKEN", f"does not load: {why}", REINSTALL)
    if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) < (2, 6):
        return Finding("torch", "BROKEN", f"{torch.__version__}: 2.6 or later is needed", REINSTALL)
    return Finding("torch", "OK", torch.__version__)


def check_numpy() -> Finding:
    """fairseq's compiled parts fit the NumPy that is installed."""
    numpy, why = load("numpy")
    if numpy is None:
        return Finding("numpy", "BROKEN", f"does not load: {why}", REINSTALL)
    if int(numpy.__version__.split(".")[0]) < 2:
        return Finding("numpy", "BROKEN", f"{numpy.__version__}: 2 or later is needed", REINSTALL)
    if version_of("fairseq-fixed") and version_of("torch"):
        for module in ("fairseq.data.data_utils_fast", "fairseq.data.token_block_utils_fast"):
            if load(module)[0] is None:
                text = f"{numpy.__version__}: {module} does not load beside it: {load(module)[1]}"
                return Finding("numpy", "BROKEN", text, REINSTALL)
    return Finding("numpy", "OK", numpy.__version__)


def check_configuration() -> Finding:
    """hydra, omegaconf and antlr in the one set of versions that works with fairseq."""
    wrong = [f"{name} {version_of(name) or 'missing'}" for name, needed in NEEDED.items() if version_of(name) != needed]
    if not wrong:
        return Finding("hydra, omegaconf", "OK", ", ".join(NEEDED.values()))
    fix = "pip install --no-deps " + " ".join(f"{name}=={needed}" for name, needed in NEEDED.items())
    return Finding("hydra, omegaconf", "BROKEN", ", ".join(wrong), fix)


def check_fairseq() -> Finding:
    """fairseq-fixed is installed, stock fairseq is not (same folder, fails on Python 3.11), and it loads."""
    fixed, stock = version_of("fairseq-fixed"), version_of("fairseq")
    if stock is not None:
        fix = f"pip uninstall -y fairseq fairseq-fixed && {REINSTALL}"
        return Finding("fairseq", "BROKEN", f"stock fairseq {stock} fails from Python 3.11 on", fix)
    if fixed is None:
        return Finding("fairseq", "BROKEN", "not installed; only analysis and formats work without it", "make setup")
    if fixed != FAIRSEQ:
        return Finding("fairseq", "BROKEN", f"fairseq-fixed {fixed}: {FAIRSEQ} is needed", REINSTALL)
    module, why = load("fairseq_cli.train")
    if module is None:
        return Finding("fairseq", "BROKEN", f"does not load: {why}", REINSTALL)
    return Finding("fairseq", "OK", f"fairseq-fixed {fixed}")


def check_torchaudio() -> Finding:
    """fairseq asks for torchaudio and nothing here uses it; one that does not load breaks other packages."""
    version = version_of("torchaudio")
    if version is None:
        return Finding("torchaudio", "OK", "not installed, as it should be (pip check names it: no harm)")
    if load("torchaudio")[0] is None:
        text = f"{version} does not load beside this torch, and `import transformers` fails with it"
        return Finding("torchaudio", "note", text, "pip uninstall -y torchaudio")
    return Finding("torchaudio", "OK", f"{version} loads; nothing here uses it")


def check_checkpoints() -> Finding:
    """A checkpoint with fairseq's argparse.Namespace passes torch's weights_only reader (the default from 2.6)."""
    torch, why = load("torch")
    reader, no_reader = load("fairseq_xling.checkpoints")
    if torch is None or reader is None:
        return Finding("checkpoints", "BROKEN", f"cannot be read: {why or no_reader}", "mend torch and fairseq first")
    state = {"args": argparse.Namespace(), "model": {"weight": torch.zeros(1)}}
    state["cfg"] = {"task": {"_name": "xling_masked_lm"}, "model": {"_name": "xling_lab"}}
    try:
        with tempfile.TemporaryDirectory() as folder:
            torch.save(state, Path(folder) / "checkpoint.pt")
            reader.read_state(Path(folder) / "checkpoint.pt")
    except Exception as error:
        fix = "torch.serialization.add_safe_globals([argparse.Namespace])"
        return Finding("checkpoints", "BROKEN", f"weights_only refuses them: {str(error)[:120]}", fix)
    return Finding("checkpoints", "OK", "read as plain data (weights_only)")


def check_gpu() -> Finding:
    """Where the driver lists a GPU, torch can use it."""
    gpus = driver_gpus()
    if not gpus:
        return Finding("gpu", "OK", "none; everything at lab scale runs on the CPU")
    torch, why = load("torch")
    if torch is None:
        return Finding("gpu", "BROKEN", f"torch does not load: {why}", REINSTALL)
    if torch.cuda.is_available():
        return Finding("gpu", "OK", f"{len(gpus)} x {gpus[0]}")
    if torch.version.cuda is None:
        return Finding(
            "gpu", "note", "there is one, but this torch is a CPU build", "rm -r .venv && XLING_TORCH=cuda make setup"
        )
    fix = f"update the driver to one that has CUDA {torch.version.cuda}, or look at CUDA_VISIBLE_DEVICES"
    return Finding("gpu", "note", f"there is one, but torch for CUDA {torch.version.cuda} cannot use it", fix)


def check_torchrun() -> Finding:
    """fairseq takes the world size from the local GPUs, and with one GPU ignores what torchrun set."""
    torch, _ = load("torch")
    if torch is None or torch.cuda.device_count() != 1:
        return Finding("torchrun", "OK", "the trap of one local GPU is not here")
    fix = "pass --distributed-world-size $WORLD_SIZE --distributed-rank $RANK, as train_scripts/ do"
    return Finding(
        "torchrun", "note", "one local GPU: without a world size each rank trains alone, over the others' files", fix
    )


def check_ddp() -> Finding:
    """Several processes on CPUs need legacy_ddp: fairseq's pytorch_ddp names CUDA devices."""
    torch, _ = load("torch")
    if torch is None:
        return Finding("processes", "BROKEN", "torch does not load", REINSTALL)
    if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
        return Finding("processes", "note", "this torch has no gloo: one process only", REINSTALL)
    if torch.cuda.is_available():
        return Finding("processes", "OK", "gloo and CUDA")
    return Finding(
        "processes", "OK", "gloo; on the CPU several processes need --ddp-backend legacy_ddp (pytorch_ddp fails)"
    )


def check_shared_memory() -> Finding:
    """Loader workers hand batches over through /dev/shm, which small containers lack."""
    fix = "--num-workers 0, or start the container with --shm-size 1g"
    if not SHARED_MEMORY.is_dir():
        if sys.platform.startswith("linux"):
            return Finding("shared memory", "note", "no /dev/shm: loader workers crash (bus error)", fix)
        return Finding("shared memory", "OK", "this system has no /dev/shm and needs none")
    free = shutil.disk_usage(SHARED_MEMORY).free // MEGABYTE
    if free < 256:
        return Finding(
            "shared memory", "note", f"only {free} MB free in /dev/shm: loader workers may crash (bus error)", fix
        )
    return Finding("shared memory", "OK", f"{free} MB free in /dev/shm")


def check_compiler() -> Finding:
    """Setting up compiles three small parts of fairseq where there is no wheel, and the lab's layer when it is used."""
    missing = [name for name in ("gcc", "g++") if shutil.which(name) is None]
    if not missing:
        return Finding("compiler", "OK", "gcc and g++")
    if version_of("fairseq-fixed"):
        text = f"no {' and '.join(missing)}; not needed, since fairseq is built"
        if any(map(shutil.which, ("cc", "gcc", "clang"))):
            return Finding("compiler", "OK", text)
        return Finding(
            "compiler", "note", f"{text}; the lab's models train at two thirds of the speed", "apt-get install gcc"
        )
    fix = "apt-get install g++ (Debian, Ubuntu), or Python 3.12, for which fairseq has a wheel"
    return Finding("compiler", "BROKEN", f"no {' and '.join(missing)}: fairseq cannot be built", fix)


def check_locale() -> Finding:
    """Text is UTF-8 everywhere; only what is printed depends on the locale."""
    encoding = (getattr(sys.stdout, "encoding", None) or "unknown").lower().replace("-", "")
    if encoding == "utf8":
        return Finding("locale", "OK", "prints UTF-8")
    return Finding("locale", "note", f"standard output is {encoding}: text may not print", "export PYTHONUTF8=1")


def check_home() -> Finding:
    """matplotlib and torch keep caches in the home folder; torch's are code, so no other user may write to them."""
    home = Path(os.path.expanduser("~"))
    if home.is_dir() and os.access(home, os.W_OK):
        return Finding("home folder", "OK", str(home))
    variables = ("XDG_CACHE_HOME", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR")
    fix = f"CACHE=$(mktemp -d); export {' '.join(f'{name}=$CACHE' for name in variables)}"
    return Finding("home folder", "note", f"{home} cannot be written", fix)


def check_threads() -> Finding:
    """More threads than cores make small models several times slower."""
    cores, wanted = usable_cores(), os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > cores:
        return Finding(
            "threads", "note", f"OMP_NUM_THREADS={wanted} on {cores} cores", f"export OMP_NUM_THREADS={cores}"
        )
    return Finding("threads", "OK", f"{wanted or cores} on {cores} cores")


def check_precision() -> Finding:
    """fairseq's own --bf16 is for TPUs, and --amp is fp16 on CUDA only."""
    _, features = cpu_facts()
    fast = f"this CPU has {', '.join(features)}" if features else "no fast bfloat16 unit found on this CPU"
    return Finding("bfloat16", "OK", f"--bf16-autocast, not fairseq's --bf16 (TPU) or --amp (fp16 on CUDA); {fast}")


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_python,
    check_torch,
    check_numpy,
    check_configuration,
    check_fairseq,
    check_torchaudio,
    check_checkpoints,
    check_gpu,
    check_torchrun,
    check_ddp,
    check_precision,
    check_shared_memory,
    check_threads,
    check_compiler,
    check_locale,
    check_home,
)


def main(arguments: list[str] | None = None) -> int:
    """Print facts and findings; 0 if nothing needed is broken, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m fairseq_xling.doctor",
        description="Prints the versions that matter, and for each known trap OK or the fix. Exit status 1: broken.",
    )
    parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of processors and folders in any locale
    for name, text in facts():
        print(f"{name:<14} {text}")
    print()
    findings = [check() for check in CHECKS]
    for finding in findings:
        print(finding)
    broken = [finding.name for finding in findings if finding.state == "BROKEN"]
    notes = sum(finding.state == "note" for finding in findings)
    print("\nbroken: " + ", ".join(broken) if broken else f"\nnothing is broken; {notes} to note")
    return 1 if broken else 0


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` is no traceback, and not the status of "broken"
    sys.exit(main())
