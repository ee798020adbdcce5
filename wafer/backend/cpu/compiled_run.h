#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "wafer/kernel/code.h"

namespace wafer::cpu {

// Consecutive f32 instructions of a program as machine code: one pass over memory for all of them.
// What they make for each other stays in registers, where a function for each instruction would
// write and read a block of it. Equal to those functions to the bit, but for which NaN a NaN is.
class CompiledRun {
 public:
  // Values are known by numbers below this.
  static constexpr int most_values = 256;

  struct Instruction {
    kernel::Code code = kernel::Code::add;
    int result = 0;
    std::array<int, 4> operands{};
    int operand_count = 0;
  };
  // What the run computes as `value` is written where slot[slot] is: its own slot, or that of a
  // selection which is known to choose it. No slot that the run reads.
  struct Stored {
    int slot = 0, value = 0;
  };

  // False where nothing can be compiled: on other processors than x86-64 with AVX2, in a build
  // without Xbyak, and where the system gives no memory that can be executed.
  static bool works();
  // Whether an instruction may be part of a run: a comparison only if each of its readers is a
  // `where` of the same run, and a `where` only if its condition is such a comparison.
  static bool knows(kernel::Code code);
  // Operands that the run does not compute are one element for all where `is_scalar` has their
  // number, else a block. Null where the instructions take more registers than there are.
  static std::shared_ptr<const CompiledRun> make(std::span<const Instruction> instructions,
                                                 const std::vector<bool>& is_scalar,
                                                 const std::vector<Stored>& stored);

  // Computes `count` elements: slot[number] is where a value that is read lies. An element is read
  // before any is written in its place.
  void operator()(std::byte* const* slot, int64_t count) const;

  ~CompiledRun();
  CompiledRun(const CompiledRun&) = delete;
  CompiledRun& operator=(const CompiledRun&) = delete;

 private:
  struct Memory;
  CompiledRun() = default;

  std::unique_ptr<Memory> memory_;
  void (*run_)(std::byte* const* slot, int64_t count) = nullptr;
  std::vector<int> blocks_, scalars_, stored_;  // slots
};

}  // namespace wafer::cpu
