/*
 * What small_layer.c computes with: vectors, exp and GELU, matrix products, walks over rows, layer norm.
 *
 * Written with the vector types of GCC and Clang, so that one text serves AVX-512, AVX2 and NEON. Matrices are
 * row-major float32; the length of a row is a multiple of LANES. Nothing needs to be aligned.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Floats of a vector; rows and vectors of a register tile. */
#if defined(__AVX512F__)
#define LANES 16
#define ROWS 6
#define VECTORS 4
#elif defined(__AVX2__) && defined(__FMA__)
#define LANES 8
#define ROWS 6
#define VECTORS 2
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define LANES 4
#define ROWS 6
#define VECTORS 4
#else
#error "no wide vectors: torch's own kernels are faster"
#endif

#define WIDE (LANES * VECTORS)
#define DEPTH 96 /* terms of a sum taken at a time: so many rows of the second factor stay in the first-level cache */
#define EPSILON 1e-12f
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* ---- vectors ---- */

INLINE vec load(const float *from) { return *(const vec *)from; }
INLINE void store(float *to, vec x) { *(vec *)to = x; }
INLINE vec all(float x) { return x - (vec){0}; }
INLINE vec choose(ivec which, vec yes, vec no) { return (vec)((which & (ivec)yes) | (~which & (ivec)no)); }

INLINE float sum_of(vec x)
{
    float lanes[LANES];
    memcpy(lanes, &x, sizeof x);
    for (int width = LANES / 2; width; width /= 2)
        for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
    return lanes[0];
}

INLINE float largest_of(vec x)
{
    float lanes[LANES];
    memcpy(lanes, &x, sizeof x);
    for (int width = LANES / 2; width; width /= 2)
        for (int i = 0; i < width; i++) lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
    return lanes[0];
}

/* exp of x <= 0, 0 where that is below the normal numbers. */
INLINE vec exponential(vec x)
{
    const vec magic = all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer, in the lowest bits */
    vec shifted = x * 1.44269504f + magic, n = shifted - magic;
    vec r = x - n * 0.693145752f - n * 1.42860677e-6f; /* log 2 in two parts */
    vec p = all(1.98756915e-4f);
    p = p * r + 1.39819995e-3f;
    p = p * r + 8.33345190e-3f;
    p = p * r + 4.16657960e-2f;
    p = p * r + 1.66666654e-1f;
    p = p * r + 5.00000001e-1f;
    p = p * (r * r) + r + 1.0f;
    vec power = (vec)(((ivec)shifted << 23) + (127 << 23));
    return choose(x < -87.3f, all(0), p * power);
}

/* GELU and its derivative. The normal distribution function is exp(-x^2 / 2) t Q(t), t = 1 / (1 + 0.3 |x|), below 0;
   Q was fitted to within 5.5e-9 by minimax. */
INLINE vec gelu(vec x, vec *slope)
{
    vec size = (vec)((ivec)x & 0x7fffffff), density = exponential(x * x * -0.5f), t = 1.0f / (size * 0.3f + 1.0f);
    vec q = all(0.0341401784f);
    q = q * t - 0.149459922f;
    q = q * t + 0.190330754f;
    q = q * t - 0.0361389136f;
    q = q * t + 0.117661472f;
    q = q * t + 0.103713814f;
    q = q * t + 0.120077087f;
    q = q * t + 0.119675536f;
    vec tail = density * (q * t), share = choose(x > 0.0f, 1.0f - tail, tail);
    *slope = share + x * density * 0.398942280f;
    return x * share;
}

/* ---- products ---- */

/* A matrix of which element (i, j) is at data[i * row + j * column]. */
typedef struct {
    const float *data;
    long row, column;
} Matrix;

/* rows x vectors of `product`: the sums stay in registers. */
INLINE void tile(int rows, int vectors, long depth, Matrix a, const float *b, long b_row, float *c, long c_row,
                 const float *start, long start_row)
{
    vec sums[ROWS][VECTORS];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++)
            sums[r][v] = start ? load(start + r * start_row + v * LANES) : all(0);
    const float *left = a.data;
    for (long i = 0; i < depth; i++, left += a.column, b += b_row) {
        vec right[VECTORS];
        UNROLL for (int v = 0; v < vectors; v++) right[v] = load(b + v * LANES);
        UNROLL for (int r = 0; r < rows; r++) {
            vec factor = all(left[r * a.row]);
            UNROLL for (int v = 0; v < vectors; v++) sums[r][v] += factor * right[v];
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++) store(c + r * c_row + v * LANES, sums[r][v]);
}

/* A tile whose numbers of rows and vectors are constants to the compiler. */
#define ARGUMENTS \
    long depth, Matrix a, const float *b, long b_row, float *c, long c_row, const float *start, long start_row
#define HEIGHT(R, V) case R: tile(R, V, depth, a, b, b_row, c, c_row, start, start_row); break;
#define TILES(V)                                                                                                 \
    static __attribute__((noinline)) void tiles##V(int rows, ARGUMENTS)                                          \
    {                                                                                                            \
        switch (rows) { HEIGHT(1, V) HEIGHT(2, V) HEIGHT(3, V) HEIGHT(4, V) HEIGHT(5, V) HEIGHT(6, V) }          \
    }
