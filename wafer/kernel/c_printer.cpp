#include "wafer/kernel/c_printer.h"

#include <algorithm>
#include <cstdio>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"

namespace wafer::kernel {

std::string_view storage_type(DType dtype) {
  switch (dtype) {
    case DType::f64: return "double";
    case DType::f32: return "float";
    case DType::f16:
    case DType::bf16:
    case DType::u16: return "unsigned short";
    case DType::i64: return "WF_I64";
    case DType::i32: return "int";
    case DType::i16: return "short";
    case DType::i8: return "signed char";
    case DType::u64: return "WF_U64";
    case DType::u32: return "unsigned int";
    case DType::u8:
    case DType::boolean: return "unsigned char";
    default: throw InternalError(str("no kernel language computes on ", dtype));
  }
}

std::string load_text(DType dtype, std::string_view pointer, std::string_view at) {
  if (dtype == DType::bf16) return str("wf_from_bf16(", pointer, "[", at, "])");
  if (dtype == DType::f16) return str("WF_LOAD_F16(", pointer, ", ", at, ")");
  return str(pointer, "[", at, "]");
}

std::string store_text(DType dtype, std::string_view pointer, std::string_view at,
                       std::string_view value) {
  if (dtype == DType::bf16) return str(pointer, "[", at, "] = wf_to_bf16(", value, ")");
  if (dtype == DType::f16) return str("WF_STORE_F16(", pointer, ", ", at, ", ", value, ")");
  return str(pointer, "[", at, "] = (", storage_type(dtype), ")", value);
}

namespace {
// Functions that all languages share, over the words of the prelude. Integers wrap around; a
// division by zero gives 0; a remainder has the divisor's sign; maximum and minimum keep NaN.
constexpr std::string_view shared = R"(
#define WF_NUMBERS const WF_GLOBAL WF_I64* p
WF_FUNCTION float wf_from_bf16(unsigned short bits) {
  return WF_FROM_BITS((unsigned int)bits << 16);
}
WF_FUNCTION unsigned short wf_to_bf16(float x) {
  unsigned int bits = WF_TO_BITS(x);
  if (x != x) return (unsigned short)((bits >> 16) | 0x40u);
  return (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
WF_FUNCTION float wf_to_f16_and_back(float x) {
  unsigned int sign = WF_TO_BITS(x) & 0x80000000u, bits = WF_TO_BITS(x) & 0x7fffffffu;
  if (x != x) return x;
  if (bits >= 0x477ff000u) return WF_FROM_BITS(sign | 0x7f800000u);
  if (bits < 0x38800000u) {
    float magic = 0.5f;
    return WF_FROM_BITS(sign | WF_TO_BITS((WF_FROM_BITS(bits) + magic) - magic));
  }
  bits += 0xfffu + ((bits >> 13) & 1u);
  return WF_FROM_BITS(sign | (bits & 0xffffe000u));
}
WF_FUNCTION WF_I64 wf_neg_i64(WF_I64 x) { return (WF_I64)(0 - (WF_U64)x); }
WF_FUNCTION WF_I64 wf_abs_i64(WF_I64 x) { return x < 0 ? wf_neg_i64(x) : x; }
WF_FUNCTION WF_I64 wf_sign_i64(WF_I64 x) { return (x > 0) - (x < 0); }
WF_FUNCTION WF_I64 wf_div_i64(WF_I64 a, WF_I64 b) {
  return b == 0 ? 0 : b == -1 ? wf_neg_i64(a) : a / b;
}
WF_FUNCTION WF_I64 wf_remainder_i64(WF_I64 a, WF_I64 b) {
  if (b == 0 || b == -1) return 0;
  WF_I64 r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
WF_FUNCTION WF_U64 wf_pow_u64(WF_U64 base, WF_U64 exponent) {
  WF_U64 result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result *= base;
    base *= base;
  }
  return result;
}
WF_FUNCTION WF_I64 wf_pow_i64(WF_I64 base, WF_I64 exponent) {
  if (exponent >= 0) return (WF_I64)wf_pow_u64((WF_U64)base, (WF_U64)exponent);
  if (base == 1 || (base == -1 && exponent % 2 == 0)) return 1;
  return base == -1 ? -1 : 0;
}
WF_FUNCTION WF_U64 wf_div_u64(WF_U64 a, WF_U64 b) { return b == 0 ? 0 : a / b; }
WF_FUNCTION WF_U64 wf_remainder_u64(WF_U64 a, WF_U64 b) { return b == 0 ? 0 : a % b; }
)";

// The same in f32 and f64: @ stands for the type.
constexpr std::string_view floating = R"(
WF_FUNCTION @ wf_sign_@(@ x) { return (@)((x > 0) - (x < 0)); }
WF_FUNCTION @ wf_maximum_@(@ a, @ b) { return a != a || a > b ? a : b; }
WF_FUNCTION @ wf_minimum_@(@ a, @ b) { return a != a || a < b ? a : b; }
WF_FUNCTION @ wf_remainder_@(@ a, @ b) {
  @ r = fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
WF_FUNCTION WF_I64 wf_to_integer_@(@ x, @ above, WF_I64 least, WF_I64 greatest) {
  if (x != x) return 0;
  if (x >= above) return greatest;
  return x <= (@)least ? least : (WF_I64)x;
}
WF_FUNCTION WF_U64 wf_to_unsigned_@(@ x) {
  if (x != x || x <= 0) return 0;
  return x >= (@)18446744073709551616.0f ? ~(WF_U64)0 : (WF_U64)x;
}
)";

std::string with_type(std::string_view text, std::string_view type) {
  std::string result;
  for (char c : text) {
    if (c == '@')
      result += type;
    else
      result += c;
  }
  return result;
}

std::string_view type_name(Compute compute) {
  constexpr std::string_view names[] = {"float", "double", "WF_I64", "WF_U64", "unsigned char"};
  return names[static_cast<size_t>(compute)];
}

std::string_view suffix(Compute compute) {
  constexpr std::string_view names[] = {"float", "double", "i64", "u64", "bool"};
  return names[static_cast<size_t>(compute)];
}

std::string hexadecimal(uint64_t bits) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llxu", static_cast<unsigned long long>(bits));
  return text;
}

bool uses_f64(const Program& program) {
  auto is_f64 = [](const Instruction& i) {
    return i.type == Compute::f64 || i.from == Compute::f64;
  };
  return std::any_of(program.instructions.begin(), program.instructions.end(), is_f64) ||
         std::any_of(program.accesses.begin(), program.accesses.end(),
                     [](const Access& access) { return access.dtype == DType::f64; });
}

class Printer {
 public:
  // `first_output`: how the program's first output is numbered.
  Printer(const Program& program, int first_output) : program_(program), first_(first_output) {}

