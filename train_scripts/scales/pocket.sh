# Small real corpora, fetched by hand into $SETS: 98 M tokens a model, some forty passes (en-fr); see docs/experiments.md.
TEXT=$RUNS/data RAW=''
MAKE_TEXT=(bash preprocess/get_data.sh "$TEXT" --from-dir "${SETS:-../shared/data}")
TEXT_MADE=$TEXT TEXT_MAKES=CONTENTS.txt TEXT_FILES="$TEXT/text/*/@.*"
DICTIONARIES=$TEXT/dictionaries # on which extra_anchors depends
BPE_JOINT=16000 BPE_EACH=8000
ARCH=xling_pocket PROCESSES_OF_SCALE=1 NEEDS_GPU=''
PRETRAIN=(
  --tokens-per-sample 128 --batch-size 64
  --optimizer xling_adam --adam-betas '(0.9, 0.98)' --weight-decay 0.01 --clip-norm 1
  --lr 5e-4 --lr-scheduler polynomial_decay --warmup-updates 1000 --total-num-update 12000 --max-update 12000
  --epoch-sequences 64000 --no-epoch-checkpoints --log-interval 50 --num-workers 1 ${PRECISION---bf16-autocast}
  ${SPEED---torch-compile --cuda-graph}
)
LABELLED=$TEXT LABELLED_INPUTS=()
for task in ${TASKS:-}; do LABELLED_INPUTS+=("$LABELLED/${task/parsing/ud}"); done # who has only names needs no other folder
