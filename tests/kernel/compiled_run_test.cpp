#include "wafer/backend/cpu/compiled_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "wafer/backend/cpu/block_program.h"
#include "wafer/backend/cpu/isa.h"

// Loops whose arithmetic is compiled give the bits that interpreted ones give.
namespace wafer {
namespace {

using cpu::CompiledRun;
using kernel::Code;
using kernel::Compute;
using kernel::Instruction;
using kernel::Program;

bool compiles_here() {
#ifdef WAFER_XBYAK
  return cpu::isa() != cpu::Isa::portable;
#else
  return false;
#endif
}

TEST(CompiledRun, WorksWhereItShould) {
  EXPECT_EQ(CompiledRun::works(), compiles_here());
}

// Makes random programs: inputs are blocks, then scalars, then a condition for all elements.
class Maker {
 public:
  explicit Maker(uint32_t seed) : random_(seed) {}

  Program program(int64_t elements, int blocks, int scalars, int steps, int outputs) {
    Program p;
    p.sizes = {elements};
    p.input_count = blocks + scalars + 1;
    for (int i = 0; i < p.input_count; ++i) {
      bool condition = i + 1 == p.input_count;
      DType dtype = condition ? DType::boolean : DType::f32;
      p.accesses.push_back({i, dtype, {i < blocks ? 1 : 0}, 0});
      Instruction load;
      load.code = Code::load;
      load.type = load.from = condition ? Compute::boolean : Compute::f32;
      load.dtype = dtype;
      load.access = i;
      add(p, load, {});
    }
    for (float constant : {0.0f, 0.75f}) {
      Instruction instruction;
      instruction.bits = std::bit_cast<uint32_t>(constant);
      add(p, instruction, {});
    }
    for (int i = 0; i < outputs; ++i) {
      for (int step = below(steps + 1); step >= 0; --step) add_step(p);
      if (below(2)) add_guard(p, blocks + scalars, below(blocks));
      p.outputs.push_back({static_cast<int>(p.instructions.size()) - 1, DType::f32});
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
  static void add(Program& p, Instruction instruction, const std::vector<int>& operands) {
    for (int operand : operands)
      instruction.operands[static_cast<size_t>(instruction.operand_count++)] = operand;
    p.instructions.push_back(instruction);
  }

  // A value made so far, most often one of the last.
  int number(const Program& p, Compute type = Compute::f32) {
    while (true) {
      auto count = static_cast<int>(p.instructions.size());
      int value = below(2) ? below(count) : count - 1 - below(std::min(count, 4));
      const Instruction& found = p.instructions[static_cast<size_t>(value)];
      if (found.type == type && (type == Compute::f32 || found.code != Code::load)) return value;
    }
  }

  // The last value where the condition for all elements holds, else a block.
  static void add_guard(Program& p, int condition, int block) {
    Instruction where;
    where.code = Code::where;
    add(p, where, {condition, static_cast<int>(p.instructions.size()) - 1, block});
  }

  void add_step(Program& p) {
    const Code codes[] = {Code::neg,  Code::abs,     Code::sqrt,    Code::add,        Code::sub,
                          Code::mul,  Code::div,     Code::maximum, Code::minimum,    Code::fma,
                          Code::fnma, Code::fms,     Code::where,   Code::where_less, Code::where,
                          Code::mul,  Code::maximum, Code::fma,     Code::add,        Code::exp};
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
        bool any = std::any_of(p.instructions.begin(), p.instructions.end(), [](const auto& each) {
          return each.type == Compute::boolean && each.code != Code::load;
        });
        if (!any || below(2)) {
          Instruction comparison;
          comparison.code = comparisons[below(4)];
          comparison.type = Compute::boolean;
          add(p, comparison, numbers(2));
        }
        return add(p, step, {number(p, Compute::boolean), number(p), number(p)});
      }
      default: return add(p, step, numbers(2));
    }
  }

