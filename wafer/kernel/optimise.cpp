#include <cmath>
#include <cstring>

#include "wafer/kernel/program.h"

namespace wafer::kernel {

namespace {

std::vector<int> use_counts(const Program& program) {
  std::vector<int> uses(program.instructions.size());
  for (const Instruction& instruction : program.instructions) {
    for (int k = 0; k < instruction.operand_count; ++k)
      ++uses[static_cast<size_t>(instruction.operands[static_cast<size_t>(k)])];
  }
  for (const Output& output : program.outputs) {
    if (output.value >= 0) ++uses[static_cast<size_t>(output.value)];
  }
  return uses;
}

float f32_bits(const Instruction& constant) {
  auto word = static_cast<uint32_t>(constant.bits);
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

class Peephole {
 public:
  explicit Peephole(Program& program) : program_(program), uses_(use_counts(program)) {}

  void run() {
    for (Instruction& instruction : program_.instructions) {
      if (instruction.code == Code::convert) fold_into_load(instruction);
      if (instruction.from == Compute::f32) {
        switch (instruction.code) {
          case Code::pow: square(instruction); break;
          case Code::div: multiply_by_reciprocal(instruction); break;
          case Code::add: fuse_add(instruction); break;
          case Code::sub: fuse_sub(instruction); break;
          case Code::where: fuse_where(instruction); break;
          default: break;
        }
      }
    }
    // Storing rounds.
    for (Output& output : program_.outputs) {
      if (output.value < 0) continue;
      const Instruction& last = at(output.value);
      if (last.code == Code::round_to && last.dtype == output.dtype)
        output.value = last.operands[0];
    }
  }

 private:
  Instruction& at(int value) { return program_.instructions[static_cast<size_t>(value)]; }
  bool used_once(int value) const { return uses_[static_cast<size_t>(value)] == 1; }
  bool is_single_use_product(int value) {
    return at(value).code == Code::mul && at(value).type == Compute::f32 && used_once(value);
  }

  static void become(Instruction& instruction, Code code, std::initializer_list<int> operands) {
    instruction.code = code;
    instruction.operand_count = 0;
    instruction.operands = {};
    for (int operand : operands)
      instruction.operands[static_cast<size_t>(instruction.operand_count++)] = operand;
  }

  // A load of 8, 16 or 32-bit integers or booleans that is only wanted as f32.
  void fold_into_load(Instruction& instruction) {
    const Instruction& source = at(instruction.operands[0]);
    if (source.code != Code::load || instruction.type != Compute::f32) return;
    if (source.type != Compute::i64 && source.type != Compute::boolean) return;
    if (!used_once(instruction.operands[0])) return;
    DType dtype = source.dtype;
    int access = source.access;
    become(instruction, Code::load, {});
    instruction.from = Compute::f32;
    instruction.dtype = dtype;
    instruction.access = access;
  }

  void square(Instruction& instruction) {
    const Instruction& exponent = at(instruction.operands[1]);
    if (exponent.code != Code::constant || f32_bits(exponent) != 2.0f) return;
    int base = instruction.operands[0];
    uses_[static_cast<size_t>(base)] += 1;
    become(instruction, Code::mul, {base, base});
  }

  // Exact where the divisor is a power of two.
  void multiply_by_reciprocal(Instruction& instruction) {
    int divisor = instruction.operands[1];
    if (at(divisor).code != Code::constant || !used_once(divisor)) return;
    int exponent = 0;
    float value = f32_bits(at(divisor));
    if (std::fabs(std::frexp(value, &exponent)) != 0.5f || std::abs(exponent) > 100) return;
    float reciprocal = 1.0f / value;
    uint32_t word;
    std::memcpy(&word, &reciprocal, sizeof word);
    at(divisor).bits = word;
    instruction.code = Code::mul;
  }

  void fuse_add(Instruction& instruction) {
    int a = instruction.operands[0], b = instruction.operands[1];
    if (!is_single_use_product(a)) std::swap(a, b);
    if (!is_single_use_product(a)) return;
    become(instruction, Code::fma, {at(a).operands[0], at(a).operands[1], b});
  }

  void fuse_sub(Instruction& instruction) {
    int a = instruction.operands[0], b = instruction.operands[1];
    if (is_single_use_product(b))
      become(instruction, Code::fnma, {at(b).operands[0], at(b).operands[1], a});
    else if (is_single_use_product(a))
      become(instruction, Code::fms, {at(a).operands[0], at(a).operands[1], b});
  }

  void fuse_where(Instruction& instruction) {
    const Instruction& condition = at(instruction.operands[0]);
    if (condition.code != Code::less || condition.from != Compute::f32) return;
    become(instruction, Code::where_less,
           {condition.operands[0], condition.operands[1], instruction.operands[1],
            instruction.operands[2]});
  }

  Program& program_;
  std::vector<int> uses_;
};

void remove_dead(Program& program) {
  auto& all = program.instructions;
  std::vector<bool> alive(all.size());
  for (const Output& output : program.outputs) {
    if (output.value >= 0) alive[static_cast<size_t>(output.value)] = true;
  }
  for (size_t i = all.size(); i-- > 0;) {
    if (!alive[i]) continue;
    for (int k = 0; k < all[i].operand_count; ++k)
      alive[static_cast<size_t>(all[i].operands[static_cast<size_t>(k)])] = true;
  }
  std::vector<int> renumbered(all.size(), -1);
  std::vector<int> access_number(program.accesses.size(), -1);
  std::vector<Instruction> kept;
  std::vector<Access> accesses;
  for (size_t i = 0; i < all.size(); ++i) {
    if (!alive[i]) continue;
    Instruction instruction = all[i];
    for (int k = 0; k < instruction.operand_count; ++k) {
      int& operand = instruction.operands[static_cast<size_t>(k)];
      operand = renumbered[static_cast<size_t>(operand)];
    }
    if (instruction.code == Code::load) {
      int& number = access_number[static_cast<size_t>(instruction.access)];
      if (number < 0) {
        number = static_cast<int>(accesses.size());
        accesses.push_back(program.accesses[static_cast<size_t>(instruction.access)]);
      }
      instruction.access = number;
    }
    renumbered[i] = static_cast<int>(kept.size());
    kept.push_back(instruction);
  }
  for (Output& output : program.outputs) {
    if (output.value >= 0) output.value = renumbered[static_cast<size_t>(output.value)];
  }
  all = std::move(kept);
  program.accesses = std::move(accesses);
}

}  // namespace

void optimise(Program& program) {
  Peephole(program).run();
  remove_dead(program);
}

}  // namespace wafer::kernel
