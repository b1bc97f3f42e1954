#!/usr/bin/env bash
# Makes the Python environment of this repository. See -h.
set -euo pipefail

usage() {
    cat <<'H'
Make .venv beside this repository's README, with everything pinned in environment/requirements.txt, and what of
environment/requirements-optional.txt has a wheel for this Python.
A second call returns at once; it does its work again only when its inputs have changed.

  environment/install.sh                     what running needs
  environment/install.sh --dev               the tools of `make test` and `make lint` as well
  environment/install.sh --wheelhouse DIR    from the wheels in DIR, with the network off
                                             (environment/wheelhouse.sh collects them)
Options
  --dev              add environment/requirements-dev.txt
  --wheelhouse DIR   install only from DIR; a torch that is already there is kept unless DIR holds one
  --keep-torch       keep the torch that the chosen Python, or an existing environment, already has
  --venv DIR         the environment's folder (default: .venv)
  --python PYTHON    the interpreter, 3.11 or later (default: the first of python3.11, 3.12, 3.13, python3)
  -h, --help         this text
Variables: PYTHON, VENV and XLING_KEEP_TORCH=1 stand for the last three options; XLING_TORCH=cpu or cuda overrides
the search for a GPU (nvidia-smi). pip's own settings (index, proxy, cache) hold as usual.
H
}

say() { printf '%s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
python=${PYTHON:-} venv=${VENV:-$root/.venv} keep_torch=${XLING_KEEP_TORCH:-0} dev=0 wheelhouse=
while [ $# -gt 0 ]; do
    case $1 in
    --dev) dev=1 ;;
    --keep-torch) keep_torch=1 ;;
    --wheelhouse | --venv | --python)
        [ $# -ge 2 ] || die "$1 needs a value (see -h)"
        case $1 in --wheelhouse) wheelhouse=$2 ;; --venv) venv=$2 ;; --python) python=$2 ;; esac
        shift ;;
    -h | --help) usage; exit 0 ;;
    *) die "unknown option '$1' (see -h)" ;;
    esac
    shift
done
if [ -n "$wheelhouse" ]; then
    [ -d "$wheelhouse" ] || die "--wheelhouse $wheelhouse: no such folder; make it with environment/wheelhouse.sh"
    wheelhouse=$(cd "$wheelhouse" && pwd)
fi
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac

# The stamp's name says what the environment was made from; the tools of development are a second layer.
# Only the choice of interpreter is left out when none was asked for: the environment has one already.
checksum() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
inputs_of() { cat "$@" "$here/install.sh" "$here/build_stub/torch/utils/cpp_extension.py"; }
stamp_of() { { say "$root" "$venv" "$python" "$keep_torch" "${XLING_TORCH:-}"; inputs_of "$@"; } | checksum | cut -c1-16; }
run_stamp=$venv/.xling-run-$(stamp_of "$here/requirements.txt" "$here/requirements-optional.txt" "$root/setup.py")
dev_stamp=$venv/.xling-dev-$(stamp_of "$here/requirements-dev.txt")
done_already() { [ -e "$run_stamp" ] && { [ $dev = 0 ] || [ -e "$dev_stamp" ]; } && [ -x "$venv/bin/python" ]; }
done_already && exit 0
if command -v flock >/dev/null; then # two calls at once: the second waits, and then finds the work done
    exec 9<"$here"
    flock -n 9 || { say "another install.sh is at work here; waiting for it"; flock 9; }
    done_already && exit 0
fi

# --- the interpreter and the environment -----------------------------------------------------------------------------
is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
if [ -n "$python" ]; then
    is_recent "$python" || die "'$python' is not a Python 3.11 or later"
else
    for python in python3.11 python3.12 python3.13 python3 ''; do [ -z "$python" ] || ! is_recent "$python" || break; done
    [ -n "$python" ] || die "no Python 3.11 or later found; name one: make PYTHON=/path/to/python3.11 ... "