  std::mt19937 random_;
};

// What lies behind every block, and must stay.
constexpr size_t behind = 16;
constexpr float mark = -7654.0f;

using Blocks = std::vector<std::vector<float>>;

// What the program makes of the inputs, of which the first outputs take the place; and what is then
// in the inputs.
Blocks run(const cpu::LoopStep& step, Blocks inputs, size_t outputs, size_t in_place, bool ok) {
  Blocks results(outputs);
  std::vector<void*> in, out;
  for (auto& input : inputs) in.push_back(input.data());
  in.push_back(&ok);
  for (size_t i = 0; i < outputs; ++i) {
    if (i >= in_place) results[i].assign(inputs[0].size(), mark);
    out.push_back(i < in_place ? in[i] : results[i].data());
  }
  step.run({in.data(), out.data(), nullptr});
  results.insert(results.end(), inputs.begin(), inputs.end());
  return results;
}

void expect_equal(const Blocks& got, const Blocks& expected, const std::string& what) {
  for (size_t o = 0; o < got.size(); ++o) {
    ASSERT_EQ(got[o].size(), expected[o].size());
    for (size_t i = 0; i < got[o].size(); ++i) {
      if (std::isnan(got[o][i]) && std::isnan(expected[o][i])) continue;
      ASSERT_EQ(std::bit_cast<uint32_t>(got[o][i]), std::bit_cast<uint32_t>(expected[o][i]))
          << got[o][i] << ", not " << expected[o][i] << ": block " << o << ", element " << i << ", "
          << what;
    }
  }
}

TEST(CompiledRun, GivesTheBitsOfInterpretedLoops) {
  size_t compiled = 0;
  for (uint32_t seed = 0; seed < 600; ++seed) {
    Maker maker(seed);
    int64_t elements = 1 + maker.below(seed % 10 == 0 ? 3000 : 70);
    int blocks = 1 + maker.below(7), scalars = maker.below(5), outputs = 1 + maker.below(4);
    Program program = maker.program(elements, blocks, scalars, seed % 7 == 0 ? 24 : 5, outputs);
    Blocks inputs;
    for (int i = 0; i < blocks + scalars; ++i) {
      inputs.push_back(maker.values(i < blocks ? static_cast<size_t>(elements) : size_t{1}));
      if (i < blocks) inputs.back().resize(inputs.back().size() + behind, mark);
    }
    auto count = static_cast<size_t>(outputs);
    auto in_place = static_cast<size_t>(maker.below(std::min(blocks, outputs) + 1));
    cpu::LoopStep interpreted = cpu::program_step(program, false);
    cpu::LoopStep step = cpu::program_step(program);
    EXPECT_EQ(interpreted.compiled, 0u);
    compiled += step.compiled;
    for (bool ok : {true, false}) {
      expect_equal(run(step, inputs, count, in_place, ok),
                   run(interpreted, inputs, count, in_place, ok),
                   str("seed ", seed, ", ", elements, " elements\n", print(program)));
    }
  }
  EXPECT_EQ(compiled > 3000, compiles_here()) << compiled;
}

// x0 + x1, x0 + x1 + x2, ..., of values 0, 1, ...
std::vector<CompiledRun::Instruction> chain(int values) {
  std::vector<CompiledRun::Instruction> result;
  for (int i = 1; i < values; ++i)
    result.push_back({Code::add, values + i, {i == 1 ? 0 : values + i - 1, i}, 2});
  return result;
}

TEST(CompiledRun, TakesTwelvePointersAndAnyNumberOfScalars) {
  if (!compiles_here()) GTEST_SKIP() << "nothing is compiled for this processor or in this build";
  const std::vector<bool> blocks(64, false), scalars(64, true);
  EXPECT_FALSE(CompiledRun::make(chain(12), blocks, {{23, 23}})) << "13 pointers";
  for (bool is_scalar : {false, true}) {
    int values = is_scalar ? 30 : 11, last = 2 * values - 1;
    auto run = CompiledRun::make(chain(values), is_scalar ? scalars : blocks, {{last, last}});
    ASSERT_TRUE(run);
    for (int64_t count : {1, 7, 8, 9, 23, 64}) {
      Blocks memory(64, std::vector<float>(static_cast<size_t>(count) + behind, mark));
      std::vector<std::byte*> slot;
      for (size_t v = 0; v < memory.size(); ++v) {
        for (size_t i = 0; i < static_cast<size_t>(count); ++i)
          memory[v][i] = static_cast<float>(v * 3 + i);
        slot.push_back(reinterpret_cast<std::byte*>(memory[v].data()));
      }
      Blocks expected = memory;
      for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        float sum = 0;
        for (size_t v = 0; v < static_cast<size_t>(values); ++v)
          sum += memory[v][is_scalar ? 0 : i];
        expected[static_cast<size_t>(last)][i] = sum;
      }
      (*run)(slot.data(), count);
      expect_equal(memory, expected, str(count, " elements, ", values, " values"));
    }
  }
}

TEST(CompiledRun, RefusesWhatDoesNotFit) {
  if (!compiles_here()) GTEST_SKIP() << "nothing is compiled for this processor or in this build";
  std::vector<bool> blocks(64, false);
  std::vector<CompiledRun::Instruction> mask = {{Code::less, 2, {0, 1}, 2}};
  EXPECT_FALSE(CompiledRun::make(mask, blocks, {{2, 2}})) << "a comparison leaves the run";
  mask = {{Code::where, 3, {0, 1, 2}, 3}};
  EXPECT_FALSE(CompiledRun::make(mask, blocks, {{3, 3}})) << "its condition is of another run";
  EXPECT_FALSE(CompiledRun::make(chain(3), blocks, {{5, 0}})) << "what it stores, it only reads";
  EXPECT_THROW(CompiledRun::make(chain(3), blocks, {{0, 5}}), InternalError);
  // Differences that are all alive when the last one is made, and the two values that they are of.
  for (int count : {13, 14}) {
    std::vector<CompiledRun::Instruction> wide;
    for (int i = 0; i < count; ++i) wide.push_back({Code::sub, 2 + i, {0, 1}, 2});
    for (int i = 0; i < count; ++i)
      wide.push_back({Code::add, 2 + count + i, {i == 0 ? 0 : 1 + count + i, 1 + count - i}, 2});
    int last = 1 + 2 * count;
    EXPECT_EQ(CompiledRun::make(wide, blocks, {{last, last}}) != nullptr, count == 13) << count;
  }
}

}  // namespace
}  // namespace wafer