  struct Parameter {
    int number;
    std::string type, name;
  };
  std::vector<Parameter> inputs() const {
    std::vector<Parameter> result;
    for (const Access& access : program_.accesses) {
      bool known = std::any_of(result.begin(), result.end(), [&](const Parameter& parameter) {
        return parameter.number == access.input;
      });
      if (known) continue;
      result.push_back({access.input, str("const WF_GLOBAL ", storage_type(access.dtype)),
                        str("in", access.input)});
    }
    return result;
  }
  std::vector<Parameter> outputs() const {
    std::vector<Parameter> result;
    for (size_t i = 0; i < program_.outputs.size(); ++i) {
      if (program_.outputs[i].value < 0) continue;
      int number = first_ + static_cast<int>(i);
      result.push_back(
          {number, str("WF_GLOBAL ", storage_type(program_.outputs[i].dtype)), str("out", number)});
    }
    return result;
  }

  std::string loop() {
    if (program_.elements() == 0) return "";
    std::string text = str("  WF_LOOP(i, ", program_.elements(), ") {\n", coordinates());
    for (size_t v = 0; v < program_.instructions.size(); ++v) {
      const Instruction& instruction = program_.instructions[v];
      text +=
          str("    ", type_name(instruction.type), " v", v, " = ", expression(instruction), ";\n");
    }
    for (size_t i = 0; i < program_.outputs.size(); ++i) {
      const Output& output = program_.outputs[i];
      if (output.value >= 0) text += "    " + store(output, first_ + static_cast<int>(i)) + ";\n";
    }
    return text + "  }\n";
  }

