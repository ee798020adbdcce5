#include "wafer/backend/cpu/fused.h"

// Every element-wise op alone: a loop program of one instruction.
namespace wafer::cpu {

WAFER_KERNEL(neg) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(abs) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(sign) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(exp) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(expm1) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(log) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(log1p) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(sqrt) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(sin) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(cos) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(tan) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(asin) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(acos) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(atan) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(tanh) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(erf) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(floor) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(ceil) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(round) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(logical_not) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(cast) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(add) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(sub) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(mul) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(div) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(pow) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(remainder) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(maximum) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(minimum) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(equal) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(not_equal) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(less) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(less_equal) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(logical_and) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(logical_or) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(logical_xor) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(where) {
  return elementwise_step(node, context);
}

// Composites stay whole, so that passes can match them; the program inlines their decomposition.
WAFER_KERNEL(relu) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(sigmoid) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(silu) {
  return elementwise_step(node, context);
}
WAFER_KERNEL(gelu) {
  return elementwise_step(node, context);
}

}  // namespace wafer::cpu