fi
has_torch() { "$1" -c 'import sys; from importlib.util import find_spec; sys.exit(find_spec("torch") is None)' 2>/dev/null; }
wheels() { compgen -G "$wheelhouse/$1-*.whl" >/dev/null; }
[ -z "$wheelhouse" ] || wheels torch || keep_torch=1
if ! [ -x "$venv/bin/python" ] || ! is_recent "$venv/bin/python"; then
    [ ! -e "$venv" ] || [ -e "$venv/pyvenv.cfg" ] || die "$venv is in the way and is no Python environment; remove it"
    say "making $venv with $("$python" -V)"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "this Python has no venv module: apt-get install $("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])') (Debian, Ubuntu)"
    site=
    [ "$keep_torch" != 1 ] || ! has_torch "$python" || site=--system-site-packages
    "$python" -m venv --clear $site "$venv" || die "could not make $venv"
fi
py=$venv/bin/python
rm -f "$venv"/.xling-dev-*
unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE PIP_REQUIRE_VIRTUALENV PIP_USER
if [ "$keep_torch" = 1 ]; then
    has_torch "$py" || die "no torch to keep in $venv or in $python; install torch first, or leave --keep-torch out${wheelhouse:+ and collect the wheels with wheelhouse.sh --with-torch}"
fi

