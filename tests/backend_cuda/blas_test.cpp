#include <gtest/gtest.h>

#include <memory>

#include "wafer/backend/cuda/api.h"

// The toolkit's own cuBLASLt, as far as it works without a GPU: it takes what products are
// described by, and refuses what it does not know.
namespace wafer {
namespace {

TEST(CudaBlas, TheToolkitsLibraryTakesOurDescriptions) {
  std::string reason;
  const cuda::Blas* blas = cuda::load_blas(reason);
  if (!blas) GTEST_SKIP() << reason;
  cublasLtMatmulDesc_t product = nullptr;
  ASSERT_EQ(blas->create_product(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
  int32_t operation = CUBLAS_OP_T;
  for (auto which : {CUBLASLT_MATMUL_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSB})
    EXPECT_EQ(blas->set_product(product, which, &operation, sizeof operation),
              CUBLAS_STATUS_SUCCESS);
  EXPECT_NE(blas->set_product(product, CUBLASLT_MATMUL_DESC_TRANSA, &operation, 2),
            CUBLAS_STATUS_SUCCESS);
  int32_t epilogue = CUBLASLT_EPILOGUE_RELU_BIAS;
  EXPECT_EQ(blas->set_product(product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue),
            CUBLAS_STATUS_SUCCESS);
  const void* bias = &epilogue;
  EXPECT_EQ(blas->set_product(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
            CUBLAS_STATUS_SUCCESS);
  for (cudaDataType_t type : {CUDA_R_64F, CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF}) {
    cublasLtMatrixLayout_t layout = nullptr;
    ASSERT_EQ(blas->create_layout(&layout, type, 17, 5, 24), CUBLAS_STATUS_SUCCESS);
    int32_t batches = 3;
    int64_t stride = 0;
    EXPECT_EQ(
        blas->set_layout(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batches, sizeof batches),
        CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(blas->set_layout(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                               sizeof stride),
              CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(blas->destroy_layout(layout), CUBLAS_STATUS_SUCCESS);
  }
  cublasLtMatmulPreference_t preference = nullptr;
  ASSERT_EQ(blas->create_preference(&preference), CUBLAS_STATUS_SUCCESS);
  uint64_t workspace = 1 << 20;
  uint32_t alignment = 16;
  EXPECT_EQ(blas->set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                 sizeof workspace),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(blas->set_preference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &alignment,
                                 sizeof alignment),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(blas->destroy_preference(preference), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(blas->destroy_product(product), CUBLAS_STATUS_SUCCESS);
  EXPECT_STRNE(blas->error_text(CUBLAS_STATUS_NOT_SUPPORTED), "");
}

}  // namespace
}  // namespace wafer
