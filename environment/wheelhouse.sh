#!/usr/bin/env bash
# Collects wheels for a host without internet. See -h.
set -euo pipefail

usage() {
    cat <<'H'
Collect everything of environment/requirements.txt as wheels in one folder, for a host without internet.
There:  environment/install.sh --wheelhouse DIR

  environment/wheelhouse.sh                                        for this machine's kind and Python; torch left out
  environment/wheelhouse.sh --python 3.12 --out wheels-3.12        for a host with Python 3.12
  environment/wheelhouse.sh --with-torch                           torch for the CPU as well
  environment/wheelhouse.sh --with-torch cuda                      torch with CUDA as well (several GB)
Options
  --python X.Y         Python version of the host (default: that of the interpreter found here)
  --platform TAG       the host's platform (default: x86_64 Linux or what this machine is): x86_64, aarch64
  --glibc 2.N          the host's glibc, as `ldd --version` prints it there (default: 2.28)
  --with-torch [cpu|cuda]   collect torch too; without it the host's own torch is kept
  --dev                the tools of tests and lint too
  --from-source        build fairseq here even where PyPI has a wheel for that Python
  --out DIR            the folder, made anew (default: wheelhouse)
fairseq is compiled here, without torch, unless PyPI has its wheel (Python 3.12, x86_64): for another Python than
3.12 that Python must be here too, and the host's glibc must be no older than this machine's.
H
}

say() { printf '%s\n' "$*"; }
die() { printf 'wheelhouse.sh: %s\n' "$*" >&2; exit 1; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
machine=$(uname -m) glibc=2.28 out=wheelhouse version='' torch='' dev=0 from_source=0
while [ $# -gt 0 ]; do
    case $1 in
    --python | --platform | --glibc | --out)
        [ $# -ge 2 ] || die "$1 needs a value (see -h)"
        case $1 in --python) version=$2 ;; --platform) machine=$2 ;; --glibc) glibc=$2 ;; --out) out=$2 ;; esac
        shift ;;
    --with-torch)
        torch=cpu
        case ${2:-} in cpu | cuda) torch=$2; shift ;; esac ;;
    --dev) dev=1 ;;
    --from-source) from_source=1 ;;
    -h | --help) usage; exit 0 ;;
    *) die "unknown option '$1' (see -h)" ;;
    esac
    shift
done
case $machine in x86_64 | aarch64) ;; *) die "--platform $machine: x86_64 or aarch64 is known" ;; esac
[[ $glibc =~ ^2\.[0-9]+$ ]] || die "--glibc $glibc: a version such as 2.28 was expected"
[ ! -e "$out" ] || [ -z "$(find "$out" -mindepth 1 ! -name '*.whl' -print -quit)" ] ||
    die "--out $out: it holds other things than wheels; choose a folder of its own"

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
for host_python in ${PYTHON:-} ${version:+"python$version"} python3.11 python3.12 python3.13 python3; do
    found=$(version_of "$host_python") || continue
    case $found in 3.1[1-9]) break ;; esac
    found=
done
[ -n "${found:-}" ] || die "no Python 3.11 or later here to run pip with"
version=${version:-$found}
[[ $version =~ ^3\.1[1-9]$ ]] || die "--python $version: 3.11 or later was expected"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH PYTHONHOME
say "collecting wheels for Python $version on $machine Linux (glibc $glibc)"
"$host_python" -m venv "$work/venv"
py=$work/venv/bin/python
pip() { "$py" -m pip --disable-pip-version-check "$@"; }
pins() { local name; for name in "$@"; do grep -i "^$name==" "$here/requirements.txt" | sed 's/ *#.*//'; done; }

tags=()
for minor in $(seq "${glibc#2.}" -1 5); do tags+=(--platform "manylinux_2_${minor}_$machine"); done
tags+=(--platform "manylinux2014_$machine" --platform "linux_$machine")
download() { pip download -q --only-binary :all: --python-version "$version" --implementation cp "${tags[@]}" -d "$work/wheels" "$@"; }
published() { download --no-deps "$@" >/dev/null 2>&1; }

build_fairseq() {
    [ "$found" = "$version" ] || die "no ready wheel of fairseq for Python $version: that Python must be here to build one"
    [ "$machine" = "$(uname -m)" ] || die "no ready wheel of fairseq for $machine: run this on such a machine"
    say "building fairseq (its host needs the glibc of this machine or a newer one: $(ldd --version 2>/dev/null | sed -n '1s/.* //p'))"
    # shellcheck disable=SC2046
    pip install -q --no-deps $(pins setuptools wheel cython numpy)
    # no cache: pip would give back a wheel of any earlier build, made for another NumPy or torch
    PYTHONPATH=$here/build_stub pip wheel -q --no-cache-dir --no-deps --no-build-isolation --no-binary fairseq-fixed \
        -w "$work/wheels" "$(pins fairseq-fixed)"
}
{ [ $from_source = 0 ] && published "$(pins fairseq-fixed)"; } || build_fairseq

pure=$(pins antlr4-python3-runtime jieba) # published as source, pure Python: built here, good for every Python
lists=("$here/requirements.txt")
if [ $dev = 1 ]; then
    pure="$pure $(grep '^seqeval==' "$here/requirements-dev.txt" | sed 's/ *#.*//')"
    lists+=("$here/requirements-dev.txt")
fi
# shellcheck disable=SC2086
pip wheel -q --use-pep517 --no-deps -w "$work/wheels" $pure
sed 's/ *#.*//; /^$/d' "${lists[@]}" | grep -vwiE '^(torch|fairseq-fixed|antlr4-python3-runtime|jieba|seqeval)==.*' >"$work/pins"
download --no-deps -r "$work/pins"
case $torch in
cpu) published "$(pins torch)+cpu" || download --no-deps --index-url https://download.pytorch.org/whl/cpu "$(pins torch)+cpu" ;;
cuda) download "$(pins torch),!=$(pins torch | sed 's/.*==//')+cpu" -c "$here/requirements.txt" ;;
esac

for pin in $(sed 's/ *#.*//; /^$/d' "$here/requirements-optional.txt"); do
    published "$pin" || say "left out, no wheel of $pin for Python $version on $machine"
done

mkdir -p "$(dirname "$out")"
rm -rf "$out"
mv "$work/wheels" "$out"
say "$out: $(find "$out" -name '*.whl' | wc -l) wheels, $(du -sm "$out" | cut -f1) MB${torch:+, torch among them}"
say "on the host: environment/install.sh --wheelhouse $out"
