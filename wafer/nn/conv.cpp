#include "wafer/nn/conv.h"

#include <cmath>

#include "wafer/base/strings.h"
#include "wafer/op/conv.h"

namespace wafer::nn {

std::string Sizes::text() const {
  std::vector<std::string> parts;
  for (int64_t value : values) parts.push_back(std::to_string(value));
  return join(parts, "x");
}

std::vector<int64_t> Sizes::spread(int dimensions, const std::string& where,
                                   const char* field) const {
  auto count = static_cast<size_t>(dimensions);
  if (values.size() == count) return values;
  WAFER_REQUIRE(values.size() == 1, where, field, " has ", values.size(), " numbers; expected one",
                dimensions == 1 ? std::string() : str(" or ", dimensions));
  return std::vector<int64_t>(count, values[0]);
}

namespace {
template <class Options>
void check_options(const Options& o, const std::string& where) {
  WAFER_REQUIRE(o.in > 0 && o.out > 0, where, "in = ", o.in, ", out = ", o.out,
                "; both numbers of channels must be given and positive");
  WAFER_REQUIRE(!o.kernel.empty(), where, "the kernel's size is not given; write .kernel = 3");
  WAFER_REQUIRE(o.groups > 0 && o.in % o.groups == 0 && o.out % o.groups == 0, where, o.groups,
                " groups do not divide ", o.in, " input and ", o.out, " output channels");
  for (int64_t size : o.kernel.values)
    WAFER_REQUIRE(size > 0, where, "a kernel of size ", size, "; expected at least 1");
}

void check_input(const Tensor& x, int dimensions, int64_t in, const std::string& where) {
  const char* spatial[] = {"length", "height, width", "depth, height, width"};
  if (x.rank() != dimensions + 2) {
    throw UserError(where, str("the input has ", x.rank(), " dimensions"),
                    {.got = x.shape().text(),
                     .expected = str("[batch, ", in, ", ", spatial[dimensions - 1], "]"),
                     .hint = ""});
  }
  if (!(x.shape()[1] == Dim(in))) {
    throw UserError(where, str("the input has ", x.shape()[1], " channels, the layer takes ", in),
                    {.got = str("input ", x.shape()),
                     .expected = str("[batch, ", in, ", ", spatial[dimensions - 1], "]"),
                     .hint = str("write .in = ", x.shape()[1])});
  }
}

std::vector<int64_t> weight_shape(int64_t first, int64_t second,
                                  const std::vector<int64_t>& kernel) {
  std::vector<int64_t> sizes{first, second};
  sizes.insert(sizes.end(), kernel.begin(), kernel.end());
  return sizes;
}

template <class Options>
std::string describe_options(const char* kind, int dimensions, const Options& o) {
  std::string text =
      str(kind, dimensions, "d{in=", o.in, ", out=", o.out, ", kernel=", o.kernel.text());
  if (!o.stride.is(1)) text += ", stride=" + o.stride.text();
  if (!o.padding.is(0)) text += ", padding=" + o.padding.text();
  if (!o.dilation.is(1)) text += ", dilation=" + o.dilation.text();
  if (o.groups != 1) text += str(", groups=", o.groups);
  if (!o.bias) text += ", bias=false";
  return text + "}";
}
}  // namespace

template <int dimensions>
Conv<dimensions>::Conv(const ConvLayerOptions& options) : options_(options) {
  std::string where = str("conv", dimensions, "d");
  check_options(options_, where);
  auto kernel = options.kernel.spread(dimensions, where, "kernel");
  Shape shape(weight_shape(options.out, options.in / options.groups, kernel));
  double bound = 1 / std::sqrt(init::fans(shape).in);
  parameter("weight", weight, shape, init::kaiming_uniform(std::sqrt(5.0)));
  if (options.bias) parameter("bias", bias, Shape{options.out}, init::uniform(-bound, bound));
}

template <int dimensions>
Tensor Conv<dimensions>::forward(const Tensor& x) {
  std::string where = str("conv", dimensions, "d");
  check_input(x, dimensions, options_.in, where);
  wafer::ConvOptions conv_options{.stride = options_.stride.values,
                                  .padding = options_.padding.values,
                                  .dilation = options_.dilation.values,
                                  .groups = options_.groups};
  if (options_.same_padding) {
    auto kernel = options_.kernel.spread(dimensions, where, "kernel");
    auto dilation = options_.dilation.spread(dimensions, where, "dilation");
    conv_options.padding.clear();
    for (size_t i = 0; i < kernel.size(); ++i) {
      int64_t total = dilation[i] * (kernel[i] - 1);
      conv_options.padding.push_back(total / 2);
      conv_options.padding_high.push_back(total - total / 2);
    }
  }
  return conv(x, weight, bias, conv_options);
}

template <int dimensions>
std::string Conv<dimensions>::describe() const {
  return describe_options("Conv", dimensions, options_);
}

template <int dimensions>
ConvTranspose<dimensions>::ConvTranspose(const ConvTransposeLayerOptions& options)
    : options_(options) {
  std::string where = str("conv_transpose", dimensions, "d");
  check_options(options, where);
  auto kernel = options.kernel.spread(dimensions, where, "kernel");
  Shape shape(weight_shape(options.in, options.out / options.groups, kernel));
  double bound = 1 / std::sqrt(init::fans(shape).in);
  parameter("weight", weight, shape, init::kaiming_uniform(std::sqrt(5.0)));
  if (options.bias) parameter("bias", bias, Shape{options.out}, init::uniform(-bound, bound));
}

template <int dimensions>
Tensor ConvTranspose<dimensions>::forward(const Tensor& x) {
  check_input(x, dimensions, options_.in, str("conv_transpose", dimensions, "d"));
  wafer::ConvOptions conv_options{.stride = options_.stride.values,
                                  .padding = options_.padding.values,
                                  .dilation = options_.dilation.values,
                                  .groups = options_.groups};
  return conv_transpose(x, weight, bias, conv_options, options_.output_padding.values);
}

template <int dimensions>
std::string ConvTranspose<dimensions>::describe() const {
  return describe_options("ConvTranspose", dimensions, options_);
}

template class Conv<1>;
template class Conv<2>;
template class Conv<3>;
template class ConvTranspose<1>;
template class ConvTranspose<2>;
template class ConvTranspose<3>;

}  // namespace wafer::nn