 private:
  // Where the element lies along the dimensions that some input's place depends on.
  std::string coordinates() const {
    std::vector<bool> needed(program_.sizes.size());
    for (const Access& access : program_.accesses) {
      if (program_.is_dense(access)) continue;
      for (size_t d = 0; d < needed.size(); ++d) needed[d] = needed[d] || access.strides[d] != 0;
    }
    std::string text;
    int64_t below = 1;
    for (size_t d = program_.sizes.size(); d-- > 0;) {
      if (needed[d])
        text += str("    WF_INDEX d", d, " = i / ", below, " % ", program_.sizes[d], ";\n");
      below *= program_.sizes[d];
    }
    return text;
  }

  std::string index(const Access& access) const {
    bool dense = program_.is_dense(access);
    std::vector<std::string> terms;
    if (dense) terms.push_back("i");
    for (size_t d = 0; !dense && d < access.strides.size(); ++d) {
      if (access.strides[d] != 0) terms.push_back(str("d", d, " * ", access.strides[d]));
    }
    if (access.offset != 0) terms.push_back(str(access.offset));
    return terms.empty() ? "0" : join(terms, " + ");
  }

  std::string load(const Access& access) const {
    return load_text(access.dtype, str("in", access.input), index(access));
  }

  static std::string store(const Output& output, int number) {
    return store_text(output.dtype, str("out", number), "i", str("v", output.value));
  }

  static std::string operand(const Instruction& instruction, size_t k) {
    return str("v", instruction.operands[k]);
  }

  static std::string call(std::string_view function, const Instruction& instruction) {
    std::vector<std::string> arguments;
    for (int k = 0; k < instruction.operand_count; ++k)
      arguments.push_back(operand(instruction, static_cast<size_t>(k)));
    return str(function, "(", join(arguments, ", "), ")");
  }
  static std::string helper(std::string_view function, const Instruction& instruction) {
    return call(str("wf_", function, "_", suffix(instruction.from)), instruction);
  }
  static std::string infix(std::string_view sign, const Instruction& instruction) {
    return str(operand(instruction, 0), " ", sign, " ", operand(instruction, 1));
  }

  std::string expression(const Instruction& instruction) const {
    switch (instruction.code) {
      case Code::load: return load(program_.accesses[static_cast<size_t>(instruction.access)]);
      case Code::constant: return constant(instruction);
      case Code::convert: return convert(instruction);
      case Code::wrap:
        return str("(WF_I64)(", storage_type(instruction.dtype), ")", operand(instruction, 0));
      case Code::round_to:
        return instruction.dtype == DType::bf16
                   ? str("wf_from_bf16(wf_to_bf16(", operand(instruction, 0), "))")
                   : call("wf_to_f16_and_back", instruction);
      case Code::where:
        return str(operand(instruction, 0), " ? ", operand(instruction, 1), " : ",
                   operand(instruction, 2));
      case Code::where_less:
        return str(infix("<", instruction), " ? ", operand(instruction, 2), " : ",
                   operand(instruction, 3));
      case Code::equal: return infix("==", instruction);
      case Code::not_equal: return infix("!=", instruction);
      case Code::less: return infix("<", instruction);
      case Code::less_equal: return infix("<=", instruction);
      default: break;
    }
    switch (instruction.from) {
      case Compute::boolean: return boolean(instruction);
      case Compute::i64:
      case Compute::u64: return integer(instruction);
      default: return real(instruction);
    }
  }

