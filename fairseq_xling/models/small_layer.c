/*
 * Forward and backward pass of one narrow Transformer layer (layers.TransformerLayer without dropout), in float32, by
 * one thread. `small_layer.py` compiles this file and calls layer_sizes, layer_forward and layer_backward.
 *
 * A batch is taken in parts of whole sentences, about TOKENS positions each, whose values stay in the cache; so the
 * passes are plain sequences of products and of walks over rows. The operands of `product` are given by strides, so
 * that nothing is transposed in memory but weights (forward), keys and values.
 *
 * With L sentences of T positions, N = L T, width D, H heads of W = D / H, F hidden units, and n wanted positions
 * (all N of them, or those in `only`, sorted by sentence; "rows" below):
 *
 *     a  = norm_before ? norm1(x) : x                          (N, D)
 *     q  = a[rows] Wq' + bq;  kv = a Wkv' + bkv                (n, D), (N, 2 D)
 *     p  = softmax(q k' / sqrt(W)) for each sentence and head  (n, H, P), P: T up to a multiple of LANES
 *     s1 = x[rows] + (p v) Wo' + bo                            (n, D)
 *     f  = norm_before ? norm2(s1) : norm1(s1)                 (n, D)
 *     u  = f We' + be;  g = gelu(u)                            (n, F)
 *     s2 = (norm_before ? s1 : f) + g Wf' + bf                 (n, D)
 *     y  = norm_before ? s2 : norm2(s2)                        (n, D)
 *
 * All matrices are row-major; weights are (outputs, inputs), as torch has them. D, W and F are multiples of 16.
 * Every element is summed in the order of its index, however many rows there are: a sentence has the same values in
 * any batch. Not-a-numbers and infinities go through as in torch.
 */
#include "small_layer.h"

#define TOKENS 96

enum { QKV_WEIGHT, QKV_BIAS, OUT_WEIGHT, OUT_BIAS, NORM1_WEIGHT, NORM1_BIAS, EXPAND_WEIGHT, EXPAND_BIAS,
       CONTRACT_WEIGHT, CONTRACT_BIAS, NORM2_WEIGHT, NORM2_BIAS, PARAMETERS };

/* As small_layer.py passes it. */
typedef struct {
    int64_t sentences, length, dim, heads, hidden, wanted, norm_before, keep; /* keep: for a backward pass */
} Shape;

/* ---- linear maps ---- */

/* The transpose of a weight matrix (outputs, inputs), a tile's width of outputs after the other. */
static void pack(long outputs, long inputs, const float *weight, float *packed)
{
    for (long first = 0; first < outputs; first += WIDE) {
        long count = outputs - first < WIDE ? outputs - first : WIDE;
        transpose(count, inputs, weight + first * inputs, inputs, packed + first * inputs, count);
    }
}

/* c = bias + a w', with w packed. */
static void linear(long m, long inputs, long outputs, const float *a, const float *packed, const float *bias, float *c)
{
    for (long first = 0; first < outputs; first += WIDE) {
        long count = outputs - first < WIDE ? outputs - first : WIDE;
        product(m, count, inputs, (Matrix){a, inputs, 1}, packed + first * inputs, count, c + first, outputs,
                bias + first, 0);
    }
}

/* Add the gradients of a linear map's weights (outputs, inputs) and bias, where wanted, from that of its results. */
static void linear_gradients(long m, long inputs, long outputs, const float *a, const float *grad, float *weight,
                             float *bias)
{
    if (weight) product(outputs, inputs, m, (Matrix){grad, 1, outputs}, a, inputs, weight, inputs, weight, inputs);
    for (long row = 0; row < m && bias; row++) add(outputs, bias, grad + row * outputs);
}

/* ---- attention of one sentence and head: m rows of queries, T positions ---- */

