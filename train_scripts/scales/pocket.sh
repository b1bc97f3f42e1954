# Small real corpora, fetched by hand into $SETS: about an hour a model on one GPU.
TEXT=$RUNS/data RAW=''
MAKE_TEXT=(bash preprocess/get_data.sh "$TEXT" --from-dir "${SETS:-../shared/data}")
TEXT_MADE=$TEXT TEXT_MAKES=CONTENTS.txt TEXT_FILES="$TEXT/text/*/@.*"
BPE_JOINT=16000 BPE_EACH=8000
ARCH=xling_pocket PROCESSES_OF_SCALE=1
PRETRAIN=(
  --tokens-per-sample 128 --batch-size 64
  --optimizer xling_adam --adam-betas '(0.9, 0.98)' --weight-decay 0.01 --clip-norm 1
  --lr 5e-4 --lr-scheduler polynomial_decay --warmup-updates 2000 --total-num-update 40000 --max-update 40000
  --epoch-sequences 64000 --no-epoch-checkpoints --log-interval 50 --num-workers 1 --bf16-autocast
)
LABELLED=$TEXT LABELLED_LIST=$TEXT/CONTENTS.txt GRID_OPTIONS=(--test-split dev) # there are no test sets of all tasks
