#include "wafer/backend/cpu/simd/rows.h"

#include "wafer/backend/cpu/simd/math.h"
#include "wafer/backend/cpu/simd/vector.h"

namespace wafer::cpu::WAFER_ISA {

namespace {
constexpr int64_t part = 512;  // elements, or rows of columns, that are summed in f32

float row_max(const float* x, int64_t n) {
  float result = x[0];
  int64_t i = 0;
  if (n >= lanes) {
    VFloat most = load<VFloat>(x);
    for (i = lanes; i + lanes <= n; i += lanes) {
      VFloat next = load<VFloat>(x + i);
      most = next > most ? next : most;
    }
    result = fold_lanes(most, [](VFloat a, VFloat b) { return b > a ? b : a; });
  }
  for (; i < n; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

// Sums term(i) of `n` elements, where term gives a vector from element i on, or one element.
template <class Vector, class Scalar>
[[gnu::always_inline]] inline double sum_of(int64_t n, Vector vector, Scalar scalar) {
  double total = 0;
  int64_t i = 0;
  while (i + lanes <= n) {
    int64_t end = n - i < 16 * part ? n : i + 16 * part;
    VFloat a{}, b{};
    for (; i + 2 * lanes <= end; i += 2 * lanes) {
      a += vector(i);
      b += vector(i + lanes);
    }
    for (; i + lanes <= end; i += lanes) a += vector(i);
    a += b;
    total += static_cast<double>(fold_lanes(a, [](VFloat x, VFloat y) { return x + y; }));
  }
  for (; i < n; ++i) total += static_cast<double>(scalar(i));
  return total;
}

double row_sum(const float* x, int64_t n) {
  return sum_of(
      n, [&](int64_t i) { return load<VFloat>(x + i); }, [&](int64_t i) { return x[i]; });
}

// y = exp(scale (x - most)), where most is the greatest of x: exactly 1 there.
void exp_into(const float* x, float scale, float most, float* y, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = vexp_falling((x[i] - most) * scale);
}

double exp_sum(const float* x, float shift, int64_t n) {
  float exponential[part];
  double total = 0;
  for (int64_t i = 0; i < n; i += part) {
    int64_t count = n - i < part ? n - i : part;
    exp_into(x + i, 1, shift, exponential, count);
    total += row_sum(exponential, count);
  }
  return total;
}

// Rows shorter than a few vectors are put through exp together: calls work(first, rows, shifted,
// exponentials, greatest) on as many rows as fit a part.
template <class F>
void by_short_rows(const float* x, int64_t rows, int64_t n, F&& work) {
  float shifted[part], exponential[part], greatest[part];
  int64_t together = part / n;
  for (int64_t first = 0; first < rows; first += together) {
    int64_t count = rows - first < together ? rows - first : together;
    for (int64_t r = 0; r < count; ++r) {
      const float* row = x + (first + r) * n;
      float most = row[0];
      for (int64_t i = 1; i < n; ++i) most = row[i] > most ? row[i] : most;
      greatest[r] = most;
      for (int64_t i = 0; i < n; ++i) shifted[r * n + i] = row[i] - most;
    }
    exp_into(shifted, 1, 0, exponential, count * n);
    work(first, count, shifted, exponential, greatest);
  }
}
float short_sum(const float* x, int64_t n) {
  float sum = x[0];
  for (int64_t i = 1; i < n; ++i) sum += x[i];
  return sum;
}
constexpr int64_t short_row = 2 * lanes;
}  // namespace

void softmax_rows(const float* x, float* y, int64_t rows, int64_t n, bool logarithm) {
  if (n < short_row) {
    by_short_rows(x, rows, n,
                  [&](int64_t first, int64_t count, const float* shifted, const float* exponential,
                      const float*) {
                    for (int64_t r = 0; r < count; ++r) {
                      float sum = short_sum(exponential + r * n, n);
                      float* row = y + (first + r) * n;
                      if (logarithm) {
                        float log_sum = vlog(sum);
                        for (int64_t i = 0; i < n; ++i) row[i] = shifted[r * n + i] - log_sum;
                      } else {
                        for (int64_t i = 0; i < n; ++i) row[i] = exponential[r * n + i] / sum;
                      }
                    }
                  });
    return;
  }
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = x + r * n;
    float* to = y + r * n;
    float most = row_max(from, n);
    if (logarithm) {
      float log_sum = vlog(static_cast<float>(exp_sum(from, most, n)));
#pragma GCC ivdep
      for (int64_t i = 0; i < n; ++i) to[i] = (from[i] - most) - log_sum;
    } else {
      exp_into(from, 1, most, to, n);
      auto scale = static_cast<float>(1.0 / row_sum(to, n));
#pragma GCC ivdep
      for (int64_t i = 0; i < n; ++i) to[i] *= scale;
    }
  }
}

void logsumexp_rows(const float* x, float* result, int64_t rows, int64_t n) {
  if (n < short_row) {
    by_short_rows(x, rows, n,
                  [&](int64_t first, int64_t count, const float*, const float* exponential,
                      const float* greatest) {
                    for (int64_t r = 0; r < count; ++r)
                      result[first + r] = greatest[r] + vlog(short_sum(exponential + r * n, n));
                  });
    return;
  }
  for (int64_t r = 0; r < rows; ++r) {
    float most = row_max(x + r * n, n);
    result[r] = most + vlog(static_cast<float>(exp_sum(x + r * n, most, n)));
  }
}

void exp_rows(const float* x, const float* shift, const float* scale, float* y, int64_t rows,
              int64_t n) {
  for (int64_t r = 0; r < rows; ++r) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[r * n + i] = vexp(x[r * n + i] - shift[r]) * scale[r];
  }
}

namespace {
void scale_and_mask(float* row, int64_t n, const ScoreRules& rules, int64_t mask_at) {
  float scale = rules.scale;
  if (!rules.mask) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) row[i] *= scale;
  } else if (rules.boolean) {
    const auto* mask = static_cast<const uint8_t*>(rules.mask) + mask_at;
    for (int64_t i = 0; i < n; ++i)
      row[i] = mask[i * rules.mask_column] ? row[i] * scale : -__builtin_inff();
  } else {
    const float* mask = static_cast<const float*>(rules.mask) + mask_at;
    for (int64_t i = 0; i < n; ++i) row[i] = row[i] * scale + mask[i * rules.mask_column];
  }
}

