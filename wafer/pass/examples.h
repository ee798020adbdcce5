#pragma once
#include <map>
#include <optional>
#include <vector>

#include "wafer/ir/graph.h"
#include "wafer/pass/value.h"

namespace wafer {

// Which values of a graph have a row, or several, for each example of a batch along dimension 0.
// Types are static and row-major.
class Examples {
 public:
  // An input is of examples when its dimension 0 is `batch`.
  Examples(const Graph& graph, int64_t batch);

  // Whether no example depends on another. False, too, where an op is not known here.
  bool apart() const { return apart_; }
  // Rows for each example; 0: the value is the same for all.
  int64_t rows(const Tensor& value) const { return rows_.at(key(value)); }
  // The graph for `part` examples instead of the batch. They are apart.
  Graph part_of(const Graph& graph, int64_t part) const;

 private:
  using Rows = std::optional<std::vector<int64_t>>;
  int64_t rows_of_shape(const Shape& shape) const;
  // One entry for each output; nothing where examples are mixed or the op is unknown here.
  Rows rows_of(const Node& node) const;

  int64_t batch_;
  bool apart_ = true;
  std::map<Value, int64_t> rows_;
};

}  // namespace wafer
