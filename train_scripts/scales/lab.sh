# The invented world: about a minute a model on one CPU core.
BPE_JOINT=1600 BPE_EACH=800
ARCH=xling_lab
TEXT=$RUNS/lab
MAKE_TEXT=("$PYTHON" -m fairseq_xling.lab "$RUNS/lab" --seed "${WORLD:-1}")
VOCABULARY_OPTIONS=(--character-coverage 1 --shrink)
PRETRAIN=(
  --blocks sentence --tokens-per-sample 64 --batch-size 32
  --optimizer xling_adam --adam-betas '(0.9, 0.98)' --weight-decay 0.01 --clip-norm 1
  --lr 3e-3 --lr-scheduler polynomial_decay --warmup-updates 300 --total-num-update 2000 --max-update 2000
  --no-epoch-checkpoints --log-interval 25 --num-workers 0
)
