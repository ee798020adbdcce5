#include "wafer/backend/cuda/product.h"

#include <algorithm>

namespace wafer::cuda {

namespace {
cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f64: return CUDA_R_64F;
    case DType::f16: return CUDA_R_16F;
    case DType::bf16: return CUDA_R_16BF;
    default: return CUDA_R_32F;
  }
}

// Attributes of cuBLASLt are written from memory of their type's size.
template <class Set, class Object, class Attribute, class T>
void set(const Context& context, Set function, Object object, Attribute attribute, T value) {
  context.check_blas(function(object, attribute, &value, sizeof value), "describing a product");
}

Kept<cublasLtMatrixLayout_t> make_layout(const Context& context, DType dtype, int64_t rows,
                                         int64_t columns, int64_t leading, int64_t batches,
                                         int64_t stride) {
  const Blas& blas = *context.blas();
  cublasLtMatrixLayout_t layout = nullptr;
  context.check_blas(blas.create_layout(&layout, type_of(dtype), static_cast<uint64_t>(rows),
                                        static_cast<uint64_t>(columns), std::max(leading, rows)),
                     "describing a matrix");
  Kept<cublasLtMatrixLayout_t> kept(layout, blas.destroy_layout);
  if (batches > 1) {
    set(context, blas.set_layout, layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
        static_cast<int32_t>(batches));
    set(context, blas.set_layout, layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride);
  }
  return kept;
}
}  // namespace

std::shared_ptr<const BlasProduct> BlasProduct::make(const Context& context,
                                                     const kernel::ProductProblem& p) {
  const Blas& blas = *context.blas();
  std::shared_ptr<BlasProduct> result(new BlasProduct(context));
  result->in_f64_ = p.dtype == DType::f64;
  cublasLtMatmulDesc_t product = nullptr;
  context.check_blas(
      blas.create_product(&product, result->in_f64_ ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                          result->in_f64_ ? CUDA_R_64F : CUDA_R_32F),
      "describing a product");
  result->product_ = {product, blas.destroy_product};
  auto operation = [](bool transpose) {
    return static_cast<int32_t>(transpose ? CUBLAS_OP_T : CUBLAS_OP_N);
  };
  // Its first matrix is our second, whose rows are its columns.
  set(context, blas.set_product, product, CUBLASLT_MATMUL_DESC_TRANSA, operation(p.transpose_b));
  set(context, blas.set_product, product, CUBLASLT_MATMUL_DESC_TRANSB, operation(p.transpose_a));
  if (p.bias || p.relu) {
    // The library's rows are our columns: its bias of rows is ours of columns.
    auto epilogue = static_cast<int32_t>(!p.bias   ? CUBLASLT_EPILOGUE_RELU
                                         : !p.relu ? CUBLASLT_EPILOGUE_BIAS
                                                   : CUBLASLT_EPILOGUE_RELU_BIAS);
    set(context, blas.set_product, product, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    result->has_bias_ = p.bias;
    // Until there is one: an address that is aligned as those of runs are.
    if (p.bias)
      set(context, blas.set_product, product, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
          reinterpret_cast<const void*>(p.alignment));
  }
  result->b_ = make_layout(context, p.dtype, p.transpose_b ? p.k : p.n, p.transpose_b ? p.n : p.k,
                           p.b_row, p.batches, p.b_batch);
  result->a_ = make_layout(context, p.dtype, p.transpose_a ? p.m : p.k, p.transpose_a ? p.k : p.m,
                           p.a_row, p.batches, p.a_batch);
  result->y_ = make_layout(context, p.dtype, p.n, p.m, p.y_row, p.batches, p.y_batch);

  cublasLtMatmulPreference_t preference = nullptr;
  context.check_blas(blas.create_preference(&preference), "describing a product");
  Kept<cublasLtMatmulPreference_t> kept(preference, blas.destroy_preference);
  set(context, blas.set_preference, preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
      static_cast<uint64_t>(Context::workspace_bytes));
  // Else it may add up parts of a sum in the result's dtype.
  set(context, blas.set_preference, preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  for (auto which :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    set(context, blas.set_preference, preference, which, static_cast<uint32_t>(p.alignment));
  }
  int found = 0;
  cublasStatus_t status =
      blas.choose(context.blas_handle(), product, result->b_.get(), result->a_.get(),
                  result->y_.get(), result->y_.get(), preference, 1, &result->algorithm_, &found);
  bool known = status == CUBLAS_STATUS_SUCCESS && found > 0 &&
               result->algorithm_.state == CUBLAS_STATUS_SUCCESS;
  return known ? result : nullptr;
}

void BlasProduct::launch(const kernel::ProductAddresses& at, const std::string& what) const {
  context_.enqueue(what, [&](CUstream stream, void* workspace) {
    // The call reads the description, whose bias is another in each run; enqueue() lets one thread
    // in at a time.
    if (has_bias_)
      set(context_, context_.blas()->set_product, product_.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER,
          at.bias);
    float one = 1, kept = at.residual ? 1 : 0;
    double one64 = 1, kept64 = kept;
    const void* alpha = in_f64_ ? static_cast<const void*>(&one64) : &one;
    const void* beta = in_f64_ ? static_cast<const void*>(&kept64) : &kept;
    const void* before = at.residual ? at.residual : at.y;
    context_.check_blas(
        context_.blas()->multiply(context_.blas_handle(), product_.get(), alpha, at.b, b_.get(),
                                  at.a, a_.get(), beta, before, y_.get(), at.y, y_.get(),
                                  &algorithm_.algo, workspace, algorithm_.workspaceSize, stream),
        what);
  });
}

}  // namespace wafer::cuda
