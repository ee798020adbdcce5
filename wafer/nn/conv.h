#pragma once
#include "wafer/nn/module.h"
#include "wafer/nn/sizes.h"

namespace wafer::nn {

struct ConvLayerOptions {
  int64_t in = 0, out = 0;  // channels
  Sizes kernel;
  Sizes stride = 1, padding = 0, dilation = 1;
  int64_t groups = 1;
  bool bias = true;
  // Padding that keeps the spatial sizes at stride 1, in place of `padding`.
  bool same_padding = false;
};

// Cross-correlation of x [batch, in, spatial...] with weight [out, in / groups, kernel...], plus
// bias [out]; output size (size + 2 padding - dilation (kernel - 1) - 1) / stride + 1. First
// values as PyTorch: uniform within 1 / sqrt(in / groups times the kernel's elements).
template <int dimensions>
class Conv : public UnaryModule {
 public:
  explicit Conv(const ConvLayerOptions& options);
  Tensor forward(const Tensor& x) override;
  std::string describe() const override;

  Tensor weight, bias;

 private:
  ConvLayerOptions options_;
};

struct ConvTransposeLayerOptions {
  int64_t in = 0, out = 0;
  Sizes kernel;
  Sizes stride = 1, padding = 0, output_padding = 0, dilation = 1;
  int64_t groups = 1;
  bool bias = true;
};

// The gradient of Conv by its input, used forward: x [batch, in, spatial...], weight [in, out /
// groups, kernel...]; output size (size - 1) stride - 2 padding + dilation (kernel - 1) +
// output_padding + 1.
template <int dimensions>
class ConvTranspose : public UnaryModule {
 public:
  explicit ConvTranspose(const ConvTransposeLayerOptions& options);
  Tensor forward(const Tensor& x) override;
  std::string describe() const override;

  Tensor weight, bias;

 private:
  ConvTransposeLayerOptions options_;
};

using Conv1d = Conv<1>;
using Conv2d = Conv<2>;
using Conv3d = Conv<3>;
using ConvTranspose1d = ConvTranspose<1>;
using ConvTranspose2d = ConvTranspose<2>;
using ConvTranspose3d = ConvTranspose<3>;

extern template class Conv<1>;
extern template class Conv<2>;
extern template class Conv<3>;
extern template class ConvTranspose<1>;
extern template class ConvTranspose<2>;
extern template class ConvTranspose<3>;

}  // namespace wafer::nn
