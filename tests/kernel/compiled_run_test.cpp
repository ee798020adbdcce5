#include "wafer/backend/cpu/compiled_run.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "wafer/backend/cpu/fused.h"
#include "wafer/backend/cpu/isa.h"

// Loops whose arithmetic is compiled give the bits that interpreted ones give.
namespace wafer {
namespace {

using kernel::Code;
using kernel::Compute;
using kernel::Instruction;
using kernel::Program;

class Maker {
 public:
  explicit Maker(uint32_t seed) : random_(seed) {}

  // Blocks and scalars are inputs 0, 1, ...; some outputs take the place of blocks.
  Program program(int64_t elements, int blocks, int scalars, int steps, int outputs) {
    Program p;
    p.sizes = {elements};
    p.input_count = blocks + scalars;
    for (int i = 0; i < p.input_count; ++i) {
      p.accesses.push_back({i, DType::f32, {i < blocks ? 1 : 0}, 0});
      Instruction load;
      load.code = Code::load;
      load.access = i;
      add(p, load, {});
    }
    for (float constant : {0.0f, 0.75f}) {
      Instruction instruction;
      instruction.bits = std::bit_cast<uint32_t>(constant);
      add(p, instruction, {});
    }
    for (int i = 0; i < steps; ++i) add_step(p);
    for (int i = 0; i < outputs; ++i) {
      p.outputs.push_back({static_cast<int>(p.instructions.size()) - 1 - i, DType::f32});
      if (i + 1 < outputs) add_step(p);
    }
    for (kernel::Output& output : p.outputs) {
      // A comparison is no result.
      while (p.instructions[static_cast<size_t>(output.value)].type != Compute::f32) --output.value;
    }
    return p;
  }

  std::vector<float> values(size_t count) {
    const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-40f, 3e38f};
    std::uniform_real_distribution<float> uniform(-2, 2);
    std::vector<float> result(count);
    for (float& value : result) value = below(12) == 0 ? special[below(7)] : uniform(random_);
    return result;
  }

  int below(int count) { return std::uniform_int_distribution<int>(0, count - 1)(random_); }

 private:
  void add(Program& p, Instruction instruction, std::vector<int> operands) {
    for (int operand : operands)
      instruction.operands[static_cast<size_t>(instruction.operand_count++)] = operand;
    p.instructions.push_back(instruction);
  }

  // A number made so far, most often one of the last.
  int number(const Program& p) {
    while (true) {
      auto count = static_cast<int>(p.instructions.size());
      int value = below(2) ? below(count) : count - 1 - below(std::min(count, 4));
      if (p.instructions[static_cast<size_t>(value)].type == Compute::f32) return value;
    }
  }

  void add_step(Program& p) {
    const Code codes[] = {Code::neg,  Code::abs, Code::sqrt,       Code::add,     Code::sub,
                          Code::mul,  Code::div, Code::maximum,    Code::minimum, Code::fma,
                          Code::fnma, Code::fms, Code::where_less, Code::where,   Code::exp};
    Instruction step;
    step.code = codes[below(std::size(codes))];
    auto numbers = [&](int count) {
      std::vector<int> result;
      for (int i = 0; i < count; ++i) result.push_back(number(p));
      return result;
    };
    switch (step.code) {
      case Code::neg:
      case Code::abs:
      case Code::sqrt:
      case Code::exp: return add(p, step, numbers(1));
      case Code::fma:
      case Code::fnma:
      case Code::fms: return add(p, step, numbers(3));
      case Code::where_less: return add(p, step, numbers(4));
      case Code::where: {
        const Code comparisons[] = {Code::less, Code::less_equal, Code::equal, Code::not_equal};
        Instruction comparison;
        comparison.code = comparisons[below(4)];
        comparison.type = Compute::boolean;
        add(p, comparison, numbers(2));
        std::vector<int> operands = numbers(2);
        operands.insert(operands.begin(), static_cast<int>(p.instructions.size()) - 1);
        return add(p, step, operands);
      }
      default: return add(p, step, numbers(2));
    }
  }