bool sees_nothing(const float* row, int64_t n) {
  bool nothing = true;
  for (int64_t i = 0; i < n; ++i) nothing = nothing && row[i] == -__builtin_inff();
  return nothing;
}
}  // namespace

void score_rows(float* scores, int64_t rows, int64_t n, int64_t first, const ScoreRules& rules) {
  for (int64_t r = 0; r < rows; ++r) {
    float* row = scores + r * n;
    int64_t seen = rules.causal && first + r + 1 < n ? first + r + 1 : n;
    // Without a mask scores are scaled on the way into the exponential.
    bool unscaled = !rules.mask && rules.scale > 0;
    if (!unscaled) scale_and_mask(row, seen, rules, (first + r) * rules.mask_row);
    float factor = unscaled ? rules.scale : 1, most = row_max(row, seen);
    if (rules.mask && most == -__builtin_inff() && sees_nothing(row, seen)) {
      seen = 0;
    } else {
      exp_into(row, factor, most, row, seen);
      auto scale = static_cast<float>(1.0 / row_sum(row, seen));
#pragma GCC ivdep
      for (int64_t i = 0; i < seen; ++i) row[i] *= scale;
    }
    for (int64_t i = seen; i < n; ++i) row[i] = 0;
  }
}

void score_gradient_rows(const float* weights, float* g, int64_t rows, int64_t n, float scale) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* w = weights + r * n;
    float* row = g + r * n;
    auto along = static_cast<float>(sum_of(
        n, [&](int64_t i) { return load<VFloat>(w + i) * load<VFloat>(row + i); },
        [&](int64_t i) { return w[i] * row[i]; }));
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) row[i] = w[i] * (row[i] - along) * scale;
  }
}