/* What a key's score is increased by: 0, or -infinity where it may not be attended to. Whether any may be. */
static int score_biases(long length, long filled, const uint8_t *attend, float *biases)
{
    int any = 0;
    for (long i = 0; i < filled; i++) {
        int allowed = i < length && (!attend || attend[i]);
        biases[i] = allowed ? 0 : -INFINITY, any |= allowed;
    }
    return any;
}

static void softmax(long m, long filled, float scale, const float *biases, float *p)
{
    for (long row = 0; row < m; row++, p += filled) {
        vec largest = all(-INFINITY), sums = all(0);
        for (long i = 0; i < filled; i += LANES) {
            vec score = load(p + i) * scale + load(biases + i);
            store(p + i, score);
            largest = choose(score > largest, score, largest);
        }
        float most = largest_of(largest);
        for (long i = 0; i < filled; i += LANES) {
            vec weight = exponential(load(p + i) - most);
            store(p + i, weight);
            sums += weight;
        }
        float factor = 1 / sum_of(sums);
        for (long i = 0; i < filled; i += LANES) store(p + i, load(p + i) * factor);
    }
}

/* Of scores before their scaling, from those of the weights; in place. */
static void softmax_gradients(long m, long filled, float scale, const float *p, float *grad)
{
    for (long row = 0; row < m; row++, p += filled, grad += filled) {
        vec sums = all(0);
        for (long i = 0; i < filled; i += LANES) sums += load(p + i) * load(grad + i);
        float mean = sum_of(sums);
        for (long i = 0; i < filled; i += LANES) store(grad + i, (load(grad + i) - mean) * load(p + i) * scale);
    }
}

/* The keys or values of a head, transposed, with zeros beyond the sentence's end. */
static void transposed_head(long length, long filled, long width, const float *from, long from_row, float *to)
{
    transpose(length, width, from, from_row, to, filled);
    for (long j = 0; j < width && filled > length; j++)
        memset(to + j * filled + length, 0, (filled - length) * sizeof *to);
}

/* ---- the layer ---- */

/* A part of the batch: whole sentences. */
typedef struct {
    long sentences, positions, n, filled, width;  /* n rows; T rounded up to vectors; W */
    const int64_t *first, *place, *slot;          /* first row of each sentence; of each row, place in x and in y */
    float *stats1, *stats2, *q, *kv, *p, *mixed, *s1, *s2, *g, *slope; /* kept for the backward pass */
} Part;

typedef struct {
    float *biases, *heads, *packed[4];                                    /* of one sentence; transposed weights */
    float *a, *rows, *f, *dy, *df, *dg, *dmixed, *dq, *dkv, *da, *dp, *discarded; /* of a part */
} Scratch;

/* A stretch of memory, or the length of one that is not there yet. */
typedef struct {
    float *start;
    int64_t used;
} Memory;

static float *take(Memory *memory, int64_t count)
{
    float *taken = memory->start ? memory->start + memory->used : 0;
    memory->used += (count + 15) / 16 * 16;
    return taken;
}

static void lay_out(const Shape *shape, Memory *memory, Part *s)
{
    long dim = shape->dim, n = s->n; /* sums over positions or rows, so that parts need no more than the whole */
    s->width = dim / shape->heads, s->filled = (shape->length + LANES - 1) / LANES * LANES;
    s->stats1 = take(memory, 2 * (shape->norm_before ? s->positions : n)), s->stats2 = take(memory, 2 * n);
    s->q = take(memory, n * dim), s->kv = take(memory, 2 * s->positions * dim);
    s->p = take(memory, n * shape->heads * s->filled), s->mixed = take(memory, n * dim);
    s->s1 = take(memory, n * dim), s->s2 = take(memory, shape->norm_before ? 0 : n * dim);
    s->g = take(memory, n * shape->hidden), s->slope = take(memory, n * shape->hidden);
}

