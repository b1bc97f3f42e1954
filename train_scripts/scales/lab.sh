# The invented world: about two minutes a model on one CPU core.
TEXT=$RUNS/lab RAW=''
MAKE_TEXT=("$PYTHON" -m fairseq_xling.lab "$TEXT" --seed "${WORLD:-1}" ${LAB_OPTIONS:-})
TEXT_MADE=$TEXT TEXT_MAKES=manifest.json TEXT_FILES="$TEXT/text/*/@.*"
DICTIONARIES=$TEXT/dictionaries # on which extra_anchors depends
BPE_JOINT=1600 BPE_EACH=800
ARCH=xling_lab PROCESSES_OF_SCALE=1 NEEDS_GPU=''
PRETRAIN=(
  --blocks sentence --tokens-per-sample 64 --batch-size 16
  --optimizer xling_adam --adam-betas '(0.9, 0.98)' --weight-decay 0.01 --clip-norm 1
  --lr 3e-3 --lr-scheduler polynomial_decay --warmup-updates 300 --total-num-update 3500 --max-update 3500
  --no-epoch-checkpoints --log-interval 25 --num-workers 0
)
LABELLED=$TEXT LABELLED_INPUTS=("$TEXT/manifest.json")
