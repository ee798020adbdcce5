#pragma once
#include <vector>

#include "wafer/ir/type.h"

namespace wafer::kernel {

// Windows over spatial dimensions as numbers for kernels: always three dimensions, the first ones 1
// where there are fewer. 24 numbers: sizes of x, of y, of the window, strides, low padding,
// dilation, batch, channels of x, elements of x's and of y's images and of the window.
template <class A>
std::vector<int64_t> window_numbers(const A& attrs, const Shape& x, const Shape& y,
                                    const std::vector<int64_t>& window) {
  std::vector<int64_t> p(24, 1);
  p[12] = p[13] = p[14] = 0;
  size_t spatial = window.size(), skip = 3 - spatial;
  for (size_t d = 0; d < spatial; ++d) {
    p[skip + d] = x.size(static_cast<int>(d + 2));
    p[3 + skip + d] = y.size(static_cast<int>(d + 2));
    p[6 + skip + d] = window[d];
    p[9 + skip + d] = attrs.stride[d];
    p[12 + skip + d] = attrs.padding_low[d];
    p[15 + skip + d] = attrs.dilation[d];
  }
  p[18] = x.size(0);
  p[19] = x.size(1);
  p[20] = p[0] * p[1] * p[2];
  p[21] = p[3] * p[4] * p[5];
  p[22] = p[6] * p[7] * p[8];
  return p;
}

// The same for kernels: `w` are those numbers.
inline constexpr const char* window_text = R"(
#define XD ((int)w[0])
#define XH ((int)w[1])
#define XW ((int)w[2])
#define YD ((int)w[3])
#define YH ((int)w[4])
#define YW ((int)w[5])
#define KD ((int)w[6])
#define KH ((int)w[7])
#define KW ((int)w[8])
#define SD ((int)w[9])
#define SH ((int)w[10])
#define SW ((int)w[11])
#define PD ((int)w[12])
#define PH ((int)w[13])
#define PW ((int)w[14])
#define DD ((int)w[15])
#define DH ((int)w[16])
#define DW ((int)w[17])
#define CHANNELS ((int)w[19])
#define X_IMAGE ((int)w[20])
#define Y_IMAGE ((int)w[21])
#define TAPS ((int)w[22])
)";

}  // namespace wafer::kernel
