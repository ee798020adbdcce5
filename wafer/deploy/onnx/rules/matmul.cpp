#include "wafer/op/matmul.h"

#include "wafer/deploy/onnx/rules.h"

namespace wafer::onnx {

namespace {
Values matmul_rule(Context& c) {
  return {matmul(c.in(0), c.in(1))};
}

Values gemm(Context& c) {
  const Tensor &a = c.in(0), &b = c.in(1);
  c.require(a.rank() == 2 && b.rank() == 2, "expected two matrices");
  double alpha = c.number("alpha", 1), beta = c.number("beta", 1);
  Tensor y = matmul(a, b, c.flag("transA"), c.flag("transB"));
  bool whole = !is_floating(y.dtype());
  auto scaled = [&](const Tensor& x, double by) {
    if (by == 1) return x;
    return whole ? cast(mul(cast(x, DType::f64), by), x.dtype()) : mul(x, by);
  };
  y = scaled(y, alpha);
  if (c.has(2) && beta != 0) y = add(y, scaled(c.in(2), beta));
  return {y};
}

// Integers less their zero points, which stand for all, for rows (of a) or columns (of b).
Tensor without_zero(const Tensor& x, const Tensor& zero, bool rows) {
  Tensor y = cast(x, DType::i32);
  if (!zero) return y;
  Tensor z = cast(zero, DType::i32);
  if (z.rank() == 1 && z.elements() > 1 && rows) z = reshape(z, {z.elements(), 1});
  if (z.elements() == 1) z = reshape(z, Ints{});
  return sub(y, z);
}

Values matmul_integer(Context& c) {
  return {matmul(without_zero(c.in(0), c.optional(2), true),
                 without_zero(c.in(1), c.optional(3), false))};
}

// a, scale, zero; b, scale, zero; output scale, zero.
Values qlinear_matmul(Context& c) {
  Tensor sums = matmul(without_zero(c.in(0), c.in(2), true), without_zero(c.in(3), c.in(5), false));
  auto scale_of = [&](size_t index, bool rows) {
    Tensor s = cast(c.in(index), DType::f64);
    if (s.elements() == 1) return reshape(s, Ints{});
    return rows && s.rank() == 1 ? reshape(s, {s.elements(), 1}) : s;
  };
  Tensor scale = div(mul(scale_of(1, true), scale_of(4, false)), scale_of(6, true));
  Tensor zero = c.in(7);
  Tensor offset = cast(zero.elements() == 1 ? reshape(zero, Ints{}) : zero, DType::f64);
  Tensor y = add(round(mul(cast(sums, DType::f64), scale)), offset);
  bool is_signed_type = is_signed(zero.dtype());
  return {cast(clamp(y, is_signed_type ? -128 : 0, is_signed_type ? 127 : 255), zero.dtype())};
}

// The determinant by its first row; each step halves nothing, so only small matrices.
Tensor determinant(const Tensor& x) {
  int64_t n = x.size(-1);
  auto element = [&](int64_t row, int64_t column) {
    Tensor r = narrow(x, -2, row, row + 1);
    return squeeze(squeeze(narrow(r, -1, column, column + 1), -1), -1);
  };
  if (n == 1) return element(0, 0);
  Tensor sum;
  for (int64_t k = 0; k < n; ++k) {
    Ints columns;
    for (int64_t j = 0; j < n; ++j)
      if (j != k) columns.push_back(j);
    Tensor minor = take(narrow(x, -2, 1, n), columns, x.rank() - 1);
    Tensor term = mul(element(0, k), determinant(minor));
    sum = k == 0 ? term : k % 2 ? sub(sum, term) : add(sum, term);
  }
  return sum;
}
Values det(Context& c) {
  const Tensor& x = c.in(0);
  c.require(x.rank() >= 2 && x.size(-1) == x.size(-2) && x.size(-1) > 0,
            "expected square matrices");
  c.require(x.size(-1) <= 6, "matrices of more than 6 rows are not supported");
  return {determinant(x)};
}

constexpr RuleEntry matmul_table[] = {
    {"Det", det},
    {"Gemm", gemm},
    {"MatMul", matmul_rule},
    {"MatMulInteger", matmul_integer},
    {"QLinearMatMul", qlinear_matmul},
};
}  // namespace

RuleList matmul_rules() {
  return matmul_table;
}

}  // namespace wafer::onnx
