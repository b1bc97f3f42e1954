#!/usr/bin/env bash
# One experiment of Table 1 for one pair of languages, from text to scores.
set -euo pipefail

usage() {
  cat <<'H'
usage: train_scripts/run.sh EXPERIMENT PAIR --scale lab|pocket|paper [--seed N] [--stage NAME]... [--processes N]
                            [--dry-run] [-- OPTIONS]

EXPERIMENT   one of train_scripts/experiments/: default wiki_cc no_anchors default_anchors extra_anchors
             sep_emb sep_l1-3 sep_l1-6 sep_emb_l1-3 sep_emb_l1-6; mono; random
PAIR         two language codes, as en-fr or, at lab scale, qaa-qab; one code for mono
--scale      lab: an invented world, about two minutes a model; pocket: small real text; paper: the paper's recipe
--seed       of the model and of the order of its data (default 1)
--stage      text, vocabulary, pretrain or finetune; several may be given (default: all; mono has no finetune)
--processes  of pretraining on this machine, one a GPU (default: what the scale says; under Slurm: its tasks);
             an update has the same number of sequences whatever their number
--jobs       fine-tuning runs at a time (default 1)
--tasks      with finetune: some of "nli ner parsing"
--part I/N   with finetune: only each N-th setting of the grids, from the I-th; another call with --scores follows
--scores     with finetune, when all parts are done: the means of the best settings, for which no GPU is needed; it
             fine-tunes nothing, and says which settings are missing
--dry-run    print the commands, which work when pasted, and run nothing
-- OPTIONS   go to fairseq-train at pretraining, after all others, and so override them

Everything lies in $RUNS (default runs/SCALE). A stage that is done is skipped, one that was interrupted goes on
where it stopped, one whose inputs changed is done again. Ctrl-C, SIGTERM and SIGUSR1 save after the current update.
Exit status: 0 done, 75 stopped by a signal (run it again to go on), 2 bad input, else a stage failed.
Variables: $GRID_FILE, another grid of fine-tuning than the scale's; at lab, $WORLD, the world's seed (1), and
$LAB_OPTIONS, options of python -m fairseq_xling.lab; at pocket, $SETS, the folder of the sets; at paper, $RAW, the
folder of downloads, and $LABELLED, the folder with nli/, ner/ and ud/.

example: train_scripts/run.sh no_anchors qaa-qab --scale lab --seed 2
H
}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
source "$HERE/stages.sh"
EXPERIMENT='' PAIR='' SCALE='' SEED=1 DRY_RUN='' STAGES=() OVERRIDES=() PROCESSES='' JOBS=1 TASKS='nli ner parsing' PART='' ONLY_SCORES=''
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --scale | --seed | --stage | --processes | --jobs | --tasks | --part)
      [ $# -gt 1 ] || die "$1 needs a value"
      case $1 in
        --scale) SCALE=$2 ;; --seed) SEED=$2 ;; --stage) STAGES+=("$2") ;; --processes) PROCESSES=$2 ;;
        --jobs) JOBS=$2 ;; --tasks) TASKS=$2 ;; --part) PART=$2 ;;
      esac
      shift 2 ;;
    --scores) ONLY_SCORES=1; shift ;;
    --dry-run) DRY_RUN=1; shift ;;
    --) shift; OVERRIDES=("$@"); break ;;
    -*) die "unknown option $1; -h shows the options" ;;
    *)
      if [ -z "$EXPERIMENT" ]; then EXPERIMENT=$1; elif [ -z "$PAIR" ]; then PAIR=$1; else
        die "one word too many: $1; -h shows the usage"
      fi
      shift ;;
  esac
done

[ -n "$PAIR" ] || { usage >&2; exit 2; }
[ -f "$HERE/experiments/$EXPERIMENT.sh" ] || die "no experiment '$EXPERIMENT'; there are $(cd "$HERE/experiments" && ls | sed 's/\.sh$//' | xargs)"
[ -f "$HERE/scales/$SCALE.sh" ] || die "--scale '$SCALE': expected lab, pocket or paper"
for number in "$SEED" "$JOBS" "${PROCESSES:-1}"; do
  [[ $number =~ ^[0-9]+$ ]] || die "'$number': expected a number for --seed, --jobs and --processes"
done
for name in "${STAGES[@]}"; do
  [[ " text vocabulary pretrain finetune " == *" $name "* ]] || die "no stage '$name'; there are text, vocabulary, pretrain and finetune"
done
[[ $PAIR != *-*-* ]] || die "PAIR '$PAIR': expected one hyphen; a language code has none, so write pt_br for pt-br"
IFS=- read -r SOURCE TARGET <<< "$PAIR"
LANGUAGES=("$SOURCE" ${TARGET:+"$TARGET"})
RUNS=$(runs_folder "${RUNS:-runs/$SCALE}")
PYTHON=${PYTHON:-.venv/bin/python}
FAIRSEQ_TRAIN=${FAIRSEQ_TRAIN:-.venv/bin/fairseq-train}