TILES(1)
TILES(2)
#if VECTORS == 4
TILES(3)
TILES(4)
#endif

/* c = start + a b, for a (m, depth), b (depth, n) and c (m, n) with rows b_row and c_row apart. `start` has rows
   start_row apart: 0 for one row that is added to all; NULL for zeros. n is a multiple of LANES. */
static void product(long m, long n, ARGUMENTS)
{
    long tiles = (m + ROWS - 1) / ROWS; /* of about the same height */
    int height = tiles ? m / tiles : 0, higher = tiles ? m % tiles : 0;
    do {
        long part = depth < DEPTH + DEPTH / 2 ? depth : DEPTH;
        for (long column = 0; column < n; column += WIDE) {
            int vectors = n - column < WIDE ? (n - column) / LANES : VECTORS;
            for (long row = 0, i = 0; i < tiles; i++) {
                int rows = height + (i < higher);
                const float *from = start ? start + row * start_row + column : 0;
                Matrix left = {a.data + row * a.row, a.row, a.column};
                float *to = c + row * c_row + column;
                switch (vectors) {
                case 1: tiles1(rows, part, left, b + column, b_row, to, c_row, from, start_row); break;
                case 2: tiles2(rows, part, left, b + column, b_row, to, c_row, from, start_row); break;
#if VECTORS == 4
                case 3: tiles3(rows, part, left, b + column, b_row, to, c_row, from, start_row); break;
                case 4: tiles4(rows, part, left, b + column, b_row, to, c_row, from, start_row); break;
#endif
                }
                row += rows;
            }
        }
        a.data += part * a.column, b += part * b_row, depth -= part;
        start = c, start_row = c_row;
    } while (depth > 0);
}

/* ---- rows ---- */

/* The transpose of (rows, columns) in `from`. */
static void transpose(long rows, long columns, const float *from, long from_row, float *to, long to_row)
{
    for (long j = 0; j < columns; j++)
        for (long i = 0; i < rows; i++) to[j * to_row + i] = from[i * from_row + j];
}

static void add(long count, float *to, const float *from)
{
    for (long i = 0; i < count; i += LANES) store(to + i, load(to + i) + load(from + i));
}

/* Rows of `from` at some places, one after the other. */
static void gather(long count, long dim, const float *from, const int64_t *places, float *to)
{
    for (long row = 0; row < count; row++) memcpy(to + row * dim, from + places[row] * dim, dim * sizeof *to);
}

/* Add rows of `from` to those at some places, NULL: in order. */
static void add_rows(long count, long dim, const float *from, const int64_t *places, float *to)
{
    for (long row = 0; row < count; row++) add(dim, to + (places ? places[row] : row) * dim, from + row * dim);
}

/* ---- layer norm ---- */

/* Mean and reciprocal deviation of every row. */
static void moments(long m, long dim, const float *x, float *stats)
{
    for (long row = 0; row < m; row++, x += dim, stats += 2) {
        vec sums = all(0), squares = all(0);
        for (long i = 0; i < dim; i += LANES) sums += load(x + i);
        float mean = sum_of(sums) / dim;
        for (long i = 0; i < dim; i += LANES) {
            vec centred = load(x + i) - mean;
            squares += centred * centred;
        }
        stats[0] = mean, stats[1] = 1 / sqrtf(sum_of(squares) / dim + EPSILON);
    }
}

static void norm(long m, long dim, const float *x, const float *stats, const float *weight, const float *bias, float *y)
{
    for (long row = 0; row < m; row++, x += dim, y += dim, stats += 2)
        for (long i = 0; i < dim; i += LANES)
            store(y + i, (load(x + i) - stats[0]) * stats[1] * load(weight + i) + load(bias + i));
}

/* Gradients of layer norm: that of x (may be `grad` itself), those of weight and bias added to what is there. */
static void norm_gradients(long m, long dim, const float *x, const float *stats, const float *weight, const float *grad,
                           float *x_grad, float *weight_grad, float *bias_grad)
{
    for (long row = 0; row < m; row++, x += dim, grad += dim, x_grad += dim, stats += 2) {
        vec sums = all(0), products = all(0);
        for (long i = 0; i < dim; i += LANES) {
            vec unit = (load(x + i) - stats[0]) * stats[1], slope = load(grad + i);
            store(bias_grad + i, load(bias_grad + i) + slope);
            store(weight_grad + i, load(weight_grad + i) + slope * unit);
            slope *= load(weight + i);
            sums += slope, products += slope * unit;
        }
        float mean = sum_of(sums) / dim, along = sum_of(products) / dim;
        for (long i = 0; i < dim; i += LANES) {
            vec unit = (load(x + i) - stats[0]) * stats[1], slope = load(grad + i) * load(weight + i);
            store(x_grad + i, (slope - mean - unit * along) * stats[1]);
        }
    }
}
