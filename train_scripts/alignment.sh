#!/usr/bin/env bash
# The paper's second half: monolingual and bilingual models, what aligns them, how similar they are, Figures 4 to 8.
set -euo pipefail

usage() {
  cat <<'H'
usage: train_scripts/alignment.sh --scale lab|pocket [--source LANG] [--targets LANG...] [--seeds N...]
                                  [--bilingual EXPERIMENT] [--jobs N] [--layers I...] [--no-transfer] [--dry-run]
                                  [-- OPTIONS]

Trains (through run.sh) monolingual models of all languages and a bilingual model of each pair, and, where there are
paraphrases of the source's sentences, a second monolingual model of it and a bilingual one of it with itself; measures
word translation, sentence retrieval and CKA, each beside untrained models, and transfer; draws the figures and holds the
numbers against the paper's findings. What is done is skipped, so that it goes on where it stopped.

--source, --targets  default: qaa and qab qac qad at lab, en and fr at pocket; targets from close to distant
--seeds              of the models (1)
--bilingual          experiment of the bilingual models (no_anchors)
--jobs               processes at a time, a thread each (the number of cores)
--layers             layers of the transfer in Figures 5 and 8 (0 2 4 6 8)
--no-transfer        leave Figures 5 and 8 out, which take most of the time after training
-- OPTIONS           go to fairseq-train at pretraining, as in run.sh

Everything lies in $RUNS (default runs/SCALE); numbers in $RUNS/alignment/*.jsonl, figures in $RUNS/alignment/figures, the findings
in $RUNS/alignment/findings.md, all of it with Table 1, where that is made, on one page in $RUNS/report.html.

example: train_scripts/alignment.sh --scale lab --seeds 1 2 3
H
}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
SCALE='' SOURCE='' TARGETS=() SEEDS=(1) BILINGUAL=no_anchors JOBS=$(nproc) LAYERS=(0 2 4 6 8) DRY_RUN='' TRANSFER=1
STAGES=() OVERRIDES=()
list=''
while [ $# -gt 0 ]; do
  word=$1
  shift
  case $word in
    --) OVERRIDES=("$@"); break ;;
    -h | --help) usage; exit 0 ;;
    --targets) list=TARGETS TARGETS=() ;;
    --seeds) list=SEEDS SEEDS=() ;;
    --layers) list=LAYERS LAYERS=() ;;
    --scale | --source | --bilingual | --jobs) list=$word ;;
    --no-transfer) TRANSFER='' list='' ;;
    --dry-run) DRY_RUN=1 list='' ;;
    -*) echo "alignment.sh: unknown option $word; -h shows the options" >&2; exit 2 ;;
    *)
      case $list in
        TARGETS) TARGETS+=("$word") ;;
        SEEDS) SEEDS+=("$word") ;;
        LAYERS) LAYERS+=("$word") ;;
        --scale) SCALE=$word list='' ;;
        --source) SOURCE=$word list='' ;;
        --bilingual) BILINGUAL=$word list='' ;;
        --jobs) JOBS=$word list='' ;;
        *) echo "alignment.sh: one word too many: $word; -h shows the usage" >&2; exit 2 ;;
      esac ;;
  esac
done

source "$HERE/stages.sh"
RUNS=$(runs_folder "${RUNS:-runs/$SCALE}") PYTHON=${PYTHON:-.venv/bin/python}
SOURCE_DOMAIN=wiki
case $SCALE in
  lab) default_source=qaa default_targets=(qab qac qad) head=(--epochs 3 --learning-rate 1e-3 --arc-dim 64 --label-dim 32) ;;
  pocket) SOURCE_DOMAIN=all default_source=en default_targets=(fr) head=(--epochs 5 --learning-rate 3e-4) ;;
  *) die "--scale '$SCALE': expected lab or pocket" ;;
esac
[[ $JOBS =~ ^[1-9][0-9]*$ ]] || die "--jobs $JOBS: expected a number from 1" # 0 would wait for ever
for number in "${SEEDS[@]}" "${LAYERS[@]}"; do
  [[ $number =~ ^[0-9]+$ ]] || die "'$number': expected numbers for --seeds and --layers"
done
[ -f "$HERE/experiments/$BILINGUAL.sh" ] || die "--bilingual $BILINGUAL: no such experiment in train_scripts/experiments"
[ -f "$HERE/scales/$SCALE.sh" ] || die "there is no scales/$SCALE.sh"
source "$HERE/scales/$SCALE.sh"
SOURCE=${SOURCE:-$default_source}
[ ${#TARGETS[@]} -gt 0 ] || TARGETS=("${default_targets[@]}")
OUT=$RUNS/alignment
TWIN=qap # the source language's code in the bilingual model of the source with itself
export OMP_NUM_THREADS=1 RUNS
ALIGNER=fast_align
if [ -n "$TRANSFER" ] && [ -z "$DRY_RUN" ] && ! "$PYTHON" -c 'import systran_align' 2> /dev/null; then
  ALIGNER=eflomal # better asked now than after hours of training
  [ -e "$(dirname "$PYTHON")/eflomal-align" ] || command -v eflomal-align > /dev/null ||
    die "Figures 5 and 8 need a word aligner: $PYTHON -m pip install systran-align==3.5.0 (Python 3.11), or eflomal==2.0.0; or leave them out with --no-transfer"
fi

# job COMMAND...: in the background, at most JOBS at a time; a failure is remembered: as 2 if all were bad input, else as
# 1, after which a job of submit.sh is started again.
FAILED=0
failed() { if [ "$1" = 2 ] && [ "$FAILED" != 1 ]; then FAILED=2; else FAILED=1; fi; }
job() {
  if [ -n "$DRY_RUN" ]; then "$@"; return; fi
  while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n || failed $?; done
  "$@" &
}
all_done() {
  while [ -n "$(jobs -p)" ]; do wait -n || failed $?; done
  [ "$FAILED" = 0 ] || { say "a part failed, see above; what was finished is kept, run it again to go on"; exit "$FAILED"; }
}
# A signal goes to all jobs, which save; it ends when they have ended.
stop_jobs() {
  trap '' TERM USR1 INT HUP
  say "stopping what runs; the same command goes on from there"
  kill -TERM $(jobs -p) 2> /dev/null || true
  wait
  exit 75
}
train() { # EXPERIMENT PAIR SEED STAGE
  passing_signals_on bash "$HERE/run.sh" "$1" "$2" --scale "$SCALE" --seed "$3" --stage "$4" ${DRY_RUN:+--dry-run} -- "${OVERRIDES[@]}"
}
model() { printf '%s/%s/%s/seed%s/checkpoint_best.pt' "$RUNS" "$1" "$2" "$3"; }
# measure NAME INPUT... -- COMMAND...: a stage whose output is its own results file
measure() {
  local name=$1 output=$OUT/$1.jsonl MAKES='' WHEN_CHANGED=remove
  shift
  INPUTS=()
  while [ "$1" != -- ]; do INPUTS+=("$1"); shift; done
  shift
  stage "$name" "$output" "$PYTHON" "$@" --results "$output"
}

# 1. models
train mono "$SOURCE" 1 text
PARAPHRASES=$TEXT/paraphrases/$SOURCE.tsv
[ -f "$PARAPHRASES" ] || [ -n "$DRY_RUN" ] || PARAPHRASES=''
[ -n "$PARAPHRASES" ] ||
  say "no $TEXT/paraphrases/$SOURCE.tsv: Figure 7 has no column of paraphrases; eval/paraphrase.py makes them"
if [ -z "$DRY_RUN" ] && [ -n "$PARAPHRASES" ]; then
  for split in train valid test; do # the source language under a second code, for a bilingual model of it with itself
    text=$TEXT/text/$SOURCE_DOMAIN/$SOURCE.$split.txt
    [ ! -f "$text" ] || ln -sfn "$(basename "$text")" "$TEXT/text/$SOURCE_DOMAIN/$TWIN.$split.txt"
  done
  "$PYTHON" -c 'import sys, pathlib; from fairseq_xling.corpus.notes import note_second_code as note
note(pathlib.Path(sys.argv[1]), *sys.argv[2:])' "$TEXT/text/$SOURCE_DOMAIN" "$SOURCE" "$TWIN"
fi
models=("mono $SOURCE")
[ -z "$PARAPHRASES" ] || models+=("sep_emb $SOURCE-$TWIN")
for target in "${TARGETS[@]}"; do models+=("mono $target" "$BILINGUAL $SOURCE-$target"); done
trap stop_jobs TERM USR1 INT HUP
for each in "${models[@]}"; do job train ${each} 1 vocabulary; done
all_done
for seed in "${SEEDS[@]}"; do
  for each in "${models[@]}"; do job train ${each} "$seed" pretrain; done
  [ -z "$PARAPHRASES" ] || [[ " ${SEEDS[*]} " == *" $((seed + 1)) "* ]] || job train mono "$SOURCE" $((seed + 1)) pretrain
done
all_done

# 2. measures
tatoeba() { # the two files of a pair with English, if there are any
  local -A code=([fr]=fra [ru]=rus [zh]=cmn [de]=deu)
  local stem="$TEXT/tatoeba/tatoeba.${code[$1]:-$1}-eng"
  [ "$SOURCE" = en ] && [ -f "$stem.eng" ] && printf '%s\n' "$stem.eng" "$stem.${code[$1]:-$1}"
}
for seed in "${SEEDS[@]}"; do
  mono=$(model mono "$SOURCE" "$seed")
  number=$((100 * seed))
  for language in "$SOURCE" "${TARGETS[@]}"; do
    number=$((number + 1))
    INPUTS=("$(model mono "$language" "$seed")" "$TEXT/text/$SOURCE_DOMAIN/$language.train.txt")
    for kind in mono random; do
      MAKES=words.tsv job stage "words-$kind-$language-seed$seed" "$OUT/words/$kind/$language/seed$seed" "$PYTHON" eval/extract.py \
        "$language=${INPUTS[0]}" "${INPUTS[1]}" "$OUT/words/$kind/$language/seed$seed" --words --limit 500000 \
        $([ $kind = mono ] || echo --untrained "$number")
    done
  done
  for target in "${TARGETS[@]}"; do
    pair=$SOURCE-$target
    other=$(model mono "$target" "$seed") both=$(model "$BILINGUAL" "$pair" "$seed")
    apart=(--source "$SOURCE=$mono" --target "$target=$other" --scale "$SCALE" --seed "$seed" --pair "$pair")
    joint=(--source "$SOURCE=$both" --target "$target=$both" --scale "$SCALE" --seed "$seed" --pair "$pair")
    mapfile -t test < <(tatoeba "$target" || true)
    [ ${#test[@]} -gt 0 ] || test=("$TEXT/parallel/test.tsv")
    learn=(--supervision "$TEXT/parallel/train.tsv")
    untrained=(--untrained both --experiment random:mono)
    in=("$mono" "$other" "${test[@]}" "$TEXT/parallel/train.tsv")
    job measure "retrieval-mono-$pair-seed$seed" "${in[@]}" -- eval/sentence_retrieval.py "${apart[@]}" \
      --test "${test[@]}" "${learn[@]}" --experiment mono
    job measure "retrieval-random-$pair-seed$seed" "${in[@]}" -- eval/sentence_retrieval.py "${apart[@]}" \
      --test "${test[@]}" "${learn[@]}" "${untrained[@]}"
    job measure "retrieval-$BILINGUAL-$pair-seed$seed" "$both" "${test[@]}" -- eval/sentence_retrieval.py \
      "${joint[@]}" --test "${test[@]}" --experiment "$BILINGUAL"
    parallel=(--parallel "$TEXT/parallel/train.tsv")
    job measure "cka-mono-$pair-seed$seed" "${in[@]}" -- eval/cka.py "${apart[@]}" "${parallel[@]}" --experiment mono
    job measure "cka-random-$pair-seed$seed" "${in[@]}" -- eval/cka.py "${apart[@]}" "${parallel[@]}" \
      --untrained target --experiment random:mono
    job measure "cka-$BILINGUAL-$pair-seed$seed" "$both" "${in[@]}" -- eval/cka.py "${joint[@]}" "${parallel[@]}" \
      --experiment "$BILINGUAL"
    dictionary=(--test "$TEXT/dictionaries/$pair.test.txt")
    maps=(--train "$TEXT/dictionaries/$pair.train.txt")
    in=("$mono" "$other" "$TEXT/dictionaries/$pair.test.txt" "$TEXT/dictionaries/$pair.train.txt")
    job measure "words-mono-$pair-seed$seed" "${in[@]}" -- eval/word_translation.py "${apart[@]}" "${dictionary[@]}" \
      "${maps[@]}" --experiment mono
    job measure "words-random-$pair-seed$seed" "${in[@]}" -- eval/word_translation.py "${apart[@]}" \
      "${dictionary[@]}" "${maps[@]}" "${untrained[@]}"
    job measure "words-$BILINGUAL-$pair-seed$seed" "$both" "${in[@]}" -- eval/word_translation.py "${joint[@]}" \
      "${dictionary[@]}" --experiment "$BILINGUAL"
    [ -n "$TRANSFER" ] || continue
    for task in ner parsing; do
      gold=$TEXT/$task
      [ $task = ner ] || gold=$TEXT/ud
      transfer=(--task "$task" --gold "$gold" --layers "${LAYERS[@]}" "${head[@]}" "${parallel[@]}" --aligner "$ALIGNER")
      [ -n "$(find "$gold" -name "$target[.-]test.*" 2> /dev/null)" ] || transfer+=(--split dev)
      job measure "contextual-$task-mono-$pair-seed$seed" "${in[@]}" "$gold" "$TEXT/parallel/train.tsv" -- eval/contextual.py "${apart[@]}" \
        "${transfer[@]}" --experiment mono
      job measure "contextual-$task-$BILINGUAL-$pair-seed$seed" "$both" "$gold" "$TEXT/parallel/train.tsv" -- eval/contextual.py "${joint[@]}" \
        "${transfer[@]}" --experiment "$BILINGUAL"
    done
  done
  if [ -n "$PARAPHRASES" ]; then
    self=(--parallel "$PARAPHRASES" --columns 1 2 --scale "$SCALE" --seed "$seed" --pair "$SOURCE-$SOURCE'")
    twins=$(model sep_emb "$SOURCE-$TWIN" "$seed") second=$(model mono "$SOURCE" $((seed + 1)))
    job measure "cka-mono-paraphrases-seed$seed" "$mono" "$second" "$PARAPHRASES" -- eval/cka.py "${self[@]}" \
      --source "$SOURCE=$mono" --target "$SOURCE=$second" --experiment mono
    job measure "cka-random-paraphrases-seed$seed" "$mono" "$second" "$PARAPHRASES" -- eval/cka.py "${self[@]}" \
      --source "$SOURCE=$mono" --target "$SOURCE=$second" --untrained target --experiment random:mono
    job measure "cka-$BILINGUAL-paraphrases-seed$seed" "$twins" "$PARAPHRASES" -- eval/cka.py "${self[@]}" \
      --source "$SOURCE=$twins" --target "$TWIN=$twins" --experiment "$BILINGUAL"
  fi
done
all_done
for seed in "${SEEDS[@]}"; do
  for target in "${TARGETS[@]}"; do
    pair=$SOURCE-$target
    apart=(--source "$SOURCE=$(model mono "$SOURCE" "$seed")" --target "$target=$(model mono "$target" "$seed")")
    dictionaries=("$TEXT/dictionaries/$pair.test.txt" "$TEXT/dictionaries/$pair.train.txt")
    for kind in mono random; do
      means=("$OUT/words/$kind/$SOURCE/seed$seed" "$OUT/words/$kind/$target/seed$seed")
      experiment=mono
      [ $kind = mono ] || experiment=random:mono
      job measure "contextual-words-$kind-$pair-seed$seed" "${means[@]}" "${dictionaries[@]}" -- eval/word_translation.py \
        "${apart[@]}" --means "${means[@]}" --test "${dictionaries[0]}" --train "${dictionaries[1]}" \
        --scale "$SCALE" --seed "$seed" --pair "$pair" --experiment "$experiment"
    done
  done
done
all_done

# 3. figures
[ -z "$DRY_RUN" ] || exit 0
"$PYTHON" eval/figures.py "$OUT"/*.jsonl --out "$OUT/figures" --scale "$SCALE" --bilingual "$BILINGUAL"
"$PYTHON" eval/shapes.py "$OUT"/*.jsonl --scale "$SCALE" --bilingual "$BILINGUAL" \
  --close-to-distant "${TARGETS[@]/#/$SOURCE-}" --out "$OUT/findings.md"
"$PYTHON" eval/report.py "$RUNS" --out "$RUNS/report.html" --scale "$SCALE" --bilingual "$BILINGUAL" \
  --close-to-distant "${TARGETS[@]/#/$SOURCE-}"
