#pragma once
#include <cstdint>

#include "wafer/backend/cpu/isa.h"

// Inner loops of softmax, normalisation and losses on f32: rows of `n` elements without gaps, or
// rows of `channels` with a sum for each column. Sums over many elements go on in f64.
namespace wafer::cpu {

// y = softmax(x) of each row, or its logarithm. y may be x.
WAFER_SIMD(void, softmax_rows, (const float* x, float* y, int64_t rows, int64_t n, bool logarithm))
// result[row] = log(sum(exp(x)))
WAFER_SIMD(void, logsumexp_rows, (const float* x, float* result, int64_t rows, int64_t n))
// y = exp(x - shift[row]) * scale[row]
WAFER_SIMD(void, exp_rows,
           (const float* x, const float* shift, const float* scale, float* y, int64_t rows,
            int64_t n))

// What becomes of one row of attention's scores, rows of `n` keys.
struct ScoreRules {
  float scale = 1;
  bool causal = false;                    // query i sees keys 0 to i
  const void* mask = nullptr;             // null: none; of the first row
  bool boolean = false;                   // the mask is bytes of 0 or 1, else f32 to be added
  int64_t mask_row = 0, mask_column = 0;  // strides, in elements
};
// scores of queries `first`, `first` + 1, ... to weights, in place: scaled, masked, softmax. A row
// that the mask hides becomes 0.
WAFER_SIMD(void, score_rows,
           (float* scores, int64_t rows, int64_t n, int64_t first, const ScoreRules& rules))
// g = weights (g - sum(weights g)) scale: the gradient by scores before scaling.
WAFER_SIMD(void, score_gradient_rows,
           (const float* weights, float* g, int64_t rows, int64_t n, float scale))

struct RowStatistics {
  float mean = 0;
  float inverse = 0;  // 1 / sqrt(variance + epsilon), or of the mean square for rms
};
// y = (x - mean) * inverse * weight + bias, of one row; weight and bias may be null. rms: the mean
// counts as 0. y may be x.
WAFER_SIMD(RowStatistics, normalise_row,
           (const float* x, const float* weight, const float* bias, float* y, int64_t n,
            float epsilon, bool rms))
// The gradient by x of one row (not in place); adds those by weight and bias to sums of n unless
// null.
WAFER_SIMD(void, normalise_row_gradient,
           (const float* g, const float* x, const float* weight, RowStatistics statistics,
            float* by_x, float* by_weight, float* by_bias, int64_t n, bool rms))

// For each column: adds sum(x - shift) and sum((x - shift)^2), or with g, sum(g) and
// sum(g (x - shift)).
WAFER_SIMD(void, column_moments,
           (const float* g, const float* x, const float* shift, int64_t rows, int64_t channels,
            double* first, double* second))
// The same of one run with one shift.
WAFER_SIMD(void, run_moments,
           (const float* g, const float* x, float shift, int64_t n, double* first, double* second))
// y = (x - mean) * b + c, plus g * a with g, for each column. y may be x or g.
WAFER_SIMD(void, column_affine,
           (const float* g, const float* x, const float* mean, const float* a, const float* b,
            const float* c, float* y, int64_t rows, int64_t channels))
// The same of one run.
WAFER_SIMD(void, run_affine,
           (const float* g, const float* x, float mean, float a, float b, float c, float* y,
            int64_t n))

}  // namespace wafer::cpu
