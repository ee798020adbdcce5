#include <algorithm>
#include <cstring>
#include <map>
#include <unordered_map>

#include "wafer/base/error.h"
#include "wafer/kernel/program.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer::kernel {

namespace {

const std::unordered_map<const OpDef*, Code>& codes() {
  static const std::unordered_map<const OpDef*, Code> map = {{&op::neg, Code::neg},
                                                             {&op::abs, Code::abs},
                                                             {&op::sign, Code::sign},
                                                             {&op::exp, Code::exp},
                                                             {&op::expm1, Code::expm1},
                                                             {&op::log, Code::log},
                                                             {&op::log1p, Code::log1p},
                                                             {&op::sqrt, Code::sqrt},
                                                             {&op::sin, Code::sin},
                                                             {&op::cos, Code::cos},
                                                             {&op::tan, Code::tan},
                                                             {&op::asin, Code::asin},
                                                             {&op::acos, Code::acos},
                                                             {&op::atan, Code::atan},
                                                             {&op::tanh, Code::tanh},
                                                             {&op::erf, Code::erf},
                                                             {&op::floor, Code::floor},
                                                             {&op::ceil, Code::ceil},
                                                             {&op::round, Code::round},
                                                             {&op::logical_not, Code::logical_not},
                                                             {&op::cast, Code::convert},
                                                             {&op::add, Code::add},
                                                             {&op::sub, Code::sub},
                                                             {&op::mul, Code::mul},
                                                             {&op::div, Code::div},
                                                             {&op::pow, Code::pow},
                                                             {&op::remainder, Code::remainder},
                                                             {&op::maximum, Code::maximum},
                                                             {&op::minimum, Code::minimum},
                                                             {&op::equal, Code::equal},
                                                             {&op::not_equal, Code::not_equal},
                                                             {&op::less, Code::less},
                                                             {&op::less_equal, Code::less_equal},
                                                             {&op::logical_and, Code::logical_and},
                                                             {&op::logical_or, Code::logical_or},
                                                             {&op::logical_xor, Code::logical_xor},
                                                             {&op::where, Code::where}};
  return map;
}

// Narrower integers are computed in 64 bits; these results may leave their range.
bool may_overflow(Code code) {
  switch (code) {
    case Code::neg:
    case Code::abs:
    case Code::add:
    case Code::sub:
    case Code::mul:
    case Code::div:
    case Code::pow: return true;
    default: return false;
  }
}

bool is_narrow_integer(DType dtype) {
  return is_integer(dtype) && bits(dtype) < 64;
}

// True when every value of `from` is one of `to`.
bool holds_all(DType to, DType from) {
  if (is_signed(to) == is_signed(from)) return bits(to) >= bits(from);
  return is_signed(to) && bits(to) > bits(from);
}

class Builder {
 public:
  Builder(const std::vector<Type>& inputs, const Type& space) : inputs_(inputs), space_(space) {
    auto rank = static_cast<size_t>(space.shape.rank());
    for (size_t i = 0; i < rank; ++i) order_.push_back(i);
    if (space.layout == Layout::channels_last && rank >= 3)
      std::rotate(order_.begin() + 1, order_.begin() + 2, order_.end());
    std::vector<int64_t> sizes = space.shape.sizes();
    for (size_t axis : order_) program_.sizes.push_back(sizes[axis]);
    program_.input_count = static_cast<int>(inputs.size());
  }

  void bind_input(const Tensor& input, int index) {
    const Type& type = inputs_[static_cast<size_t>(index)];
    WAFER_CHECK(type.shape == input.shape() && type.dtype == input.dtype(),
                "a group's input of type ", input.type(), " is given ", type);
    views_[key(input)] = View{index,
                              -1,
                              type.dtype,
                              type.shape.sizes(),
                              type.strides(),
                              0,
                              type.layout == Layout::row_major || type.shape.rank() < 3};
  }

  int value_of(const Tensor& tensor) { return loaded(view_of(tensor)); }

