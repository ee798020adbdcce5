#pragma once
#include <functional>
#include <span>
#include <vector>

#include "wafer/deploy/onnx/context.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/index.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"

// What the rules of several families use, and the lists of the families.
namespace wafer::onnx {

using RuleList = std::span<const RuleEntry>;
RuleList activation_rules();
RuleList elementwise_rules();
RuleList cast_rules();
RuleList shape_rules();
RuleList slice_rules();
RuleList index_rules();
RuleList reduce_rules();
RuleList create_rules();
RuleList conv_rules();
RuleList pool_rules();
RuleList norm_rules();
RuleList matmul_rules();
RuleList loss_rules();
RuleList attention_rules();
RuleList recurrent_rules();
RuleList quantise_rules();
RuleList control_flow_rules();
RuleList sequence_rules();
RuleList string_rules();
RuleList resize_rules();
RuleList sample_rules();
RuleList signal_rules();
RuleList training_rules();
RuleList ml_rules();
RuleList search_rules();
RuleList linear_attention_rules();
RuleList einsum_rules();

using Ints = std::vector<int64_t>;

// Sizes in braces, which could be a Shape or a list.
inline Tensor reshape(const Tensor& x, std::initializer_list<int64_t> sizes) {
  return wafer::reshape(x, Ints(sizes));
}

// The value cast to another element type, with ONNX's rules for small types. `saturate`: floats out
// of a small float's range become its largest numbers, else NaN or infinity.
Value cast_value(const Value& value, ElementType to, bool saturate = true,
                 const std::string& round_mode = "up");

// axis in [-rank, rank) as one in [0, rank).
int axis_of(const Context& c, int64_t axis, int rank);
Ints axes_of(const Context& c, const Ints& axes, int rank);

Tensor constant(const Ints& values);                              // i64 [n]
Tensor constant(const std::vector<double>& values, DType dtype);  // [n]
Tensor scalar(double value, DType dtype);

// Rows of x along `axis` in the order of the numbers, which are given now.
Tensor take(const Tensor& x, const Ints& indices, int axis);
int64_t product(const Ints& sizes);
// Calls `visit` with the elements of both tensors for each place of the shape they broadcast to,
// which is returned.
Shape visit_broadcast(
    const Context& c, const StringTensor& a, const StringTensor& b,
    const std::function<void(const std::string& left, const std::string& right)>& visit);
// x with dimensions of size 1 before it, up to `rank`.
Tensor with_rank(const Tensor& x, int rank);

}  // namespace wafer::onnx
