#!/usr/bin/env bash
# Table 1: all ten experiments for some pairs and seeds, one after the other, then the table.
set -euo pipefail

usage() {
  cat <<'H'
usage: train_scripts/table1.sh --scale lab|pocket|paper [--pairs "P ..."] [--seeds "N ..."] [--experiments "E ..."]
                               [--table-only] [--dry-run] [-- OPTIONS]

--pairs        default: qaa-qab qaa-qac qaa-qad at lab, en-fr en-ru en-zh otherwise
--seeds        of the models (1)
--experiments  default: the ten rows
--table-only   make the table from what is there
-- OPTIONS     go to fairseq-train at pretraining, as in run.sh

Scores lie in $RUNS/transfer, the table and Figure 3 in $RUNS/tables ($RUNS: runs/SCALE), all that was measured so far
on one page in $RUNS/report.html. What is done is skipped.
On a cluster: train_scripts/submit.sh table1 sends the same as jobs.

example: train_scripts/table1.sh --scale lab --pairs qaa-qab --seeds "1 2 3"
H
}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
source "$HERE/stages.sh"
SCALE='' PAIRS='' SEEDS=1 ONLY='' OVERRIDES=() DRY_RUN=()
EXPERIMENTS='default wiki_cc no_anchors default_anchors extra_anchors sep_emb sep_l1-3 sep_l1-6 sep_emb_l1-3 sep_emb_l1-6'
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --scale | --pairs | --seeds | --experiments)
      [ $# -gt 1 ] || die "$1 needs a value"
      case $1 in --scale) SCALE=$2 ;; --pairs) PAIRS=$2 ;; --seeds) SEEDS=$2 ;; --experiments) EXPERIMENTS=$2 ;; esac
      shift 2 ;;
    --table-only) ONLY=1; shift ;;
    --dry-run) DRY_RUN=(--dry-run); shift ;;
    --) shift; OVERRIDES=("$@"); break ;;
    *) die "unknown option $1; -h shows the options" ;;
  esac
done
[ -f "$HERE/scales/$SCALE.sh" ] || die "--scale '$SCALE': expected lab, pocket or paper"
RUNS=$(runs_folder "${RUNS:-runs/$SCALE}")
export RUNS
if [ -z "$PAIRS" ]; then
  PAIRS='en-fr en-ru en-zh'
  [ "$SCALE" != lab ] || PAIRS='qaa-qab qaa-qac qaa-qad'
fi

results=()
for pair in $PAIRS; do
  for experiment in $EXPERIMENTS; do
    for seed in $SEEDS; do
      [ -n "$ONLY" ] || passing_signals_on bash "$HERE/run.sh" "$experiment" "$pair" --scale "$SCALE" --seed "$seed" \
        "${DRY_RUN[@]}" -- "${OVERRIDES[@]}" || exit $?
      file=$RUNS/transfer/$experiment/$pair/seed$seed/results.jsonl
      if [ -z "$ONLY" ] || [ -f "$file" ]; then results+=("$file"); else say "not there yet: $file"; fi
    done
  done
done
[ ${#DRY_RUN[@]} -eq 0 ] || exit 0
[ ${#results[@]} -gt 0 ] || die "none of these rows has scores in $RUNS/transfer"
"${PYTHON:-.venv/bin/python}" eval/table1.py "${results[@]}" --scale "$SCALE" --pairs $PAIRS --out "$RUNS/tables"
"${PYTHON:-.venv/bin/python}" eval/report.py "$RUNS" --out "$RUNS/report.html" --scale "$SCALE"
