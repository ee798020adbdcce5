#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "wafer/ir/graph.h"
#include "wafer/kernel/code.h"

// The loop IR: one loop nest over the elements of a group of element-wise ops, with a straight line
// of instructions as its body. It assumes nothing of the machine: a CPU interprets it over blocks
// of elements, printers turn it into OpenCL C or CUDA C.
namespace wafer::kernel {

std::string_view name(Code code);
std::string_view name(Compute compute);
Compute compute_of(DType dtype);

// How an input is read: from which element on, and the element strides along each dimension of the
// iteration space.
struct Access {
  int input = 0;
  DType dtype = DType::f32;
  std::vector<int64_t> strides;  // 0: the input is broadcast along this dimension
  int64_t offset = 0;
  friend bool operator==(const Access&, const Access&) = default;
};

// Instruction i of a program computes value i from values before it.
struct Instruction {
  Code code = Code::constant;
  Compute type = Compute::f32;  // of the result
  Compute from = Compute::f32;  // of the operands (of where: of the last two)
  DType dtype = DType::f32;     // of load, convert, round_to and wrap
  std::array<int, 4> operands{};
  int operand_count = 0;
  int access = 0;     // of load
  uint64_t bits = 0;  // of constant: the value's bits in its Compute type
  friend bool operator==(const Instruction&, const Instruction&) = default;
};

// Outputs are dense over the iteration space: element i of the loop is element i of each output.
struct Output {
  int value = 0;
  DType dtype = DType::f32;
};

struct Program {
  std::vector<int64_t> sizes;  // the iteration space, outermost first; empty for one element
  int input_count = 0;
  std::vector<Access> accesses;
  std::vector<Instruction> instructions;
  std::vector<Output> outputs;

  int64_t elements() const;
  // True when element i of the loop is element i of the input, counted from the access's offset.
  bool is_dense(const Access& access) const;
  // True when every iteration reads the same element.
  static bool is_scalar(const Access& access);
};

// The program that computes the outputs of `group`: a graph of element-wise ops, one-element
// constants, and slices, broadcasts and reshapes by dimensions of 1 of its inputs. `inputs` and
// `outputs` are the types that the values have in memory; outputs have one shape and one layout.
// Outputs marked unused are left out (their value is -1). Already optimised.
Program build_program(const Graph& group, const std::vector<Type>& inputs,
                      const std::vector<Type>& outputs, const std::vector<bool>& output_used = {});
// The same for a node: a `fused` one by its subgraph, another as a group of its own.
Program build_program(const Node& node, const std::vector<bool>& output_used = {});

// True when the op may be part of a group.
bool is_elementwise(const OpDef& op);

// Joins multiplications with additions and comparisons with selections, folds conversions into
// loads, turns powers and divisions by constants into cheaper instructions, and removes what no
// output needs.
void optimise(Program& program);

// One line for the loop, one an access, one an instruction, one an output.
std::string print(const Program& program);

}  // namespace wafer::kernel
