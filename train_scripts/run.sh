#!/usr/bin/env bash
# One experiment of Table 1 for one pair of languages, from text to scores.
set -euo pipefail

usage() {
  cat <<'H'
usage: train_scripts/run.sh EXPERIMENT PAIR --scale lab|pocket|paper [--seed N] [--stage NAME]... [--dry-run] [-- OPTIONS]

EXPERIMENT   one of train_scripts/experiments/: default wiki_cc no_anchors default_anchors extra_anchors
             sep_emb sep_l1-3 sep_l1-6 sep_emb_l1-3 sep_emb_l1-6 mono
PAIR         two language codes, as en-fr or, at lab scale, qaa-qab; one code for mono
--scale      lab: an invented world, about a minute a model; pocket: small real text; paper: the paper's recipe
--seed       of the model and of the order of its data (default 1)
--stage      text, vocabulary or pretrain; several may be given (default: all)
--dry-run    print the commands, which work when pasted, and run nothing
-- OPTIONS   go to fairseq-train at pretraining, after all others, and so override them

Everything lies in $RUNS (default runs/SCALE). A stage that is done is skipped, one that was interrupted goes on
where it stopped, one whose inputs changed is done again.

example: train_scripts/run.sh no_anchors qaa-qab --scale lab --seed 2
H
}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
EXPERIMENT='' PAIR='' SCALE='' SEED=1 DRY_RUN='' STAGES=() OVERRIDES=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --scale | --seed | --stage)
      [ $# -gt 1 ] || { echo "run.sh: $1 needs a value" >&2; exit 2; }
      case $1 in --scale) SCALE=$2 ;; --seed) SEED=$2 ;; --stage) STAGES+=("$2") ;; esac
      shift 2 ;;
    --dry-run) DRY_RUN=1; shift ;;
    --) shift; OVERRIDES=("$@"); break ;;
    -*) echo "run.sh: unknown option $1; -h shows the options" >&2; exit 2 ;;
    *)
      if [ -z "$EXPERIMENT" ]; then EXPERIMENT=$1; elif [ -z "$PAIR" ]; then PAIR=$1; else
        echo "run.sh: one word too many: $1; -h shows the usage" >&2; exit 2
      fi
      shift ;;
  esac
done

source "$HERE/stages.sh"
[ -n "$PAIR" ] || { usage >&2; exit 2; }
[ -f "$HERE/experiments/$EXPERIMENT.sh" ] || die "no experiment '$EXPERIMENT'; there are $(cd "$HERE/experiments" && ls | sed 's/\.sh$//' | xargs)"
[ -f "$HERE/scales/$SCALE.sh" ] || die "--scale '$SCALE': expected lab, pocket or paper"
[[ $SEED =~ ^[0-9]+$ ]] || die "--seed '$SEED': expected a number"
for name in "${STAGES[@]}"; do
  [[ " text vocabulary pretrain " == *" $name "* ]] || die "no stage '$name'; there are text, vocabulary and pretrain"
done
IFS=- read -r SOURCE TARGET <<< "$PAIR"
LANGUAGES=("$SOURCE" ${TARGET:+"$TARGET"})
RUNS=${RUNS:-runs/$SCALE}
PYTHON=${PYTHON:-.venv/bin/python}
FAIRSEQ_TRAIN=${FAIRSEQ_TRAIN:-.venv/bin/fairseq-train}

# What an experiment may change; see experiments/.
MODE=joint SEPARATE='' TARGET_DOMAIN=wiki SOURCE_DOMAIN=wiki CODE_SWITCH=''
source "$HERE/scales/$SCALE.sh"
source "$HERE/experiments/$EXPERIMENT.sh"

TEXT=${TEXT:-$RUNS/text}
VOCABULARY=$MODE
[ "$TARGET_DOMAIN" = wiki ] || VOCABULARY+=-$TARGET_DOMAIN
[ -z "$CODE_SWITCH" ] || VOCABULARY+=-anchors
DATA=$RUNS/data-bin/$VOCABULARY/$PAIR
MODEL=$RUNS/$EXPERIMENT/$PAIR/seed$SEED

INPUTS=()
stage text "$TEXT" "${MAKE_TEXT[@]}"

text_arguments=("$SOURCE=$TEXT/text/$SOURCE_DOMAIN/$SOURCE")
[ -z "$TARGET" ] || text_arguments+=("$TARGET=$TEXT/text/$TARGET_DOMAIN/$TARGET")
INPUTS=("${text_arguments[@]#*=}")
INPUTS=("${INPUTS[@]/%/.train.txt}")
stage vocabulary "$DATA" "$PYTHON" preprocess/build_databin.py "$DATA" --text "${text_arguments[@]}" \
  --mode "$MODE" --bpe-size "$([ "$MODE" = joint ] && echo "$BPE_JOINT" || echo "$BPE_EACH")" "${VOCABULARY_OPTIONS[@]}"

INPUTS=("$DATA/manifest.json")
stage pretrain "$MODEL/checkpoint_last.pt" "$FAIRSEQ_TRAIN" "$DATA" --user-dir fairseq_xling \
  --task xling_masked_lm --criterion xling_masked_lm --arch "$ARCH" --separate "$SEPARATE" \
  --seed "$SEED" --save-dir "$MODEL" --log-format json "${PRETRAIN[@]}" "${OVERRIDES[@]}"
