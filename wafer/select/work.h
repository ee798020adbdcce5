#pragma once
#include <string>
#include <utility>
#include <vector>

#include "wafer/ir/node.h"

namespace wafer::select {

// What decides how long a step takes.
struct Work {
  // Steps of one kind run alike: the op, the variant where that matters ("reduce_sum last"), and a
  // floating dtype other than f32 ("matmul bf16").
  std::string kind;
  DType dtype = DType::f32;  // of what it reads
  double flops = 0, bytes = 0;
  // Base-2 logarithms of the sizes that efficiency depends on, as many for each step of a kind.
  std::vector<double> size;
  // Of element-wise steps: ("exp f32", elements) for each op that is computed.
  std::vector<std::pair<std::string, double>> elements;

  bool elementwise() const { return !elements.empty(); }
};

Work work_of(const Node& node);

// "exp f32": an op as element-wise rates are kept.
std::string element_op(const Node& node);

// Distance of two steps of a kind; 1 is a factor of two in one size.
double distance(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace wafer::select