  Program finish(std::vector<Output> outputs) {
    program_.outputs = std::move(outputs);
    collapse();
    optimise(program_);
    return std::move(program_);
  }

 private:
  // A value as seen through slices, broadcasts and reshapes: a place in an input, or a computed
  // value.
  struct View {
    int input = -1;
    int value = -1;
    DType dtype = DType::f32;
    std::vector<int64_t> sizes, strides;  // logical
    int64_t offset = 0;
    bool dense = false;    // row-major without gaps: may be reshaped at will
    bool uniform = false;  // one element, however often it is repeated
  };
  using Key = std::pair<const Node*, int>;
  static Key key(const Tensor& tensor) { return {&tensor.node(), tensor.index()}; }

  static int64_t count(const std::vector<int64_t>& sizes) {
    int64_t product = 1;
    for (int64_t size : sizes) product *= size;
    return product;
  }

  const View& view_of(const Tensor& tensor) {
    auto found = views_.find(key(tensor));
    if (found != views_.end()) return found->second;
    const Node& node = tensor.node();
    View view;
    if (node.is(op::constant)) {
      view = computed(constant(node), node.outputs[0]);
    } else if (node.is(op::broadcast_to)) {
      view = broadcast(view_of(node.inputs[0]), tensor.shape().sizes());
    } else if (node.is(op::slice)) {
      view = sliced(view_of(node.inputs[0]), node.attr<SliceAttrs>(), tensor.shape().sizes());
    } else if (node.is(op::reshape)) {
      view = reshaped(view_of(node.inputs[0]), tensor.shape().sizes());
    } else if (node.op->decompose) {
      WAFER_CHECK(node.op->elementwise, node.op->name, " cannot be part of an element-wise group");
      kept_.push_back(node.op->decompose(node, node.inputs));
      Tensor stands_in = kept_.back().at(static_cast<size_t>(tensor.index()));
      view = view_of(stands_in);
    } else {
      view = computed(operation(node), node.outputs[0]);
    }
    return views_[key(tensor)] = std::move(view);
  }

  View computed(int value, const Type& type) {
    std::vector<int64_t> sizes = type.shape.sizes();
    bool uniform = count(sizes) == 1;
    return View{-1, value, type.dtype, sizes, std::vector<int64_t>(sizes.size()),
                0,  false, uniform};
  }

  View broadcast(View view, const std::vector<int64_t>& sizes) {
    WAFER_CHECK(view.value < 0 || view.uniform || count(view.sizes) == count(sizes),
                "a group broadcasts a value that it computes");
    size_t added = sizes.size() - view.sizes.size();
    std::vector<int64_t> strides(sizes.size());
    for (size_t i = added; i < sizes.size(); ++i) {
      bool widened = view.sizes[i - added] != sizes[i];
      strides[i] = widened ? 0 : view.strides[i - added];
    }
    view.dense = view.dense && count(view.sizes) == count(sizes);
    view.sizes = sizes;
    view.strides = std::move(strides);
    return view;
  }

  static View sliced(View view, const SliceAttrs& attrs, const std::vector<int64_t>& sizes) {
    WAFER_CHECK(view.value < 0 || view.uniform, "a group slices a value that it computes");
    view.strides.resize(sizes.size());
    for (size_t i = 0; i < sizes.size(); ++i) {
      view.offset += attrs.start[i] * view.strides[i];
      view.strides[i] *= attrs.step[i];
    }
    view.dense = view.dense && view.sizes == sizes;
    view.sizes = sizes;
    return view;
  }

