#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "wafer/kernel/code.h"

namespace wafer::cpu {

// f32 instructions that follow each other in a program, as machine code: one pass over memory for
// all of them. What they make for each other stays in registers, where a function for each
// instruction would write and read a block of it. Equal to those functions to the bit.
class CompiledRun {
 public:
  struct Instruction {
    kernel::Code code = kernel::Code::add;
    int result = 0;  // values are known by numbers below 256
    std::array<int, 4> operands{};
    int operand_count = 0;
  };
  // `value`, which the run computes, is written to slot[slot].
  struct Stored {
    int slot = 0, value = 0;
  };

  // Whether there is machine code for it; comparisons only of values that selections of the same
  // run choose by.
  static bool knows(kernel::Code code);
  // Operands that the run does not compute are one element for all where `is_scalar` has their
  // number, else a block. Null where the instructions take more registers than there are, and where
  // this CPU or system runs no such code.
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
  class Compiler;
  CompiledRun() = default;

  std::unique_ptr<Compiler> code_;
  void (*run_)(std::byte* const* slot, int64_t count) = nullptr;
  std::vector<int> blocks_, scalars_, stored_;  // slots
};

}  // namespace wafer::cpu