/* Work space for a part of at most `positions` and n rows. */
static void lay_out_scratch(const Shape *shape, long positions, long n, Memory *memory, Scratch *w)
{
    long dim = shape->dim, hidden = shape->hidden, filled = (shape->length + LANES - 1) / LANES * LANES;
    w->biases = take(memory, filled), w->heads = take(memory, dim / shape->heads * filled);
    w->packed[0] = take(memory, 3 * dim * dim), w->packed[1] = take(memory, dim * dim);
    w->packed[2] = take(memory, dim * hidden), w->packed[3] = take(memory, dim * hidden);
    w->a = take(memory, positions * dim), w->rows = take(memory, n * dim), w->f = take(memory, n * dim);
    w->dy = take(memory, n * dim), w->df = take(memory, n * dim), w->dg = take(memory, n * hidden);
    w->dmixed = take(memory, n * dim), w->dq = take(memory, n * dim), w->dkv = take(memory, 2 * positions * dim);
    w->da = take(memory, positions * dim), w->dp = take(memory, n * filled), w->discarded = take(memory, dim);
}

static long sentences_of_a_part(const Shape *shape)
{
    long count = TOKENS / shape->length;
    return count < 1 ? 1 : count < shape->sentences ? count : shape->sentences;
}

/* Floats of memory that are kept for the backward pass, and that either pass works in. */
void layer_sizes(const Shape *shape, int64_t *sizes)
{
    long sentences = sentences_of_a_part(shape), parts = (shape->sentences + sentences - 1) / sentences;
    long most = shape->wanted < 0 ? sentences * shape->length : shape->wanted;
    Part whole = {.positions = (shape->keep ? shape->sentences : sentences) * shape->length};
    whole.n = shape->wanted < 0 ? whole.positions : shape->wanted;
    Memory kept = {0}, work = {0};
    Scratch scratch;
    lay_out(shape, &kept, &whole);
    sizes[0] = kept.used + 2 * (shape->sentences + 1 + 2 * whole.n) + 64 * (parts + 1); /* 64: all rounding in `take` */
    lay_out_scratch(shape, sentences * shape->length, most, &work, &scratch);
    sizes[1] = work.used;
}

/* Sort the wanted positions by sentence; places count from the start of the part. Whether there are such positions. */
static int sort_rows(const Shape *shape, const int64_t *only, int64_t *first, int64_t *place, int64_t *slot)
{
    long length = shape->length, part = sentences_of_a_part(shape) * length;
    for (long i = 0; i <= shape->sentences; i++) first[i] = only ? 0 : i * length;
    if (!only) return 1;
    for (long i = 0; i < shape->wanted; i++)
        if (only[i] < 0 || only[i] >= shape->sentences * length) return 0;
    for (long i = 0; i < shape->wanted; i++) first[only[i] / length + 1]++;
    for (long i = 0; i < shape->sentences; i++) first[i + 1] += first[i];
    for (long i = 0; i < shape->wanted; i++) {
        long row = first[only[i] / length]++;
        place[row] = only[i] % part, slot[row] = i;
    }
    memmove(first + 1, first, shape->sentences * sizeof *first);
    first[0] = 0;
    return 1;
}

/* All parts of a batch, one after the other. */
typedef struct {
    int64_t *first, *place, *slot;
    Memory memory;
    long sentence;
    Part part;
} Walk;

static Walk start_walk(const Shape *shape, float *saved)
{
    Walk walk = {.memory = {saved, 0}};
    long n = shape->wanted < 0 ? 0 : shape->wanted;
    walk.first = (int64_t *)take(&walk.memory, 2 * (shape->sentences + 1));
    walk.place = (int64_t *)take(&walk.memory, 2 * n), walk.slot = (int64_t *)take(&walk.memory, 2 * n);
    return walk;
}

