#pragma once
#include <functional>
#include <optional>
#include <tuple>
#include <vector>

#include "wafer/ir/graph.h"

// Loops and branches as nodes with subgraphs. The functions given here run once, on placeholders,
// to record a subgraph. A value of the enclosing trace that they use becomes a further input of the
// node (a capture), and so does a tensor constant (not a scalar one: that is a number of the
// subgraph and has no gradient). What a loop's function computes from captures alone, random
// numbers included, is computed once, outside: give a scan different random numbers as xs.
namespace wafer {

struct ScanStep {
  std::vector<Tensor> carries;  // of the types that came in
  std::vector<Tensor> ys;       // one element of each stacked output
};
using ScanBody =
    std::function<ScanStep(const std::vector<Tensor>& carries, const std::vector<Tensor>& xs)>;

struct ScanOptions {
  bool reverse = false;           // from the last element of xs to the first; ys stay in xs's order
  std::optional<int64_t> length;  // number of steps; needed where there are no xs
  // Also stack each carry, for the gradient; where nothing reads them passes drop the stacks.
  // Without, the gradient runs the scan a second time.
  bool save_carries = true;
};

struct ScanResult {
  std::vector<Tensor> carries;  // after the last step
  std::vector<Tensor> ys;       // [length, ...]
};

// carries = initial; for each t: carries, y[t] = body(carries, x[t]), with x[t] the element of each
// of xs along dimension 0. Compile time does not depend on the length, nor does the gradient's: it
// is a scan in the other direction that computes the body again from the saved carries.
ScanResult scan(const ScanBody& body, const std::vector<Tensor>& initial,
                const std::vector<Tensor>& xs, const ScanOptions& options = {});

// The number of steps of a scan node; UserError when it is still symbolic.
int64_t scan_length(const Node& node);

// The same scan without the ys that `used` (one entry a y) does not name; their place in the
// result, which has one value per output of the node, is empty.
std::vector<Tensor> scan_without(const Node& node, const std::vector<Tensor>& inputs,
                                 const std::vector<bool>& used);

using LoopFunction = std::function<std::vector<Tensor>(const std::vector<Tensor>& state)>;

// state = initial; while condition(state): state = body(state). The condition gives a boolean
// scalar; the state keeps its types. Not differentiable: its number of steps is unknown.
std::vector<Tensor> while_loop(const std::function<Tensor(const std::vector<Tensor>&)>& condition,
                               const LoopFunction& body, const std::vector<Tensor>& initial);

using Branch = std::function<std::vector<Tensor>()>;

// then() where the predicate (a boolean scalar) holds, else otherwise(): only that one runs. Both
// give values of the same types.
std::vector<Tensor> if_else(const Tensor& predicate, const Branch& then, const Branch& otherwise);

// Op scan: inputs carries, xs, captures; the subgraph's inputs are the same with xs less dimension
// 0, its outputs are carries, ys; the node's outputs are the final carries, stacked ys.
struct ScanAttrs {
  int64_t carries = 0, xs = 0;
  int64_t length = -1;  // -1: dimension 0 of xs, which was symbolic
  bool reverse = false;
  // Where captures begin among the inputs.
  size_t first_capture() const { return static_cast<size_t>(carries + xs); }
  static constexpr auto fields() {
    return std::make_tuple(Field{"carries", &ScanAttrs::carries}, Field{"xs", &ScanAttrs::xs},
                           Field{"length", &ScanAttrs::length},
                           Field{"reverse", &ScanAttrs::reverse});
  }
};

// Op while_loop: inputs state, captures; subgraphs condition (a boolean scalar) and body (the
// state) of the same inputs; outputs the state.
struct WhileAttrs {
  int64_t states = 0;
  static constexpr auto fields() { return std::make_tuple(Field{"states", &WhileAttrs::states}); }
};

// Op if_else: inputs predicate, captures; subgraphs then, otherwise of the captures; outputs
// theirs.

}  // namespace wafer
