#pragma once
#include <memory>
#include <type_traits>

#include "wafer/backend/cuda/context.h"

namespace wafer::cuda {

// A description of the library, destroyed with its last user.
template <class Handle>
using Kept = std::shared_ptr<std::remove_pointer_t<Handle>>;

// Products of matrices by cuBLASLt: on tensor cores in f16 and bf16, and in f32 without TF32, which
// keeps 10 bits of the 23. The library's matrices lie column by column, so that it is asked for
// y^T = b^T a^T.
class BlasProduct : public kernel::LibraryProduct {
 public:
  // Null where the library knows no way to compute it.
  static std::shared_ptr<const BlasProduct> make(const Context& context,
                                                 const kernel::ProductProblem& problem);
  void launch(const kernel::ProductAddresses& at, const std::string& what) const override;
  size_t workspace_bytes() const override { return algorithm_.workspaceSize; }
  std::string name() const override { return "cublasLt"; }

 private:
  explicit BlasProduct(const Context& context) : context_(context) {}

  const Context& context_;
  bool in_f64_ = false;
  bool has_bias_ = false;
  Kept<cublasLtMatmulDesc_t> product_;  // holds the bias of the last launch: see there
  Kept<cublasLtMatrixLayout_t> a_, b_, y_;
  cublasLtMatmulHeuristicResult_t algorithm_{};
};

}  // namespace wafer::cuda