# --- installing ------------------------------------------------------------------------------------------------------
work=$(mktemp -d) builder=
finish() {
    if [ -n "$builder" ]; then kill "$builder" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# Modules are compiled when first imported (below, for all that runs): compiling every file of every package up front
# takes longer than all the rest.
pip_install() { "$py" -m pip install --disable-pip-version-check --no-compile "$@"; }
quiet() { # quiet TITLE COMMAND...: the command's output only where it fails
    local title=$1 log
    shift
    log=$work/$(printf %s "$title" | tr -c 'a-zA-Z\n' _).log
    "$@" >"$log" 2>&1 || { tail -n 25 "$log" >&2; die "$title failed (above: the end of what it printed)"; }
}
pins() { local name; for name in "$@"; do grep -i "^$name==" "$here/requirements.txt" | sed 's/ *#.*//'; done; }
pins_without() { local IFS='|'; sed 's/ *#.*//; /^$/d' "$here/requirements.txt" | grep -vwiE "^($*)==.*"; }
reasons() { grep -E '^[^#].*#' "$1" | grep -v '# via' | sed -E 's/^([^ ]+) +# /  \1\t/' | expand -t 34; }
seconds() { say "$((SECONDS - $1)) s"; }

build_tools="setuptools wheel cython numpy"
from_source="fairseq-fixed antlr4-python3-runtime jieba" # published as source, or for some Pythons only

build_wheels() {
    # fairseq's own build would first fetch a CUDA build of torch: the stub makes it need none (see build_stub).
    # The stub's path must be absolute, since pip builds in another folder. No cache: pip would give back a wheel of
    # any earlier build, made for another NumPy or torch.
    # shellcheck disable=SC2046
    exec env PYTHONPATH="$here/build_stub" "$py" -m pip wheel --disable-pip-version-check --no-cache-dir --no-deps --no-build-isolation \
        -w "$work/wheels" $(pins $from_source)
}

install_torch() {
    local pin version progress=--quiet
    pin=$(pins torch) version=${pin#*==}
    if [ -t 1 ]; then progress=--progress-bar=on; fi # a long download: show it to a person
    if "$py" -c "import importlib.metadata as m, sys; sys.exit(m.version('torch').split('+')[0] != '$version')" 2>/dev/null; then
        return
    fi
    local kind=${XLING_TORCH:-cpu}
    if [ -z "${XLING_TORCH:-}" ] && nvidia-smi -L >/dev/null 2>&1; then kind=cuda; fi
    if [ "$kind" = cuda ]; then
        say "torch $version with CUDA (several GB)"
        pip_install $progress "$pin,!=$version+cpu" -c "$here/requirements.txt"
        return
    fi
    if [ "$(uname -s)" = Linux ]; then
        say "torch $version for the CPU (no GPU found; about 200 MB)"
        pip_install $progress --no-deps "$pin+cpu" 2>"$work/torch.log" ||
            pip_install $progress --no-deps --retries 1 --index-url https://download.pytorch.org/whl/cpu "$pin+cpu" 2>>"$work/torch.log" ||
            { say "no CPU build of torch found; taking PyPI's, which brings CUDA (several GB)"; false; } && return
    fi
    pip_install $progress "$pin" -c "$here/requirements.txt"
}

install_online() {
    local start=$SECONDS
    say "installing into $venv what this project needs, with what that needs in turn:"
    reasons "$here/requirements.txt"
    reasons "$here/requirements-optional.txt"
    # shellcheck disable=SC2046
    quiet "installing the build tools" pip_install --no-deps $(pins $build_tools)
    say "build tools: $(seconds $start)"
    build_wheels >"$work/build.log" 2>&1 &
    builder=$!
    if [ "$keep_torch" = 1 ]; then say "torch: kept as it is"; else install_torch || die "torch could not be installed: $(tail -n 2 "$work/torch.log" 2>/dev/null)"; fi
    say "torch: $(seconds $start)"
    # shellcheck disable=SC2046,SC2086
    quiet "installing the wheels" pip_install --no-deps $(pins_without torch $build_tools $from_source)
    say "other packages: $(seconds $start)"
    wait $builder || { tail -n 25 "$work/build.log" >&2; die "building fairseq failed (above: the end of the log); it needs gcc and g++, and Python's headers"; }
    builder=
    quiet "installing fairseq" pip_install --no-deps --no-index "$work"/wheels/*.whl
    say "fairseq, built beside that: $(seconds $start)"
}

install_offline() {
    local without=() start=$SECONDS
    say "installing into $venv from $wheelhouse, with the network off"
    if [ "$keep_torch" = 1 ]; then without=(torch); say "torch: kept as it is"; else without=(nothing); fi
    # shellcheck disable=SC2046
    quiet "installing from $wheelhouse" pip_install --no-index --find-links "$wheelhouse" --no-deps $(pins_without "${without[@]}")
    say "packages: $(seconds $start)"
}

# What not every Python has a wheel of: left out there, and said.
install_optional() {
    local pin
    while read -r pin; do
        pip_install "${use_wheelhouse[@]}" --no-deps --only-binary :all: "$pin" >"$work/optional.log" 2>&1 ||
            say "left out, no wheel for this Python found: $pin  $(grep -F "$pin" "$here/requirements-optional.txt" | sed 's/^[^#]*//')"
    done < <(sed 's/ *#.*//; /^$/d' "$here/requirements-optional.txt")
}

use_wheelhouse=()
[ -z "$wheelhouse" ] || use_wheelhouse=(--no-index --find-links "$wheelhouse")
if ! [ -e "$run_stamp" ]; then
    rm -f "$venv"/.xling-run-*
    if [ -n "$wheelhouse" ]; then install_offline; else install_online; fi
    install_optional
    quiet "installing this project" pip_install --no-deps --no-build-isolation --no-index -e "$root"
    # Import what runs: this shows that it works, and compiles it.
    quiet "a first import" "$py" -c 'import torch, fairseq_cli.train, fairseq_cli.preprocess, sentencepiece, scipy.linalg, matplotlib.pyplot, tensorboardX, sacremoses, jieba'
    : >"$run_stamp"
    say "ready, and imported once: $(seconds 0) in all"
fi
if [ $dev = 1 ]; then
    start=$SECONDS
    say "installing what tests and lint need:"
    reasons "$here/requirements-dev.txt"
    # seqeval is published as source and takes its version from a tool that pip fetches for its build alone
    # shellcheck disable=SC2046
    quiet "installing the tools of tests and lint" pip_install "${use_wheelhouse[@]}" --no-deps --use-pep517 -r "$here/requirements-dev.txt"
    : >"$dev_stamp"
    say "tools of tests and lint: $(seconds $start)"
fi
