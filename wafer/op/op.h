#pragma once
#include <optional>
#include <string>
#include <vector>

#include "wafer/ir/graph.h"
#include "wafer/ir/node.h"

// The definition of op x is x_def; op::x is its name in code: `node.is(op::conv)`. Two names, since
// builders (wafer::conv) are called inside definitions, where a constant of the same name would
// hide them.
namespace wafer {
#define WAFER_OP(name)                             \
  extern const OpDef name##_def;                   \
  namespace op {                                   \
  inline constexpr const OpDef& name = name##_def; \
  }
#include "wafer/op/ops.def"
#undef WAFER_OP
}  // namespace wafer

namespace wafer {

// Every op of ops.def and the two leaves.
const std::vector<const OpDef*>& all_ops();
// The op of that name, or null.
const OpDef* find_op(const std::string& name);

// The op's own cost, or by default one operation per output element and every byte once.
Cost cost(const Node& node);
// Bytes of all inputs and outputs.
double bytes_touched(const Node& node);

// A UserError naming op, wrong dtype and what is expected unless `ok`.
void require_dtype(bool ok, const char* op, const Tensor& x, const char* expected);

// The number that a scalar constant (through broadcasts and reshapes) holds; nothing for others.
std::optional<double> constant_value(const Tensor& x);
// Whether that is `value`.
bool is_constant_value(const Tensor& x, double value);

}  // namespace wafer