RowStatistics normalise_row(const float* x, const float* weight, const float* bias, float* y,
                            int64_t n, float epsilon, bool rms) {
  RowStatistics s;
  if (!rms) s.mean = static_cast<float>(row_sum(x, n) / static_cast<double>(n));
  double squares = sum_of(
      n,
      [&](int64_t i) {
        VFloat d = load<VFloat>(x + i) - s.mean;
        return d * d;
      },
      [&](int64_t i) { return (x[i] - s.mean) * (x[i] - s.mean); });
  double variance = squares / static_cast<double>(n) + static_cast<double>(epsilon);
  s.inverse = static_cast<float>(1.0 / __builtin_sqrt(variance));
  float mean = s.mean, inverse = s.inverse;
  if (weight && bias) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * inverse * weight[i] + bias[i];
  } else if (weight) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * inverse * weight[i];
  } else {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * inverse;
  }
  return s;
}

void normalise_row_gradient(const float* g, const float* x, const float* weight, RowStatistics s,
                            float* by_x, float* by_weight, float* by_bias, int64_t n, bool rms) {
  float mean = s.mean, inverse = s.inverse;
  if (by_weight) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) by_weight[i] += g[i] * ((x[i] - mean) * inverse);
  }
  if (by_bias) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) by_bias[i] += g[i];
  }
  // The product is rounded here, so that a row of one element leaves exactly nothing below.
  for (int64_t i = 0; i < n; ++i) by_x[i] = weight ? g[i] * weight[i] : g[i];
  auto count = static_cast<double>(n);
  float average = rms ? 0 : static_cast<float>(row_sum(by_x, n) / count);
  auto along = static_cast<float>(
      sum_of(
          n,
          [&](int64_t i) {
            return load<VFloat>(by_x + i) * ((load<VFloat>(x + i) - mean) * inverse);
          },
          [&](int64_t i) { return by_x[i] * ((x[i] - mean) * inverse); }) /
      count);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i)
    by_x[i] = (by_x[i] - average - (x[i] - mean) * inverse * along) * inverse;
}