  static std::string constant(const Instruction& instruction) {
    switch (instruction.type) {
      case Compute::f32: return str("WF_F32(", hexadecimal(instruction.bits & 0xffffffffu), ")");
      case Compute::f64: return str("WF_F64(", hexadecimal(instruction.bits), ")");
      case Compute::boolean: return instruction.bits ? "1" : "0";
      default: return str("(", type_name(instruction.type), ")", hexadecimal(instruction.bits));
    }
  }

  static std::string convert(const Instruction& instruction) {
    std::string x = operand(instruction, 0);
    bool from_real = instruction.from == Compute::f32 || instruction.from == Compute::f64;
    if (instruction.type == Compute::boolean) return x + " != 0";
    if (from_real && instruction.type == Compute::u64)
      return str("wf_to_unsigned_", suffix(instruction.from), "(", x, ")");
    if (from_real && instruction.type == Compute::i64) {
      int bits_wide = bits(instruction.dtype) - (is_signed(instruction.dtype) ? 1 : 0);
      int64_t greatest = static_cast<int64_t>((uint64_t{1} << bits_wide) - 1);
      std::string least = is_signed(instruction.dtype)
                              ? str("(WF_I64)", hexadecimal(~static_cast<uint64_t>(greatest)))
                              : "0";
      return str("wf_to_integer_", suffix(instruction.from), "(", x, ", ", uint64_t{1} << bits_wide,
                 ".0f, ", least, ", ", greatest, ")");
    }
    return str("(", type_name(instruction.type), ")", x);
  }

  static bool is_signed(DType dtype) {
    return dtype == DType::i64 || dtype == DType::i32 || dtype == DType::i16 || dtype == DType::i8;
  }

  // Arithmetic on bytes of 0 and 1 where any result but 0 counts as 1.
  static std::string boolean(const Instruction& instruction) {
    switch (instruction.code) {
      case Code::neg:
      case Code::abs:
      case Code::sign: return operand(instruction, 0);
      case Code::logical_not: return operand(instruction, 0) + " ^ 1";
      case Code::mul:
      case Code::div:
      case Code::minimum:
      case Code::logical_and: return infix("&", instruction);
      case Code::add:
      case Code::maximum:
      case Code::logical_or: return infix("|", instruction);
      case Code::sub:
      case Code::logical_xor: return infix("^", instruction);
      case Code::pow: return str(operand(instruction, 0), " | (", operand(instruction, 1), " ^ 1)");
      case Code::remainder: return "0";
      default: throw missing(instruction);
    }
  }

  static std::string integer(const Instruction& instruction) {
    bool is_signed = instruction.from == Compute::i64;
    auto wrapping = [&](std::string_view sign) {
      return str("(", type_name(instruction.type), ")((WF_U64)", operand(instruction, 0), " ", sign,
                 " (WF_U64)", operand(instruction, 1), ")");
    };
    switch (instruction.code) {
      case Code::add: return wrapping("+");
      case Code::sub: return wrapping("-");
      case Code::mul: return wrapping("*");
      case Code::neg:
        return is_signed ? helper("neg", instruction) : "0 - " + operand(instruction, 0);
      case Code::abs: return is_signed ? helper("abs", instruction) : operand(instruction, 0);
      case Code::sign:
        return is_signed ? helper("sign", instruction)
                         : str("(WF_U64)(", operand(instruction, 0), " > 0)");
      case Code::div: return helper("div", instruction);
      case Code::remainder: return helper("remainder", instruction);
      case Code::pow: return helper("pow", instruction);
      case Code::maximum:
        return str(infix(">", instruction), " ? ", operand(instruction, 0), " : ",
                   operand(instruction, 1));
      case Code::minimum:
        return str(infix("<", instruction), " ? ", operand(instruction, 0), " : ",
                   operand(instruction, 1));
      default: throw missing(instruction);
    }
  }

