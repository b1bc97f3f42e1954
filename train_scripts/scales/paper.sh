# The paper's recipe (section 3.1); what its text leaves out is as in XLM, whose code it used.
TEXT=$RUNS/data RAW=${RAW:-$RUNS/raw} also=''
case $CONDITION in
  wiki_cc)
    also=" && preprocess/get_data.sh \"$RAW\" --sets cc100 --langs $TARGET"
    TEXT_ALSO=("$RAW/cc100/$TARGET.txt.xz") ;;
  extra_anchors) also=" && preprocess/get_data.sh \"$RAW\" --sets panlex" ;;
esac
TEXT_MADE=$RAW/$PAIR${also:+-$CONDITION}.fetched TEXT_MAKES='' TEXT_FILES="$RAW/wiki/@wiki-*.xml*"
MAKE_TEXT=(bash -c "preprocess/get_data.sh \"$RAW\" --sets wiki --langs \"${LANGUAGES[*]}\"$also && touch \"$TEXT_MADE\"")
BPE_JOINT=80000 BPE_EACH=40000
ARCH=xling_base PROCESSES_OF_SCALE=8 NEEDS_GPU=1
# 200 "epochs" of 200,000 sequences a GPU on 8 GPUs: 416,800 updates of 8 x 96 x 256 tokens, 82 G tokens. Here one process
# accumulates 8 batches; 8 processes take one each.
PRETRAIN=(
  --blocks stream --tokens-per-sample 256 --batch-size 96 --update-freq 8
  --epoch-sequences 1600000 --max-update 416800
  --lang-sampling-alpha 0.7 --mask-prob 0.15 --dropout 0.1 --attention-dropout 0.1
  --optimizer xling_adam --adam-betas '(0.9, 0.999)' --adam-eps 1e-6 --weight-decay 0.01 --clip-norm 5
  --lr 1e-4 --lr-scheduler inverse_sqrt --warmup-init-lr 1e-7 --warmup-updates 30000
  --bf16-autocast --no-epoch-checkpoints --log-interval 100 --num-workers 2
  ${SPEED---torch-compile --cuda-graph}
)
LABELLED=${LABELLED:-$RUNS/labelled} LABELLED_INPUTS=()
for task in ${TASKS:-}; do LABELLED_INPUTS+=("$LABELLED/${task/parsing/ud}"); done # who has only names needs no other folder