# What an experiment may change; see experiments/.
CONDITION=default SEPARATE='' CHANGES=() TEXT_ALSO=() DICTIONARIES=''
source "$HERE/experiments/$EXPERIMENT.sh"
source "$HERE/scales/$SCALE.sh"
DATA=$RUNS/data-bin/$CONDITION/$PAIR
MODEL=$RUNS/$EXPERIMENT/$PAIR/seed$SEED
SCORES=$RUNS/transfer/$EXPERIMENT/$PAIR/seed$SEED

INPUTS=() MAKES=$TEXT_MAKES WHEN_CHANGED=update
stage text "$TEXT_MADE" "${MAKE_TEXT[@]}"

INPUTS=("${TEXT_ALSO[@]}")
for lang in "${LANGUAGES[@]}"; do # files of text, by a pattern with @ for the language
  found=$(compgen -G "${TEXT_FILES//@/$lang}" || printf '%s' "${TEXT_FILES//@/$lang}")
  mapfile -t -O "${#INPUTS[@]}" INPUTS <<< "$found"
done
if [ "$CONDITION" = extra_anchors ] && [ -n "$DICTIONARIES" ]; then # the pair's, or those of both with English
  for pair in "$SOURCE-$TARGET" "$TARGET-$SOURCE" "$SOURCE-en" "en-$SOURCE" "$TARGET-en" "en-$TARGET"; do
    [ ! -f "$DICTIONARIES/$pair.weighted.tsv" ] || INPUTS+=("$DICTIONARIES/$pair.weighted.tsv")
  done
fi
MAKES=manifest.json WHEN_CHANGED=remove
stage vocabulary "$DATA" "$PYTHON" preprocess/condition.py "$CONDITION" "$PAIR" --scale "$SCALE" --text "$TEXT" \
  ${RAW:+--raw "$RAW"} --out "$DATA" --bpe-joint "$BPE_JOINT" --bpe-each "$BPE_EACH"

# One process trains alone; several are started by Slurm, where this is one of its jobs, or by torchrun.
LAUNCH=()
PROCESSES=${PROCESSES:-${SLURM_NTASKS:-$PROCESSES_OF_SCALE}}
if [ "$PROCESSES" -gt 1 ] && [ -n "${SLURM_JOB_ID:-}" ]; then
  LAUNCH=(srun --kill-on-bad-exit=1 --ntasks "$PROCESSES" ${SLURM_CPUS_PER_TASK:+--cpus-per-task "$SLURM_CPUS_PER_TASK"})
  LAUNCH+=("$PYTHON" -m fairseq_xling.runs.process)
elif [ "$PROCESSES" -gt 1 ]; then
  LAUNCH=("$PYTHON" -m torch.distributed.run --standalone --nproc-per-node "$PROCESSES" -m fairseq_xling.runs.process)
fi
INPUTS=("$DATA/manifest.json")
MAKES=checkpoint_best.pt WHEN_CHANGED=keep GPUS=0
[ -z "$NEEDS_GPU" ] || GPUS=${SLURM_NTASKS_PER_NODE:-$PROCESSES}
stage pretrain "$MODEL" "${LAUNCH[@]}" "$FAIRSEQ_TRAIN" "$DATA" --user-dir fairseq_xling \
  --task xling_masked_lm --criterion xling_masked_lm --arch "$ARCH" --separate "$SEPARATE" \
  --seed "$SEED" --save-dir "$MODEL" --log-format json --best-checkpoint-metric "nats_$SOURCE" \
  --distributed-world-size 1 "${PRETRAIN[@]}" "${CHANGES[@]}" "${OVERRIDES[@]}"

[ -n "$TARGET" ] || exit 0 # nothing to transfer to
GPUS=${NEEDS_GPU:-0}
INPUTS=("$MODEL/checkpoint_best.pt" "$DATA/manifest.json" "${GRID_FILE:-eval/grids/$SCALE.toml}" "${LABELLED_INPUTS[@]}")
[ -z "$ONLY_SCORES" ] || GPUS=0
MAKES=results.jsonl WHEN_CHANGED=update
GRID=("$PYTHON" eval/grid.py "$MODEL/checkpoint_best.pt" --vocabulary "$DATA" --data "$LABELLED" --pair "$PAIR")
GRID+=(--experiment "$EXPERIMENT" --out "$SCORES" --scale "$SCALE" --seed "$SEED" --jobs "$JOBS" --tasks $TASKS)
[ -z "${GRID_FILE:-}" ] || GRID+=(--grid "$GRID_FILE")
if [ -z "$PART" ]; then
  [ -z "$ONLY_SCORES" ] || GRID+=(--scores)
  stage finetune "$SCORES" "${GRID[@]}"
elif wanted finetune; then # a part has no record of its own; the grid knows which settings are done
  passing_signals_on "${GRID[@]}" --part "$PART"
fi
