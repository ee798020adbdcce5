#pragma once
#include "wafer/op/reduce.h"

// What several composite ops are made of.
namespace wafer {

// x, or x as f32 when it is not floating.
Tensor as_real(const Tensor& x);

// The number of elements along `axes` (empty: all) as a scalar of x's dtype: a constant where the
// sizes are known, else counted when the graph runs.
Tensor element_count(const Tensor& x, const Axes& axes = {});

// Mean along `axes`, also where a size is symbolic.
Tensor mean_over(const Tensor& x, const Axes& axes = {}, bool keep_dims = false);

// v [channels] as [1, channels, 1...] of x's rank, so that it broadcasts against x [batch,
// channels, ...]; for x of rank 1, v itself.
Tensor along_channels(const Tensor& v, const Tensor& x);

// v with `count` dimensions of 1 appended.
Tensor append_ones(const Tensor& v, int count);

// Axes from `first` to the last of x.
Axes axes_from(int first, const Tensor& x);

// "input 64x32x8x8, weight 64": the shapes of named tensors in an error text; empty ones left out.
std::string shapes_text(const std::vector<std::pair<const char*, Tensor>>& tensors);

}  // namespace wafer
