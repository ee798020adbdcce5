#pragma once
#include <optional>

#include "wafer/kernel/device/session.h"

namespace wafer::kernel {

// C[b] = sum over r of A[b, r] B[b, r], for b = (b1, b0); all strides in elements. B lies row by
// row, in the computed dtype, its rows padded with any numbers to a multiple of `lanes`.
struct Gemm {
  DType a = DType::f32, c = DType::f32;  // in memory; computed in computed_in(c)
  int64_t m = 0, n = 0, k = 0, terms = 1, outer = 1, inner = 1;  // outer x inner batches
  int64_t a_row = 0, a_column = 0, a_term = 0, a_outer = 0, a_inner = 0;
  int64_t b_row = 0, b_term = 0, b_outer = 0, b_inner = 0;
  int64_t c_row = 0, c_outer = 0, c_inner = 0;
  bool accumulate = false;  // add to what C holds
};

// Elements that the rows of B are padded to.
constexpr int64_t gemm_lanes = 8;
constexpr int64_t padded_to_lanes(int64_t n) {
  return (n + gemm_lanes - 1) / gemm_lanes * gemm_lanes;
}

// A launch on (A, B, C): the vendor's library, where there is one that takes this, or our kernel.
Launch make_gemm(const Node& node, KernelContext& context, const Gemm& gemm);

// A matrix product in the words of a library; nothing where the dtypes differ.
std::optional<ProductProblem> product_problem(const Node& matmul);

// A launch on (a, b, y) that the vendor's library computes, or nothing.
std::optional<Launch> make_library_product(const Node& node, KernelContext& context,
                                           const ProductProblem& problem);

// Copies batches of matrices, read through any strides, to rows that are padded with zeros and
// converted: B of a Gemm. A launch on (from, to).
struct Pack {
  DType from = DType::f32, to = DType::f32;
  int64_t rows = 0, columns = 0, padded = 0, batches = 1;
  int64_t row = 0, column = 0, batch = 0;  // strides of `from`
};
Launch make_pack(const Node& node, const KernelContext& context, const Pack& pack);

}  // namespace wafer::kernel