/* The next part: where its sentences, rows and memory begin. Whether there is one. */
static int next_part(const Shape *shape, Walk *walk)
{
    Part *part = &walk->part;
    walk->sentence += part->sentences;
    long left = shape->sentences - walk->sentence, most = sentences_of_a_part(shape);
    if (left <= 0) return 0;
    part->sentences = left < most ? left : most, part->positions = part->sentences * shape->length;
    part->first = walk->first + walk->sentence, part->n = part->first[part->sentences] - part->first[0];
    part->place = shape->wanted < 0 ? 0 : walk->place + part->first[0];
    part->slot = shape->wanted < 0 ? 0 : walk->slot + part->first[0];
    Memory memory = walk->memory;
    lay_out(shape, &memory, part);
    if (shape->keep) walk->memory = memory; /* otherwise all parts use the same */
    return 1;
}

static void attention(const Shape *shape, const uint8_t *attend, const Part *s, const Scratch *w)
{
    long length = shape->length, dim = shape->dim, width = s->width, filled = s->filled;
    float scale = 1 / sqrtf(width);
    for (long i = 0; i < s->sentences; i++) {
        long row = s->first[i] - s->first[0], m = s->first[i + 1] - s->first[i];
        int any = m && score_biases(length, filled, attend ? attend + i * length : 0, w->biases);
        for (long head = 0; head < shape->heads && m; head++) {
            const float *keys = s->kv + i * length * 2 * dim + head * width, *values = keys + dim;
            float *p = s->p + (row * shape->heads + head * m) * filled;
            long offset = row * dim + head * width;
            transposed_head(length, filled, width, keys, 2 * dim, w->heads);
            product(m, filled, width, (Matrix){s->q + offset, dim, 1}, w->heads, filled, p, filled, 0, 0);
            if (any) softmax(m, filled, scale, w->biases, p);
            else memset(p, 0, m * filled * sizeof *p);
            product(m, width, length, (Matrix){p, filled, 1}, values, 2 * dim, s->mixed + offset, dim, 0, 0);
        }
    }
}

static void attention_gradients(const Shape *shape, const Part *s, const Scratch *w)
{
    long length = shape->length, dim = shape->dim, width = s->width, filled = s->filled;
    float scale = 1 / sqrtf(width), *dp = w->dp;
    for (long i = 0; i < s->sentences; i++)
        for (long head = 0; head < shape->heads; head++) {
            long row = s->first[i] - s->first[0], m = s->first[i + 1] - s->first[i], offset = row * dim + head * width;
            const float *keys = s->kv + i * length * 2 * dim + head * width, *q = s->q + offset;
            const float *p = s->p + (row * shape->heads + head * m) * filled, *grad = w->dmixed + offset;
            float *dkeys = w->dkv + (keys - s->kv);
            transposed_head(length, filled, width, keys + dim, 2 * dim, w->heads);
            product(m, filled, width, (Matrix){grad, dim, 1}, w->heads, filled, dp, filled, 0, 0);
            softmax_gradients(m, filled, scale, p, dp);
            product(m, width, length, (Matrix){dp, filled, 1}, keys, 2 * dim, w->dq + offset, dim, 0, 0);
            product(length, width, m, (Matrix){dp, 1, filled}, q, dim, dkeys, 2 * dim, 0, 0);
            product(length, width, m, (Matrix){p, 1, filled}, grad, dim, dkeys + dim, 2 * dim, 0, 0);
        }
}

