#include "wafer/tensor/grad.h"

#include "wafer/op/create.h"
#include "wafer/pass/gradient.h"

namespace wafer {

std::vector<Tensor> grad(const Tensor& loss, const std::vector<Tensor>& wrt) {
  WAFER_REQUIRE(loss.rank() == 0 && is_floating(loss.dtype()), "grad", "the loss is ", loss.type(),
                "; expected a floating scalar; take its mean() or sum() first");
  return grad(std::vector<Tensor>{loss}, {ones_like(loss)}, wrt);
}

std::vector<Tensor> grad(const std::vector<Tensor>& outputs,
                         const std::vector<Tensor>& output_gradients,
                         const std::vector<Tensor>& wrt) {
  for (const Tensor& value : wrt) {
    WAFER_REQUIRE(is_floating(value.dtype()), "grad", "cannot differentiate by a tensor of ",
                  value.dtype());
  }
  std::vector<Tensor> gradients = gradient(outputs, output_gradients, wrt);
  for (size_t i = 0; i < wrt.size(); ++i) {
    if (!gradients[i]) gradients[i] = zeros_like(wrt[i]);
  }
  return gradients;
}

}  // namespace wafer