  static std::string real(const Instruction& instruction) {
    switch (instruction.code) {
      case Code::neg: return "-" + operand(instruction, 0);
      case Code::add: return infix("+", instruction);
      case Code::sub: return infix("-", instruction);
      case Code::mul: return infix("*", instruction);
      case Code::div: return infix("/", instruction);
      case Code::abs: return call("fabs", instruction);
      case Code::round: return call("rint", instruction);  // half to even
      case Code::sign:
      case Code::maximum:
      case Code::minimum:
      case Code::remainder: return helper(name(instruction.code), instruction);
      case Code::fma: return call("fma", instruction);
      case Code::fms:
        return str("fma(", operand(instruction, 0), ", ", operand(instruction, 1), ", -",
                   operand(instruction, 2), ")");
      case Code::fnma:
        return str("fma(-", operand(instruction, 0), ", ", operand(instruction, 1), ", ",
                   operand(instruction, 2), ")");
      case Code::exp:
      case Code::expm1:
      case Code::log:
      case Code::log1p:
      case Code::sqrt:
      case Code::sin:
      case Code::cos:
      case Code::tan:
      case Code::asin:
      case Code::acos:
      case Code::atan:
      case Code::tanh:
      case Code::erf:
      case Code::floor:
      case Code::ceil:
      case Code::pow: return call(name(instruction.code), instruction);
      default: throw missing(instruction);
    }
  }

  static InternalError missing(const Instruction& instruction) {
    return InternalError(str("no way to print ", name(instruction.code), ".",
                             name(instruction.type), " of ", name(instruction.from)));
  }

  const Program& program_;
  int first_;
};

// A parameter, and for buffers with offsets the pointer that is made of it.
std::string declare(const Printer::Parameter& parameter, Arguments arguments,
                    std::string& pointers) {
  const auto& [number, type, name] = parameter;
  if (arguments == Arguments::pointers) return str(type, "* ", name);
  pointers += str("  ", type, "* ", name, " = (", type, "*)(", name, "_buffer + ", name, "_at);\n");
  return str("WF_GLOBAL unsigned char* ", name, "_buffer, WF_I64 ", name, "_at");
}
}  // namespace

std::string print_prelude(const Dialect& dialect, bool f64) {
  std::string text = str("// ", dialect.name, dialect.prelude, f64 ? dialect.f64_prelude : "",
                         shared, with_type(floating, "float"));
  return f64 ? text + with_type(floating, "double") : text;
}

PrintedKernel print_kernel(const Program& program, const std::string& name, Arguments arguments) {
  return print_kernels(std::span(&program, 1), {0}, name, arguments);
}

PrintedKernel print_kernels(std::span<const Program> programs,
                            const std::vector<int>& first_outputs, const std::string& name,
                            Arguments arguments) {
  PrintedKernel result{.name = name};
  std::vector<std::string> inputs, outputs;
  std::string pointers, loops;
  for (size_t i = 0; i < programs.size(); ++i) {
    Printer printer(programs[i], first_outputs.at(i));
    result.f64 = result.f64 || uses_f64(programs[i]);
    for (const auto& parameter : printer.inputs()) {
      result.inputs.push_back(parameter.number);
      inputs.push_back(declare(parameter, arguments, pointers));
    }
    for (const auto& parameter : printer.outputs()) {
      result.outputs.push_back(parameter.number);
      outputs.push_back(declare(parameter, arguments, pointers));
    }
    loops += printer.loop();
  }
  inputs.insert(inputs.end(), outputs.begin(), outputs.end());
  result.source = str("WF_KERNEL ", name, "(", join(inputs, ", "), ") {\n", pointers, loops, "}\n");
  return result;
}

}  // namespace wafer::kernel