  std::mt19937 random_;
};

// What the program makes of the inputs, of which the first outputs take the place.
std::vector<std::vector<float>> run(const Program& program, std::vector<std::vector<float>> inputs,
                                    size_t in_place, bool compiles) {
  std::vector<std::vector<float>> results(program.outputs.size());
  std::vector<void*> in, out;
  for (auto& input : inputs) in.push_back(input.data());
  for (size_t i = 0; i < results.size(); ++i) {
    if (i < in_place) {
      out.push_back(in[i]);
    } else {
      results[i].resize(static_cast<size_t>(program.elements()) + 1, -7.0f);
      out.push_back(results[i].data());
    }
  }
  cpu::program_step(program, compiles)({in.data(), out.data(), nullptr});
  for (size_t i = 0; i < in_place; ++i) results[i] = inputs[i];
  return results;
}

TEST(CompiledRun, GivesTheBitsOfInterpretedLoops) {
  for (uint32_t seed = 0; seed < 400; ++seed) {
    Maker maker(seed);
    int64_t elements = 1 + maker.below(seed % 10 == 0 ? 3000 : 70);
    int blocks = 1 + maker.below(7), scalars = maker.below(5), outputs = 1 + maker.below(4);
    int steps = 1 + maker.below(seed % 7 == 0 ? 60 : 12);
    Program program = maker.program(elements, blocks, scalars, steps, outputs);
    std::vector<std::vector<float>> inputs;
    for (int i = 0; i < blocks + scalars; ++i)
      inputs.push_back(maker.values(i < blocks ? static_cast<size_t>(elements) : size_t{1}));
    auto in_place = static_cast<size_t>(maker.below(std::min(blocks, outputs) + 1));
    auto expected = run(program, inputs, in_place, false);
    auto got = run(program, inputs, in_place, true);
    for (size_t o = 0; o < got.size(); ++o) {
      ASSERT_EQ(got[o].size(), expected[o].size());
      for (size_t i = 0; i < got[o].size(); ++i) {
        if (std::isnan(got[o][i]) && std::isnan(expected[o][i])) continue;
        ASSERT_EQ(std::bit_cast<uint32_t>(got[o][i]), std::bit_cast<uint32_t>(expected[o][i]))
            << got[o][i] << ", not " << expected[o][i] << ": seed " << seed << ", output " << o
            << ", element " << i << " of " << elements << "\n"
            << print(program);
      }
    }
  }
}

// The instructions x0 + x1, x0 + x1 + x2, ..., of values 0, 1, ...
std::vector<cpu::CompiledRun::Instruction> chain(int blocks) {
  std::vector<cpu::CompiledRun::Instruction> result;
  for (int i = 1; i < blocks; ++i)
    result.push_back({Code::add, blocks + i, {i == 1 ? 0 : blocks + i - 1, i}, 2});
  return result;
}

TEST(CompiledRun, RefusesWhatDoesNotFit) {
  if (cpu::isa() == cpu::Isa::portable) GTEST_SKIP() << "nothing is compiled for this processor";
  std::vector<bool> blocks(64, false);
  if (!cpu::CompiledRun::make(chain(3), blocks, {{5, 5}})) GTEST_SKIP() << "built without Xbyak";
  EXPECT_TRUE(cpu::CompiledRun::make(chain(11), blocks, {{21, 21}}));
  EXPECT_FALSE(cpu::CompiledRun::make(chain(12), blocks, {{23, 23}})) << "13 pointers";
  EXPECT_TRUE(cpu::CompiledRun::make(chain(12), std::vector<bool>(64, true), {{23, 23}}));
  std::vector<cpu::CompiledRun::Instruction> mask = {{Code::less, 2, {0, 1}, 2}};
  EXPECT_FALSE(cpu::CompiledRun::make(mask, blocks, {{2, 2}})) << "a comparison leaves the run";
  mask = {{Code::where, 3, {0, 1, 2}, 3}};
  EXPECT_FALSE(cpu::CompiledRun::make(mask, blocks, {{3, 3}})) << "its condition is of another";
  // Fifteen sums that are all read at the end.
  std::vector<cpu::CompiledRun::Instruction> wide;
  for (int i = 0; i < 15; ++i) wide.push_back({Code::add, 2 + i, {0, 1}, 2});
  for (int i = 0; i < 15; ++i)
    wide.push_back({Code::add, 17 + i, {i == 0 ? 1 : 16 + i, 16 - i}, 2});
  EXPECT_FALSE(cpu::CompiledRun::make(wide, blocks, {{31, 31}})) << "15 registers";
}

}  // namespace
}  // namespace wafer