static void forward(const Shape *shape, const Part *s, const Scratch *w, const float *x, const uint8_t *attend,
                    const float **from, float *y)
{
    long dim = shape->dim, hidden = shape->hidden, n = s->n;
    int before = shape->norm_before, second = before ? NORM2_WEIGHT : NORM1_WEIGHT;
    const float *a = x, *rows = x;
    if (before) {
        moments(s->positions, dim, x, s->stats1);
        norm(s->positions, dim, x, s->stats1, from[NORM1_WEIGHT], from[NORM1_BIAS], w->a);
        a = rows = w->a;
    }
    if (s->place) gather(n, dim, a, s->place, w->rows), rows = w->rows;
    linear(n, dim, dim, rows, w->packed[0], from[QKV_BIAS], s->q);
    linear(s->positions, dim, 2 * dim, a, w->packed[0] + dim * dim, from[QKV_BIAS] + dim, s->kv);
    attention(shape, attend, s, w);
    linear(n, dim, dim, s->mixed, w->packed[1], from[OUT_BIAS], s->s1);
    for (long row = 0; row < n; row++) add(dim, s->s1 + row * dim, x + (s->place ? s->place[row] : row) * dim);

    float *stats = before ? s->stats2 : s->stats1, *result = s->slot ? w->rows : y, *s2 = before ? result : s->s2;
    moments(n, dim, s->s1, stats);
    norm(n, dim, s->s1, stats, from[second], from[second + 1], w->f);
    linear(n, dim, hidden, w->f, w->packed[2], from[EXPAND_BIAS], s->g);
    for (long i = 0; i < n * hidden; i += LANES) {
        vec slope;
        store(s->g + i, gelu(load(s->g + i), &slope));
        store(s->slope + i, slope);
    }
    linear(n, hidden, dim, s->g, w->packed[3], from[CONTRACT_BIAS], s2);
    add(n * dim, s2, before ? s->s1 : w->f);
    if (!before) {
        moments(n, dim, s2, s->stats2);
        norm(n, dim, s2, s->stats2, from[NORM2_WEIGHT], from[NORM2_BIAS], result);
    }
    for (long row = 0; row < n && s->slot; row++) memcpy(y + s->slot[row] * dim, result + row * dim, dim * sizeof *y);
}

static void backward(const Shape *shape, const Part *s, const Scratch *w, const float *x, const float **from,
                     const float *y_grad, float *x_grad, float **into)
{
    long dim = shape->dim, hidden = shape->hidden, n = s->n;
    int before = shape->norm_before, second = before ? NORM2_WEIGHT : NORM1_WEIGHT;
    const float *dy = y_grad, *stats = before ? s->stats2 : s->stats1;
    if (s->slot) gather(n, dim, y_grad, s->slot, w->dy), dy = w->dy;
    if (!before) {
        norm_gradients(n, dim, s->s2, s->stats2, from[NORM2_WEIGHT], dy, w->dy, into[NORM2_WEIGHT], into[NORM2_BIAS]);
        dy = w->dy;
    }
    norm(n, dim, s->s1, stats, from[second], from[second + 1], w->f);
    linear_gradients(n, hidden, dim, s->g, dy, into[CONTRACT_WEIGHT], into[CONTRACT_BIAS]);
    product(n, hidden, dim, (Matrix){dy, dim, 1}, from[CONTRACT_WEIGHT], hidden, w->dg, hidden, 0, 0);
    for (long i = 0; i < n * hidden; i += LANES) store(w->dg + i, load(w->dg + i) * load(s->slope + i));
    linear_gradients(n, dim, hidden, w->f, w->dg, into[EXPAND_WEIGHT], into[EXPAND_BIAS]);
    product(n, dim, hidden, (Matrix){w->dg, hidden, 1}, from[EXPAND_WEIGHT], dim, w->df, dim, before ? 0 : dy, dim);
    norm_gradients(n, dim, s->s1, stats, from[second], w->df, w->df, into[second], into[second + 1]);
    if (before) add(n * dim, w->df, dy); /* now the gradient of s1 */

    linear_gradients(n, dim, dim, s->mixed, w->df, into[OUT_WEIGHT], into[OUT_BIAS]);
    product(n, dim, dim, (Matrix){w->df, dim, 1}, from[OUT_WEIGHT], dim, w->dmixed, dim, 0, 0);
    attention_gradients(shape, s, w);
    const float *a = x, *rows = x, *qkv = from[QKV_WEIGHT];
    if (before) norm(s->positions, dim, x, s->stats1, from[NORM1_WEIGHT], from[NORM1_BIAS], w->a), a = rows = w->a;
    if (s->place) gather(n, dim, a, s->place, w->rows), rows = w->rows;
    float *weight = into[QKV_WEIGHT], *bias = into[QKV_BIAS];
    linear_gradients(n, dim, dim, rows, w->dq, weight, bias);
    linear_gradients(s->positions, dim, 2 * dim, a, w->dkv, weight ? weight + dim * dim : 0, bias ? bias + dim : 0);

    product(s->positions, dim, 2 * dim, (Matrix){w->dkv, 2 * dim, 1}, qkv + dim * dim, dim, w->da, dim, 0, 0);
    product(n, dim, dim, (Matrix){w->dq, dim, 1}, qkv, dim, w->rows, dim, 0, 0);
    add_rows(n, dim, w->rows, s->place, w->da);
    if (before) norm_gradients(s->positions, dim, x, s->stats1, from[NORM1_WEIGHT], w->da, w->da, into[NORM1_WEIGHT],
                               into[NORM1_BIAS]);
    add_rows(n, dim, w->df, s->place, w->da);
    if (x_grad) memcpy(x_grad, w->da, s->positions * dim * sizeof *x_grad);
}

