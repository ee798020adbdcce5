#include <algorithm>

#include "wafer/backend/cpu/contraction.h"
#include "wafer/backend/cpu/onednn/call.h"
#include "wafer/backend/cpu/onednn/epilogue.h"
#include "wafer/backend/cpu/onednn/gemm_memory.h"

namespace wafer::cpu::onednn {

namespace {
using Desc = dnnl::memory::desc;
using Place = Program::Place;

// [rows, columns] or [batch, rows, columns], all leading dimensions as one, with the last two
// exchanged by their strides.
Desc matrix(const Type& type, bool transpose) {
  std::vector<int64_t> sizes = type.shape.sizes();
  int64_t rows = sizes[sizes.size() - 2], columns = sizes.back();
  int64_t batch = type.elements() / (rows * columns);
  int64_t row_stride = columns, column_stride = 1;
  if (transpose) {
    std::swap(rows, columns);
    std::swap(row_stride, column_stride);
  }
  if (sizes.size() == 2) {
    return {{rows, columns}, data_type(type.dtype), {row_stride, column_stride}};
  }
  return {
      {batch, rows, columns}, data_type(type.dtype), {rows * columns, row_stride, column_stride}};
}
}  // namespace

Step make_matmul(const MatmulProblem& p, const Epilogue& epilogue, KernelContext& context) {
  double inner = static_cast<double>(p.a.shape.size(p.transpose_a ? -2 : -1));
  int threads = threads_for(2 * inner * static_cast<double>(p.y.elements()));
  if (p.threads > 0) threads = std::min(threads, p.threads);
  ThreadScope scope(threads);
  Desc a = matrix(p.a, p.transpose_a), b = matrix(p.b, p.transpose_b), y = matrix(p.y, false);
  Desc bias;
  if (epilogue.bias >= 0) {
    std::vector<int64_t> sizes(static_cast<size_t>(y.get_ndims()), 1), strides = y.get_strides();
    sizes.back() = y.get_dims().back();
    bias = Desc(sizes, data_type(epilogue.wide_bias ? DType::f32 : p.y.dtype), strides);
  }
  dnnl::primitive_attr attributes = with_epilogue(epilogue, y);
  // What stays may lie as oneDNN likes best.
  Desc plain_b = b;
  bool lasts = p.b_values == nullptr && p.b_lasts;
  if (p.b_values != nullptr || lasts)
    b = Desc(b.get_dims(), b.get_data_type(), dnnl::memory::format_tag::any);
  dnnl::matmul::primitive_desc pd =
      epilogue.bias >= 0
          ? dnnl::matmul::primitive_desc(engine(), a, b, bias, y, attributes, /*allow_empty=*/true)
          : dnnl::matmul::primitive_desc(engine(), a, b, y, attributes, /*allow_empty=*/true);
  if (!pd || !is_fast(pd.impl_info_str())) return {};
  Program program(threads);
  Program::Argument given{DNNL_ARG_WEIGHTS, plain_b, Place::input, 1};
  auto weight = lasts ? program.prepared_in_layout(given, pd.weights_desc(), context)
                      : program.in_layout(given, pd.weights_desc(), p.b_values);
  std::vector<Program::Argument> arguments = {
      {DNNL_ARG_SRC, a, Place::input, 0}, weight, {DNNL_ARG_DST, y, Place::output, 0}};
  add_epilogue(epilogue, bias, y, arguments);
  program.add(dnnl::matmul(pd), arguments, pd.scratchpad_desc());
  if (allocates_itself(pd.impl_info_str())) {
    context.kept_bytes =
        gemm_workspace_bytes(static_cast<int64_t>(inner), p.y.shape.size(-1), threads);
  }
  return std::move(program).step(context, pd.impl_info_str());
}

}  // namespace wafer::cpu::onednn
