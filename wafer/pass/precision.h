#pragma once
#include <string>
#include <string_view>

#include "wafer/ir/graph.h"
#include "wafer/runtime/device.h"

namespace wafer {

// What a program computes in. `automatic` is a wish: whoever compiles makes one of the others of
// it, by what the device can do and by whether the losses agree.
enum class Precision : uint8_t { automatic, f32, bf16, f16 };

// "auto", "f32", "bf16", "f16".
std::string_view name(Precision precision);
// The narrow one that the device multiplies in hardware: bf16 before f16, f32 where it has neither.
Precision narrow_precision(const DeviceInfo& device);
// UserError with "did you mean" for any other word.
Precision precision_by_name(const std::string& text);

// The same program in bf16 or f16: f32 products, convolutions, recurrent layers and attention, and
// what is made from their results, become narrow. Products still add up in f32, as do reductions;
// inputs and outputs of the graph keep their dtypes, so parameters and the optimiser's state stay
// f32 and are cast once. f32 also stay losses, logarithms of softmax, statistics and weights of
// norms, sums into a table (scatter_add), loops' carries, and every node recorded under the module
// paths "loss", "metrics" and "optimizer". Values of other dtypes (f64, integers) and explicit
// casts are left alone. In f16, whose numbers end at 65,504 and 6e-8, f32 also stay sums,
// quotients, exponentials, logarithms, powers, and what a constant beyond these would enter. With
// Precision::f32 the graph stays as it is. Gradients in f16 need a
// scaled loss: train_step_graph has one.
Graph apply_precision(const Graph& graph, Precision precision);

}  // namespace wafer
