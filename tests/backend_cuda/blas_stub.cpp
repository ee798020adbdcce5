#include <algorithm>
#include <cstring>

#include "tests/backend_cuda/driver_stub.h"
#include "wafer/base/error.h"
#include "wafer/ir/dtype.h"

// cuBLASLt of the stub: descriptions are kept as they were set, and a product is work of the stream
// that touches what the description says.
namespace wafer::testing {

namespace {
struct Product {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  int32_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  int32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;

  bool has_bias() const { return (epilogue & CUBLASLT_EPILOGUE_BIAS) != 0; }
  bool has_relu() const { return (epilogue & CUBLASLT_EPILOGUE_RELU) != 0; }
};
struct Matrix {
  cudaDataType_t type;
  int64_t rows, columns, leading;
  int32_t batches = 1;
  int64_t stride = 0;

  int64_t elements() const { return (batches - 1) * stride + (columns - 1) * leading + rows; }
};
struct Preference {
  uint64_t workspace = 0;
  uint32_t alignment = 256, reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
};

DriverStub& current_stub() {
  return DriverStub::get();
}

template <class T, class Handle, class... Arguments>
cublasStatus_t create(Handle* handle, Arguments... arguments) {
  *handle = reinterpret_cast<Handle>(new T{arguments...});
  ++current_stub().blas_objects;
  return CUBLAS_STATUS_SUCCESS;
}
template <class T, class Handle>
cublasStatus_t destroy(Handle handle) {
  delete reinterpret_cast<T*>(handle);
  --current_stub().blas_objects;
  return CUBLAS_STATUS_SUCCESS;
}
template <class T>
cublasStatus_t take(T& value, const void* from, size_t bytes) {
  if (bytes != sizeof value) {
    current_stub().violate("an attribute of cuBLASLt of another size");
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  std::memcpy(&value, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t set_product(cublasLtMatmulDesc_t handle, cublasLtMatmulDescAttributes_t which,
                           const void* value, size_t bytes) {
  auto& product = *reinterpret_cast<Product*>(handle);
  if (which == CUBLASLT_MATMUL_DESC_TRANSA) return take(product.transpose_a, value, bytes);
  if (which == CUBLASLT_MATMUL_DESC_TRANSB) return take(product.transpose_b, value, bytes);
  if (which == CUBLASLT_MATMUL_DESC_EPILOGUE) return take(product.epilogue, value, bytes);
  if (which == CUBLASLT_MATMUL_DESC_BIAS_POINTER) return take(product.bias, value, bytes);
  return CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t set_layout(cublasLtMatrixLayout_t handle, cublasLtMatrixLayoutAttribute_t which,
                          const void* value, size_t bytes) {
  auto& matrix = *reinterpret_cast<Matrix*>(handle);
  if (which == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) return take(matrix.batches, value, bytes);
  if (which == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET)
    return take(matrix.stride, value, bytes);
  return CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t set_preference(cublasLtMatmulPreference_t handle,
                              cublasLtMatmulPreferenceAttributes_t which, const void* value,
                              size_t bytes) {
  auto& preference = *reinterpret_cast<Preference*>(handle);
  if (which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
    return take(preference.workspace, value, bytes);
  if (which == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
    return take(preference.reductions, value, bytes);
  return take(preference.alignment, value, bytes);
}

size_t size_of(cudaDataType_t type) {
  return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
}
double load(cudaDataType_t type, const std::byte* memory, int64_t at) {
  switch (type) {
    case CUDA_R_64F: return reinterpret_cast<const double*>(memory)[at];
    case CUDA_R_16F: return static_cast<double>(reinterpret_cast<const Float16*>(memory)[at]);
    case CUDA_R_16BF: return static_cast<double>(reinterpret_cast<const BFloat16*>(memory)[at]);
    default: return static_cast<double>(reinterpret_cast<const float*>(memory)[at]);
  }
}
void store(cudaDataType_t type, std::byte* memory, int64_t at, double value) {
  switch (type) {
    case CUDA_R_64F: reinterpret_cast<double*>(memory)[at] = value; break;
    case CUDA_R_16F: reinterpret_cast<Float16*>(memory)[at] = static_cast<Float16>(value); break;
    case CUDA_R_16BF: reinterpret_cast<BFloat16*>(memory)[at] = static_cast<BFloat16>(value); break;
    default: reinterpret_cast<float*>(memory)[at] = static_cast<float>(value);
  }
}

// What cuBLASLt's documentation asks of matrices: op(a) is [m, k], op(b) [k, n], y [m, n], each
// column by column with a distance of columns that is no less than the rows.
bool fit(const Product& product, const Matrix& a, const Matrix& b, const Matrix& y) {
  int64_t m = product.transpose_a ? a.columns : a.rows,
          k = product.transpose_a ? a.rows : a.columns;
  int64_t inner = product.transpose_b ? b.columns : b.rows;
  int64_t n = product.transpose_b ? b.rows : b.columns;
  bool one_type = a.type == b.type && b.type == y.type;
  bool exact = y.type == CUDA_R_64F
                   ? product.compute == CUBLAS_COMPUTE_64F && product.scale == CUDA_R_64F
                   : product.compute == CUBLAS_COMPUTE_32F && product.scale == CUDA_R_32F;
  bool leading = a.leading >= a.rows && b.leading >= b.rows && y.leading >= y.rows;
  return one_type && exact && leading && inner == k && y.rows == m && y.columns == n &&
         a.batches == b.batches && b.batches == y.batches;
}

cublasStatus_t choose(cublasLtHandle_t, cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a,
                      cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                      cublasLtMatmulPreference_t preference, int,
                      cublasLtMatmulHeuristicResult_t* result, int* found) {
  *found = 0;
  if (!fit(*reinterpret_cast<Product*>(product), *reinterpret_cast<Matrix*>(a),
           *reinterpret_cast<Matrix*>(b), *reinterpret_cast<Matrix*>(d)) ||
      c != d) {
    current_stub().violate("matrices that do not fit a product of cuBLASLt");
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  int32_t epilogue = reinterpret_cast<Product*>(product)->epilogue;
  if (!current_stub().blas_knows_products) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (!current_stub().blas_knows_epilogues && epilogue != CUBLASLT_EPILOGUE_DEFAULT)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const auto& wanted = *reinterpret_cast<Preference*>(preference);
  if (wanted.reductions != CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)
    current_stub().violate("a product that may be added up in its result's dtype");
  *found = 1;
  result->state = CUBLAS_STATUS_SUCCESS;
  result->workspaceSize = wanted.workspace / 2;
  result->algo.data[0] = wanted.alignment;  // what it relies on
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t multiply(cublasLtHandle_t, cublasLtMatmulDesc_t handle, const void* alpha,
                        const void* a, cublasLtMatrixLayout_t a_handle, const void* b,
                        cublasLtMatrixLayout_t b_handle, const void* beta, const void* c,
                        cublasLtMatrixLayout_t c_handle, void* d, cublasLtMatrixLayout_t d_handle,
                        const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                        size_t workspace_bytes, cudaStream_t stream) {
  Product product = *reinterpret_cast<Product*>(handle);
  Matrix left = *reinterpret_cast<Matrix*>(a_handle), right = *reinterpret_cast<Matrix*>(b_handle);
  Matrix result = *reinterpret_cast<Matrix*>(d_handle);
  bool in_f64 = product.scale == CUDA_R_64F;
  double factor = in_f64 ? *static_cast<const double*>(alpha) : *static_cast<const float*>(alpha);
  double kept = in_f64 ? *static_cast<const double*>(beta) : *static_cast<const float*>(beta);
  if (factor != 1 || (kept != 0 && kept != 1) || c_handle != d_handle)
    current_stub().violate("a product that is not y = a b, or y = a b + c");
  std::vector<const void*> addresses = {a, b, c, d};
  if (product.has_bias()) addresses.push_back(product.bias);
  for (const void* address : addresses) {
    if (reinterpret_cast<uintptr_t>(address) % algorithm->data[0] != 0)
      current_stub().violate("a product on memory that is less aligned than was said");
  }
  auto access = [](const void* address, int64_t elements, cudaDataType_t type, bool write) {
    auto begin = reinterpret_cast<CUdeviceptr>(address);
    return DriverStub::Access{begin, begin + static_cast<size_t>(elements) * size_of(type), write};
  };
  DriverStub::Work work{
      "a product of cuBLASLt",
      {access(a, left.elements(), left.type, false), access(b, right.elements(), right.type, false),
       access(d, result.elements(), result.type, true)},
      nullptr};
  if (kept != 0) work.accesses.push_back(access(c, result.elements(), result.type, false));
  if (product.has_bias())
    work.accesses.push_back(access(product.bias, result.rows, result.type, false));
  auto scratch = reinterpret_cast<CUdeviceptr>(workspace);
  work.accesses.push_back({scratch, scratch + workspace_bytes, true});
  work.run = [=] {
    const auto *x = static_cast<const std::byte*>(a), *y = static_cast<const std::byte*>(b);
    int64_t inner = product.transpose_a ? left.rows : left.columns;
    for (int64_t batch = 0; batch < result.batches; ++batch) {
      for (int64_t column = 0; column < result.columns; ++column) {
        for (int64_t row = 0; row < result.rows; ++row) {
          double sum = 0;
          for (int64_t i = 0; i < inner; ++i) {
            int64_t from_a = product.transpose_a ? i + row * left.leading : row + i * left.leading;
            int64_t from_b =
                product.transpose_b ? column + i * right.leading : i + column * right.leading;
            sum += load(left.type, x, batch * left.stride + from_a) *
                   load(right.type, y, batch * right.stride + from_b);
          }
          int64_t at = batch * result.stride + column * result.leading + row;
          if (kept != 0) sum += load(result.type, static_cast<const std::byte*>(c), at);
          if (product.has_bias())
            sum += load(result.type, static_cast<const std::byte*>(product.bias), row);
          if (product.has_relu()) sum = std::max(sum, 0.0);
          store(result.type, static_cast<std::byte*>(d), at, sum);
        }
      }
    }
  };
  current_stub().calls.push_back("multiply");
  CUresult enqueued = current_stub().enqueue(reinterpret_cast<uintptr_t>(stream), std::move(work));
  return enqueued == CUDA_SUCCESS ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
}  // namespace

const cuda::Blas& DriverStub::blas() const {
  static const cuda::Blas table = {
      .error_text = [](cublasStatus_t) { return "error"; },
      .create =
          [](cublasLtHandle_t* handle) {
            if (!current_stub().blas_starts) return CUBLAS_STATUS_NOT_INITIALIZED;
            return create<int>(handle);
          },
      .destroy = [](cublasLtHandle_t handle) { return destroy<int>(handle); },
      .create_product =
          [](cublasLtMatmulDesc_t* handle, cublasComputeType_t compute, cudaDataType_t scale) {
            return create<Product>(handle, compute, scale);
          },
      .destroy_product = [](cublasLtMatmulDesc_t handle) { return destroy<Product>(handle); },
      .set_product = set_product,
      .create_layout =
          [](cublasLtMatrixLayout_t* handle, cudaDataType type, uint64_t rows, uint64_t columns,
             int64_t leading) {
            return create<Matrix>(handle, type, static_cast<int64_t>(rows),
                                  static_cast<int64_t>(columns), leading);
          },
      .destroy_layout = [](cublasLtMatrixLayout_t handle) { return destroy<Matrix>(handle); },
      .set_layout = set_layout,
      .create_preference =
          [](cublasLtMatmulPreference_t* handle) { return create<Preference>(handle); },
      .destroy_preference =
          [](cublasLtMatmulPreference_t handle) { return destroy<Preference>(handle); },
      .set_preference = set_preference,
      .choose = choose,
      .multiply = multiply};
  return table;
}

}  // namespace wafer::testing