namespace {
// `width` vectors of columns at once, so that memory is read row by row.
template <bool with_g, int width>
void columns(const float* g, const float* x, const float* shift, int64_t rows, int64_t channels,
             double* first, double* second) {
  constexpr int64_t block = 128;
  VFloat s[width];
  for (int k = 0; k < width; ++k) s[k] = load<VFloat>(shift + k * lanes);
  for (int64_t begin = 0; begin < rows; begin += block) {
    int64_t end = begin + block < rows ? begin + block : rows;
    VFloat a[width] = {}, b[width] = {};
    for (int64_t r = begin; r < end; ++r) {
#pragma GCC unroll 4
      for (int k = 0; k < width; ++k) {
        VFloat d = load<VFloat>(x + r * channels + k * lanes) - s[k];
        VFloat factor = with_g ? load<VFloat>(g + r * channels + k * lanes) : d;
        a[k] += factor;
        b[k] += factor * d;
      }
    }
    for (int k = 0; k < width; ++k) {
      for (int i = 0; i < lanes; ++i) {
        first[k * lanes + i] += static_cast<double>(a[k][i]);
        second[k * lanes + i] += static_cast<double>(b[k][i]);
      }
    }
  }
}
template <bool with_g>
void one_column(const float* g, const float* x, float shift, int64_t rows, int64_t channels,
                double* first, double* second) {
  constexpr int64_t block = 128;
  for (int64_t begin = 0; begin < rows; begin += block) {
    int64_t end = begin + block < rows ? begin + block : rows;
    float a = 0, b = 0;
    for (int64_t r = begin; r < end; ++r) {
      float d = x[r * channels] - shift;
      float factor = with_g ? g[r * channels] : d;
      a += factor;
      b += factor * d;
    }
    *first += static_cast<double>(a);
    *second += static_cast<double>(b);
  }
}
template <bool with_g>
void all_columns(const float* g, const float* x, const float* shift, int64_t rows, int64_t channels,
                 double* first, double* second) {
  int64_t c = 0;
  for (; c + 4 * lanes <= channels; c += 4 * lanes)
    columns<with_g, 4>(with_g ? g + c : g, x + c, shift + c, rows, channels, first + c, second + c);
  for (; c + lanes <= channels; c += lanes)
    columns<with_g, 1>(with_g ? g + c : g, x + c, shift + c, rows, channels, first + c, second + c);
  for (; c < channels; ++c)
    one_column<with_g>(with_g ? g + c : g, x + c, shift[c], rows, channels, first + c, second + c);
}

template <bool with_g, int width>
void affine_columns(const float* g, const float* x, const float* mean, const float* a,
                    const float* b, const float* c, float* y, int64_t rows, int64_t channels) {
  VFloat m[width], va[width] = {}, vb[width], vc[width];
  for (int k = 0; k < width; ++k) {
    m[k] = load<VFloat>(mean + k * lanes);
    if (with_g) va[k] = load<VFloat>(a + k * lanes);
    vb[k] = load<VFloat>(b + k * lanes);
    vc[k] = load<VFloat>(c + k * lanes);
  }
  for (int64_t r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int k = 0; k < width; ++k) {
      int64_t at = r * channels + k * lanes;
      VFloat value = (load<VFloat>(x + at) - m[k]) * vb[k] + vc[k];
      if (with_g) value += load<VFloat>(g + at) * va[k];
      store(y + at, value);
    }
  }
}
template <bool with_g>
void all_affine(const float* g, const float* x, const float* mean, const float* a, const float* b,
                const float* c, float* y, int64_t rows, int64_t channels) {
  int64_t k = 0;
  for (; k + 4 * lanes <= channels; k += 4 * lanes)
    affine_columns<with_g, 4>(with_g ? g + k : g, x + k, mean + k, with_g ? a + k : a, b + k, c + k,
                              y + k, rows, channels);
  for (; k + lanes <= channels; k += lanes)
    affine_columns<with_g, 1>(with_g ? g + k : g, x + k, mean + k, with_g ? a + k : a, b + k, c + k,
                              y + k, rows, channels);
  for (; k < channels; ++k) {
    for (int64_t r = 0; r < rows; ++r) {
      int64_t at = r * channels + k;
      float value = (x[at] - mean[k]) * b[k] + c[k];
      y[at] = with_g ? value + g[at] * a[k] : value;
    }
  }
}
}  // namespace

void column_moments(const float* g, const float* x, const float* shift, int64_t rows,
                    int64_t channels, double* first, double* second) {
  if (g)
    all_columns<true>(g, x, shift, rows, channels, first, second);
  else
    all_columns<false>(g, x, shift, rows, channels, first, second);
}

void column_affine(const float* g, const float* x, const float* mean, const float* a,
                   const float* b, const float* c, float* y, int64_t rows, int64_t channels) {
  // Few rows at once, so that the next columns find them in the cache.
  constexpr int64_t block = 32;
  for (int64_t r = 0; r < rows; r += block) {
    int64_t count = rows - r < block ? rows - r : block, at = r * channels;
    if (g)
      all_affine<true>(g + at, x + at, mean, a, b, c, y + at, count, channels);
    else
      all_affine<false>(g, x + at, mean, a, b, c, y + at, count, channels);
  }
}

void run_moments(const float* g, const float* x, float shift, int64_t n, double* first,
                 double* second) {
  if (g) {
    *first += row_sum(g, n);
    *second += sum_of(
        n, [&](int64_t i) { return load<VFloat>(g + i) * (load<VFloat>(x + i) - shift); },
        [&](int64_t i) { return g[i] * (x[i] - shift); });
  } else {
    *first += sum_of(
        n, [&](int64_t i) { return load<VFloat>(x + i) - shift; },
        [&](int64_t i) { return x[i] - shift; });
    *second += sum_of(
        n,
        [&](int64_t i) {
          VFloat d = load<VFloat>(x + i) - shift;
          return d * d;
        },
        [&](int64_t i) { return (x[i] - shift) * (x[i] - shift); });
  }
}

void run_affine(const float* g, const float* x, float mean, float a, float b, float c, float* y,
                int64_t n) {
  if (g) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * b + (g[i] * a + c);
  } else {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * b + c;
  }
}

}  // namespace wafer::cpu::WAFER_ISA
