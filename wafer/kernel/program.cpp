#include "wafer/kernel/program.h"

#include <algorithm>
#include <cstring>

#include "wafer/base/error.h"

namespace wafer::kernel {

namespace {
constexpr const char* code_names[] = {
    "load",       "constant",    "neg",       "abs",       "sign",     "exp",        "expm1",
    "log",        "log1p",       "sqrt",      "sin",       "cos",      "tan",        "asin",
    "acos",       "atan",        "tanh",      "erf",       "floor",    "ceil",       "round",
    "not",        "add",         "sub",       "mul",       "div",      "pow",        "remainder",
    "maximum",    "minimum",     "equal",     "not_equal", "less",     "less_equal", "logical_and",
    "logical_or", "logical_xor", "where",     "convert",   "round_to", "wrap",       "fma",
    "fnma",       "fms",         "where_less"};
static_assert(std::size(code_names) == static_cast<size_t>(Code::where_less) + 1);

std::string constant_text(const Instruction& instruction) {
  switch (instruction.type) {
    case Compute::f32: {
      auto bits = static_cast<uint32_t>(instruction.bits);
      float value;
      std::memcpy(&value, &bits, sizeof value);
      return str(value);
    }
    case Compute::f64: {
      double value;
      std::memcpy(&value, &instruction.bits, sizeof value);
      return str(value);
    }
    case Compute::i64: return str(static_cast<int64_t>(instruction.bits));
    case Compute::u64: return str(instruction.bits);
    default: return instruction.bits ? "true" : "false";
  }
}

std::string list_text(const std::vector<int64_t>& values) {
  std::string text = "[";
  for (size_t i = 0; i < values.size(); ++i) text += str(i ? ", " : "", values[i]);
  return text + "]";
}
}  // namespace

std::string_view name(Code code) {
  return code_names[static_cast<size_t>(code)];
}

std::string_view name(Compute compute) {
  constexpr const char* names[] = {"f32", "f64", "i64", "u64", "bool"};
  return names[static_cast<size_t>(compute)];
}

Compute compute_of(DType dtype) {
  switch (dtype) {
    case DType::f64: return Compute::f64;
    case DType::f32:
    case DType::f16:
    case DType::bf16: return Compute::f32;
    case DType::u64: return Compute::u64;
    case DType::boolean: return Compute::boolean;
    default: return Compute::i64;
  }
}

int64_t Program::elements() const {
  int64_t count = 1;
  for (int64_t size : sizes) count *= size;
  return count;
}

bool Program::is_dense(const Access& access) const {
  return access.strides == row_major_strides(sizes);
}

bool Program::is_scalar(const Access& access) {
  return std::all_of(access.strides.begin(), access.strides.end(),
                     [](int64_t stride) { return stride == 0; });
}

std::string print(const Program& program) {
  std::string text = str("loop ", list_text(program.sizes), "\n");
  for (size_t i = 0; i < program.accesses.size(); ++i) {
    const Access& access = program.accesses[i];
    text +=
        str("  @", i, " = input ", access.input, " ", access.dtype, " ", list_text(access.strides));
    if (access.offset != 0) text += str(" from ", access.offset);
    text += "\n";
  }
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const Instruction& instruction = program.instructions[i];
    text += str("  %", i, " = ", name(instruction.code), ".", name(instruction.type));
    if (instruction.code == Code::load) text += str(" @", instruction.access);
    if (instruction.code == Code::constant) text += " " + constant_text(instruction);
    for (int k = 0; k < instruction.operand_count; ++k)
      text += str(k ? ", %" : " %", instruction.operands[static_cast<size_t>(k)]);
    if (instruction.code == Code::round_to || instruction.code == Code::wrap ||
        instruction.code == Code::convert)
      text += str(" ", instruction.dtype);
    text += "\n";
  }
  for (size_t i = 0; i < program.outputs.size(); ++i) {
    const Output& output = program.outputs[i];
    if (output.value < 0)
      text += str("  output ", i, " unused\n");
    else
      text += str("  output ", i, " ", output.dtype, " = %", output.value, "\n");
  }
  return text;
}

}  // namespace wafer::kernel
