#!/usr/bin/env bash
# One GPU: matrix rate, our pretraining and stock fairseq's, utilisation, a short profile; within five minutes.
# Without a GPU: one line, status 3. Options are those of benchmarks/gpu.py (-h); --tiny runs all of it anywhere.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
case " $* " in
  *' --tiny '* | *' -h '* | *' --help '*) ;;
  *)
    if ! nvidia-smi -L > /dev/null 2>&1; then
      echo 'benchmarks/gpu.sh: no GPU here, nothing measured' >&2
      exit 3
    fi
    ;;
esac
exec timeout --kill-after=10 300 "$PYTHON" benchmarks/gpu.py "$@"