  View reshaped(View view, const std::vector<int64_t>& sizes) {
    std::vector<int64_t> strides(sizes.size());
    if (view.dense) {
      strides = row_major_strides(sizes);
    } else if (!view.uniform) {
      // Dimensions of 1 come and go; the others keep their order.
      size_t from = 0;
      for (size_t i = 0; i < sizes.size(); ++i) {
        if (sizes[i] == 1) continue;
        while (from < view.sizes.size() && view.sizes[from] == 1) ++from;
        WAFER_CHECK(from < view.sizes.size() && view.sizes[from] == sizes[i],
                    "a group reshapes by more than dimensions of 1");
        strides[i] = view.strides[from++];
      }
    }
    view.sizes = sizes;
    view.strides = std::move(strides);
    return view;
  }

  // The value id of a view at every point of the iteration space.
  int loaded(const View& view) {
    if (view.value >= 0) return view.value;
    Access access{view.input, view.dtype, std::vector<int64_t>(order_.size()), view.offset};
    if (!view.uniform) {
      WAFER_CHECK(view.sizes == space_.shape.sizes(),
                  "a group's input is not broadcast to the shape ", space_.shape);
      for (size_t i = 0; i < order_.size(); ++i) {
        size_t axis = order_[i];
        access.strides[i] = view.sizes[axis] == 1 ? 0 : view.strides[axis];
      }
    }
    auto& accesses = program_.accesses;
    auto found = std::find(accesses.begin(), accesses.end(), access);
    auto index = static_cast<int>(found - accesses.begin());
    if (found == accesses.end()) accesses.push_back(access);
    Instruction load{.code = Code::load, .type = compute_of(view.dtype)};
    load.from = load.type;
    load.dtype = view.dtype;
    load.access = index;
    return push(load);
  }

  int constant(const Node& node) {
    auto bytes = small_constant(node, 8);
    WAFER_CHECK(bytes && node.outputs[0].elements() == 1,
                "a constant of a group has more than one element");
    Instruction instruction;
    instruction.code = Code::constant;
    instruction.type = instruction.from = compute_of(node.outputs[0].dtype);
    visit(node.outputs[0].dtype, [&]<class T>(std::type_identity<T>) {
      T value;
      std::memcpy(&value, bytes->data(), sizeof value);
      switch (instruction.type) {
        case Compute::f32: {
          auto single = static_cast<float>(value);
          uint32_t word;
          std::memcpy(&word, &single, sizeof word);
          instruction.bits = word;
          break;
        }
        case Compute::f64: {
          auto wide = static_cast<double>(value);
          std::memcpy(&instruction.bits, &wide, sizeof wide);
          break;
        }
        default: instruction.bits = static_cast<uint64_t>(static_cast<int64_t>(value));
      }
    });
    return push(instruction);
  }

  int operation(const Node& node) {
    auto found = codes().find(node.op);
    WAFER_CHECK(found != codes().end(), node.op->name, " cannot be part of an element-wise group");
    if (found->second == Code::convert)
      return conversion(value_of(node.inputs[0]), node.inputs[0].dtype(), node.outputs[0].dtype);
    Instruction instruction;
    instruction.code = found->second;
    instruction.type = compute_of(node.outputs[0].dtype);
    instruction.from = compute_of(node.inputs.back().dtype());
    for (const Tensor& input : node.inputs) {
      instruction.operands[static_cast<size_t>(instruction.operand_count)] = value_of(input);
      ++instruction.operand_count;
    }
    int value = push(instruction);
    DType dtype = node.outputs[0].dtype;
    return is_narrow_integer(dtype) && may_overflow(instruction.code) ? narrowed(value, dtype)
                                                                      : value;
  }

  int unary(Code code, int operand, Compute type, DType dtype) {
    Instruction instruction;
    instruction.code = code;
    instruction.type = type;
    instruction.from = program_.instructions[static_cast<size_t>(operand)].type;
    instruction.dtype = dtype;
    instruction.operands[0] = operand;
    instruction.operand_count = 1;
    return push(instruction);
  }

  int narrowed(int value, DType dtype) { return unary(Code::wrap, value, Compute::i64, dtype); }