/* x (sentences, length, dim) to y (wanted, dim). attend: (sentences, length), 0 where padded, or NULL; only: (wanted)
   positions, or NULL for all; from: the parameters; saved and scratch: memory as layer_sizes says. Returns 0, and does
   nothing, if a wanted position does not exist. */
int layer_forward(const Shape *shape, const float *x, const uint8_t *attend, const int64_t *only, const float **from,
                   float *y, float *saved, float *scratch)
{
    Walk walk = start_walk(shape, saved);
    if (!sort_rows(shape, only, walk.first, walk.place, walk.slot)) return 0;
    Scratch w;
    long dim = shape->dim, hidden = shape->hidden, part = sentences_of_a_part(shape) * shape->length;
    lay_out_scratch(shape, part, shape->wanted < 0 ? part : shape->wanted, &(Memory){scratch, 0}, &w);
    pack(dim, dim, from[QKV_WEIGHT], w.packed[0]), pack(dim, dim, from[OUT_WEIGHT], w.packed[1]);
    pack(2 * dim, dim, from[QKV_WEIGHT] + dim * dim, w.packed[0] + dim * dim);
    pack(hidden, dim, from[EXPAND_WEIGHT], w.packed[2]), pack(dim, hidden, from[CONTRACT_WEIGHT], w.packed[3]);
    while (next_part(shape, &walk)) {
        long start = walk.sentence * shape->length;
        forward(shape, &walk.part, &w, x + start * dim, attend ? attend + start : 0, from, only ? y : y + start * dim);
    }
    return 1;
}

/* Gradients from that of y: of x, if x_grad is not NULL, and of every parameter whose place in `to` is not NULL. */
void layer_backward(const Shape *shape, const float *x, const float **from, float *saved, const float *y_grad,
                    float *x_grad, float **to, float *scratch)
{
    Walk walk = start_walk(shape, saved);
    Scratch w;
    long dim = shape->dim, hidden = shape->hidden, part = sentences_of_a_part(shape) * shape->length;
    const long sizes[PARAMETERS] = {3 * dim * dim, 3 * dim, dim * dim,    dim, dim, dim,
                                    dim * hidden,  hidden,  dim * hidden, dim, dim, dim};
    lay_out_scratch(shape, part, shape->wanted < 0 ? part : shape->wanted, &(Memory){scratch, 0}, &w);
    float *into[PARAMETERS];
    for (int i = 0; i < PARAMETERS; i++) {
        int norm = i == NORM1_WEIGHT || i == NORM1_BIAS || i == NORM2_WEIGHT || i == NORM2_BIAS;
        into[i] = to[i] || !norm ? to[i] : w.discarded;
        if (into[i]) memset(into[i], 0, sizes[i] * sizeof *into[i]);
    }
    while (next_part(shape, &walk)) {
        long start = walk.sentence * shape->length * dim;
        backward(shape, &walk.part, &w, x + start, from, shape->wanted < 0 ? y_grad + start : y_grad,
                 x_grad ? x_grad + start : 0, into);
    }
}
