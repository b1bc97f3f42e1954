#!/usr/bin/env bash
# The pocket scale as two CPU cores can train it: real text, width 128, some 6 M tokens a model.
set -euo pipefail

usage() {
  cat <<'H'
usage: train_scripts/pocket_cpu.sh run.sh|table1.sh|alignment.sh ARGUMENTS...

Calls the script with --scale pocket and a recipe for CPUs: width 128, no dropout, layer norm before sublayers, batches
of 16 sentences, $UPDATES updates (default 12,000: about 25 minutes a model on one core), and the grid
eval/grids/pocket_cpu.toml, which is shorter than the paper's. ARGUMENTS are those of the script, but for OPTIONS after --.
Everything lies in $RUNS (default runs/pocket-cpu).

example, one row of Table 1 and the alignment of models trained apart:
  UPDATES=36000 train_scripts/pocket_cpu.sh run.sh default en-fr
  train_scripts/pocket_cpu.sh alignment.sh --targets fr --no-transfer
H
}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case ${1:-} in
  run.sh | table1.sh | alignment.sh) ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
UPDATES=${UPDATES:-12000}
RECIPE=(
  --cpu --encoder-embed-dim 128 --encoder-ffn-embed-dim 512 --encoder-normalize-before --init-std 0.05
  --dropout 0 --attention-dropout 0 --blocks sentence --tokens-per-sample 64 --batch-size 16
  --lr 2e-3 --warmup-updates 300 --total-num-update "$UPDATES" --max-update "$UPDATES" --epoch-sequences 32000
)
script=$1
shift
export PRECISION='' # bf16 pays from width 192 or so on
export RUNS=${RUNS:-runs/pocket-cpu} GRID_FILE=${GRID_FILE:-eval/grids/pocket_cpu.toml}
exec bash "$HERE/$script" "$@" --scale pocket -- "${RECIPE[@]}"