  int conversion(int value, DType from, DType to) {
    Compute type = compute_of(to);
    bool changes_type = compute_of(from) != type;
    if (changes_type) value = unary(Code::convert, value, type, to);
    if ((to == DType::f16 || to == DType::bf16) && from != to && from != DType::boolean)
      return unary(Code::round_to, value, type, to);
    // A conversion of floating numbers keeps to the range of `to` itself.
    bool narrows = is_integer(from) && !holds_all(to, from);
    return is_narrow_integer(to) && narrows ? narrowed(value, to) : value;
  }

  // Equal instructions are one value.
  int push(const Instruction& instruction) {
    auto& all = program_.instructions;
    auto found = std::find(all.begin(), all.end(), instruction);
    if (found != all.end()) return static_cast<int>(found - all.begin());
    all.push_back(instruction);
    return static_cast<int>(all.size()) - 1;
  }

  // Drops dimensions of 1 and joins neighbours that every access walks as one.
  void collapse() {
    std::vector<size_t> kept;
    for (size_t i = 0; i < program_.sizes.size(); ++i) {
      if (program_.sizes[i] != 1) kept.push_back(i);
    }
    std::vector<int64_t> sizes;
    std::vector<std::vector<int64_t>> strides(program_.accesses.size());
    for (size_t axis : kept) {
      bool joins = !sizes.empty();
      for (size_t a = 0; joins && a < strides.size(); ++a) {
        joins = strides[a].back() == program_.accesses[a].strides[axis] * program_.sizes[axis];
      }
      if (joins) {
        sizes.back() *= program_.sizes[axis];
      } else {
        sizes.push_back(program_.sizes[axis]);
      }
      for (size_t a = 0; a < strides.size(); ++a) {
        int64_t stride = program_.accesses[a].strides[axis];
        if (joins)
          strides[a].back() = stride;
        else
          strides[a].push_back(stride);
      }
    }
    program_.sizes = std::move(sizes);
    for (size_t a = 0; a < strides.size(); ++a) program_.accesses[a].strides = strides[a];
  }

  const std::vector<Type>& inputs_;
  Type space_;
  std::vector<size_t> order_;  // logical axes, outermost in memory first
  Program program_;
  std::map<Key, View> views_;
  std::vector<std::vector<Tensor>> kept_;  // decompositions, alive while `views_` points at them
};
}  // namespace

bool is_elementwise(const OpDef& op) {
  return codes().count(&op) > 0 || (op.elementwise && op.decompose);
}

Program build_program(const Graph& group, const std::vector<Type>& inputs,
                      const std::vector<Type>& outputs, const std::vector<bool>& output_used) {
  WAFER_CHECK(!outputs.empty() && outputs.size() == group.outputs.size() &&
                  inputs.size() == group.inputs.size(),
              "a group with other inputs or outputs than its node");
  for (const Type& type : outputs) {
    WAFER_CHECK(type.shape == outputs[0].shape && type.layout == outputs[0].layout,
                "outputs of a group differ: ", outputs[0], " and ", type);
  }
  Builder builder(inputs, outputs[0]);
  for (size_t i = 0; i < inputs.size(); ++i)
    builder.bind_input(group.inputs[i], static_cast<int>(i));
  std::vector<Output> results;
  for (size_t i = 0; i < outputs.size(); ++i) {
    bool used = i >= output_used.size() || output_used[i];
    results.push_back({used ? builder.value_of(group.outputs[i]) : -1, outputs[i].dtype});
  }
  return builder.finish(std::move(results));
}

Program build_program(const Node& node, const std::vector<bool>& output_used) {
  std::vector<Type> inputs;
  for (const Tensor& input : node.inputs) inputs.push_back(input.type());
  if (node.is(op::fused))
    return build_program(*node.subgraphs.at(0), inputs, node.outputs, output_used);
  Graph group;
  for (const Type& type : inputs) group.inputs.push_back(make_input(type, "x"));
  group.outputs = clone_node(node, group.inputs, node.outputs);
  return build_program(group, inputs, node.outputs, output_used);
}

}  // namespace wafer::kernel
