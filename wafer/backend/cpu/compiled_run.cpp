#include "wafer/backend/cpu/compiled_run.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <type_traits>

#include "wafer/backend/cpu/isa.h"
#include "wafer/base/error.h"

#ifdef WAFER_XBYAK
// A program may bring another version of Xbyak, whose classes have the same names: ours stay in
// this library. Not so what Xbyak includes.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#pragma GCC visibility push(hidden)
#include <xbyak/xbyak.h>
#pragma GCC visibility pop
#endif

namespace wafer::cpu {

namespace {

using kernel::Code;

constexpr int lanes = 8;  // of a register
constexpr size_t pointer_count = 12;

bool is_comparison(Code code) {
  return code == Code::less || code == Code::less_equal || code == Code::equal ||
         code == Code::not_equal;
}

#ifdef WAFER_XBYAK
using RunInstruction = CompiledRun::Instruction;
using Stored = CompiledRun::Stored;
using namespace Xbyak::util;  // registers

constexpr size_t register_count = 14;  // the other two are an instruction's own
const Xbyak::Ymm spare = ymm14, other_spare = ymm15;

// Predicates of vcmpps, which C++'s comparisons are.
constexpr uint8_t is_unordered = 3, is_less = 0x11, is_at_most = 0x12, is_equal = 0,
                  is_not_equal = 4;
uint8_t predicate_of(Code code) {
  if (code == Code::less) return is_less;
  if (code == Code::less_equal) return is_at_most;
  return code == Code::equal ? is_equal : is_not_equal;
}

std::span<const int> operands(const RunInstruction& instruction) {
  return std::span(instruction.operands).first(static_cast<size_t>(instruction.operand_count));
}
bool has(const std::vector<int>& values, int value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

// Which values a run reads and computes, and until when they are needed.
struct Liveness {
  std::vector<int> blocks, scalars;  // that are read
  std::vector<int> computed;
  std::map<int, size_t> last_use;  // value -> instruction; their count where it is stored
  std::map<int, int> uses;

  Liveness(std::span<const RunInstruction> instructions, const std::vector<bool>& is_scalar,
           const std::vector<Stored>& stored) {
    for (size_t i = 0; i < instructions.size(); ++i) {
      for (int value : operands(instructions[i])) {
        ++uses[value];
        last_use[value] = i;
        if (has(computed, value) || has(blocks, value) || has(scalars, value)) continue;
        (is_scalar[static_cast<size_t>(value)] ? scalars : blocks).push_back(value);
      }
      last_use[instructions[i].result] = i;
      computed.push_back(instructions[i].result);
    }
    for (const Stored& each : stored) last_use[each.value] = instructions.size();
  }
};

// Comparisons are made for selections of the same run alone.
bool masks_stay(std::span<const RunInstruction> instructions, const std::vector<Stored>& stored) {
  std::vector<int> masks;
  for (const RunInstruction& instruction : instructions) {
    for (size_t k = 0; k < operands(instruction).size(); ++k) {
      bool chooses = instruction.code == Code::where && k == 0;
      if (chooses != has(masks, instruction.operands[k])) return false;
    }
    if (is_comparison(instruction.code)) masks.push_back(instruction.result);
  }
  return std::none_of(stored.begin(), stored.end(),
                      [&](const Stored& each) { return has(masks, each.value); });
}

// Writes the code of a run.
class Emitter {
 public:
  Emitter(Xbyak::CodeGenerator& code, const Liveness& live,
          std::span<const RunInstruction> instructions, const std::vector<Stored>& stored)
      : code_(code), live_(live), instructions_(instructions), stored_(stored) {}

  // False where there are too few registers.
  bool emit() {
    // First to see how many are left for scalars, which are else read from the stack.
    if (!emit(0)) return false;
    size_t kept = std::min(live_.scalars.size(), register_count - most_used_);
    if (kept == 0) return true;
    code_.reset();
    return emit(kept);
  }

 private:
  bool emit(size_t kept_scalars) {
    const Xbyak::Reg64 saved[] = {rbx, rbp, r12, r13, r14, r15};
    Xbyak::Label loop;
    constants_ = Xbyak::Label();
    free_.clear();
    for (size_t i = register_count; i-- > 0;) free_.push_back(static_cast<int>(i));
    register_.clear();
    memory_.clear();
    most_used_ = 0;
    kept_.assign(live_.scalars.begin(),
                 live_.scalars.begin() + static_cast<std::ptrdiff_t>(kept_scalars));

    for (const Xbyak::Reg64& each : saved) code_.push(each);
    constexpr int splat_bytes = 4 * lanes;
    int stack_bytes = static_cast<int>(live_.scalars.size() - kept_scalars) * splat_bytes;
    int stack_at = 0;
    if (stack_bytes > 0) code_.sub(rsp, stack_bytes);
    for (int value : live_.scalars) {
      code_.mov(rax, ptr[rdi + value * 8]);
      if (is_kept(value)) {
        code_.vbroadcastss(take(value), ptr[rax]);
        continue;
      }
      code_.vbroadcastss(spare, ptr[rax]);
      code_.vmovups(ptr[rsp + stack_at], spare);
      memory_.emplace(value, ptr[rsp + stack_at]);
      stack_at += splat_bytes;
    }
    const Xbyak::Reg64 pointers[pointer_count] = {rcx, rdx, r8,  r9,  r10, r11,
                                                  rbx, rbp, r12, r13, r14, r15};
    const Xbyak::Reg64* pointer = pointers;
    for (int value : live_.blocks) {
      code_.mov(*pointer, ptr[rdi + value * 8]);
      memory_.emplace(value, ptr[*pointer++ + rax * 4]);
    }
    std::vector<Xbyak::Address> results;
    for (const Stored& each : stored_) {
      code_.mov(*pointer, ptr[rdi + each.slot * 8]);
      results.push_back(ptr[*pointer++ + rax * 4]);
    }
    code_.xor_(eax, eax);
    code_.align(16);
    code_.L(loop);
    for (size_t i = 0; i < instructions_.size(); ++i) {
      if (!emit_one(instructions_[i], i)) return false;
    }
    // All of them last: an element may lie where another value's was read.
    for (size_t i = 0; i < stored_.size(); ++i)
      code_.vmovups(results[i], Xbyak::Ymm(register_.at(stored_[i].value)));
    code_.add(rax, lanes);
    code_.cmp(rax, rsi);
    code_.jl(loop, Xbyak::CodeGenerator::T_NEAR);
    if (stack_bytes > 0) code_.add(rsp, stack_bytes);
    for (size_t i = std::size(saved); i-- > 0;) code_.pop(saved[i]);
    code_.vzeroupper();
    code_.ret();
    code_.align(32);
    code_.L(constants_);
    for (int i = 0; i < lanes; ++i) code_.dd(0x80000000u);
    for (int i = 0; i < lanes; ++i) code_.dd(0x7fffffffu);
    return true;
  }

  Xbyak::Ymm take(int value) {
    int number = free_.back();
    free_.pop_back();
    register_[value] = number;
    most_used_ = std::max(most_used_, register_count - free_.size());
    return Xbyak::Ymm(number);
  }
  void release(int value) {
    free_.push_back(register_.at(value));
    register_.erase(value);
  }

  bool is_in_register(int value) const { return register_.count(value) > 0; }
  bool is_kept(int value) const { return has(kept_, value); }

  // Which operand of an instruction may come from memory.
  static bool may_be_memory(Code code, size_t k) {
    if (code == Code::neg || code == Code::abs) return false;
    if (code == Code::sqrt) return true;
    return k == (code == Code::where_less ? 2 : 1);
  }

  bool emit_one(const RunInstruction& instruction, size_t at) {
    Code code = instruction.code;
    std::vector<int> borrowed;  // scalars that take a register for this instruction alone
    for (size_t k = 0; k < operands(instruction).size(); ++k) {
      int value = instruction.operands[k];
      bool stays = has(live_.blocks, value) && live_.uses.at(value) > 1;
      if (is_in_register(value) || (!stays && may_be_memory(code, k))) continue;
      if (free_.empty()) return false;
      code_.vmovups(take(value), memory_.at(value));
      if (has(live_.scalars, value)) borrowed.push_back(value);
    }
    // Where the operands are once their registers may be the result's.
    std::map<int, int> in_register;
    for (int value : operands(instruction)) {
      if (is_in_register(value)) in_register[value] = register_.at(value);
    }
    for (auto [value, unused] : in_register) {
      if (has(borrowed, value) || (live_.last_use.at(value) == at && !is_kept(value)))
        release(value);
    }
    if (free_.empty()) return false;
    Xbyak::Ymm y = take(instruction.result);
    auto reg = [&](size_t k) { return Xbyak::Ymm(in_register.at(instruction.operands[k])); };
    auto with_operand = [&](size_t k, auto&& use) {
      if (in_register.count(instruction.operands[k]))
        use(reg(k));
      else
        use(memory_.at(instruction.operands[k]));
    };
    switch (code) {
      case Code::neg: code_.vxorps(y, reg(0), ptr[rip + constants_]); break;
      case Code::abs: code_.vandps(y, reg(0), ptr[rip + 4 * lanes + constants_]); break;
      case Code::sqrt: with_operand(0, [&](const auto& x) { code_.vsqrtps(y, x); }); break;
      case Code::add: with_operand(1, [&](const auto& b) { code_.vaddps(y, reg(0), b); }); break;
      case Code::sub: with_operand(1, [&](const auto& b) { code_.vsubps(y, reg(0), b); }); break;
      case Code::mul: with_operand(1, [&](const auto& b) { code_.vmulps(y, reg(0), b); }); break;
      case Code::div: with_operand(1, [&](const auto& b) { code_.vdivps(y, reg(0), b); }); break;
      case Code::maximum:
      case Code::minimum:
        // Both give b where either is NaN: an a that is NaN stays.
        with_operand(1, [&](const auto& b) {
          if (code == Code::maximum)
            code_.vmaxps(spare, reg(0), b);
          else
            code_.vminps(spare, reg(0), b);
        });
        code_.vcmpps(other_spare, reg(0), reg(0), is_unordered);
        code_.vblendvps(y, spare, reg(0), other_spare);
        break;
      case Code::fma:
      case Code::fnma:
      case Code::fms:
        with_operand(1, [&](const auto& b) { multiply_add(code, y, reg(0), b, reg(2)); });
        break;
      case Code::where:
        with_operand(1, [&](const auto& yes) { code_.vblendvps(y, reg(2), yes, reg(0)); });
        break;
      case Code::where_less:
        code_.vcmpps(spare, reg(0), reg(1), is_less);
        with_operand(2, [&](const auto& yes) { code_.vblendvps(y, reg(3), yes, spare); });
        break;
      default:
        with_operand(1, [&](const auto& b) { code_.vcmpps(y, reg(0), b, predicate_of(code)); });
        break;
    }
    if (live_.last_use.at(instruction.result) == at) release(instruction.result);
    return true;
  }

  // y = a b + c, c - a b or a b - c; y may be the register of any of them.
  template <class B>
  void multiply_add(Code code, const Xbyak::Ymm& y, const Xbyak::Ymm& a, const B& b,
                    const Xbyak::Ymm& c) {
    auto into_sum = [&](const Xbyak::Ymm& sum, const Xbyak::Ymm& x, const Xbyak::Operand& w) {
      if (code == Code::fma) code_.vfmadd231ps(sum, x, w);
      if (code == Code::fnma) code_.vfnmadd231ps(sum, x, w);
      if (code == Code::fms) code_.vfmsub231ps(sum, x, w);
    };
    auto into_factor = [&](const Xbyak::Ymm& x, const Xbyak::Operand& w) {
      if (code == Code::fma) code_.vfmadd132ps(x, c, w);
      if (code == Code::fnma) code_.vfnmadd132ps(x, c, w);
      if (code == Code::fms) code_.vfmsub132ps(x, c, w);
    };
    if (y.getIdx() == c.getIdx()) return into_sum(y, a, b);
    if (y.getIdx() == a.getIdx()) return into_factor(y, b);
    if constexpr (std::is_same_v<B, Xbyak::Ymm>) {
      if (y.getIdx() == b.getIdx()) return into_factor(y, a);
    }
    code_.vmovaps(y, c);
    into_sum(y, a, b);
  }

  Xbyak::CodeGenerator& code_;
  const Liveness& live_;
  std::span<const RunInstruction> instructions_;
  const std::vector<Stored>& stored_;
  Xbyak::Label constants_;
  std::vector<int> kept_;        // scalars that have a register in the loop: those read first
  std::vector<int> free_;        // registers
  std::map<int, int> register_;  // of values
  std::map<int, Xbyak::Address> memory_;
  size_t most_used_ = 0;  // registers
};
#endif
}  // namespace

bool CompiledRun::knows(Code code) {
  switch (code) {
    case Code::neg:
    case Code::abs:
    case Code::sqrt:
    case Code::add:
    case Code::sub:
    case Code::mul:
    case Code::div:
    case Code::maximum:
    case Code::minimum:
    case Code::fma:
    case Code::fnma:
    case Code::fms:
    case Code::where:
    case Code::where_less: return true;
    default: return is_comparison(code);
  }
}

#ifdef WAFER_XBYAK
// Written first, and then no longer writable.
struct [[gnu::visibility("hidden")]] CompiledRun::Memory {
  Xbyak::CodeGenerator generator{8192, Xbyak::DontSetProtectRWE};
};

std::shared_ptr<const CompiledRun> CompiledRun::make(std::span<const Instruction> instructions,
                                                     const std::vector<bool>& is_scalar,
                                                     const std::vector<Stored>& stored) {
  if (isa() == Isa::portable || !masks_stay(instructions, stored)) return nullptr;
  Liveness live(instructions, is_scalar, stored);
  if (live.blocks.size() + stored.size() > pointer_count) return nullptr;
  std::shared_ptr<CompiledRun> run(new CompiledRun);
  for (const Stored& each : stored) {
    if (!has(live.computed, each.value)) return nullptr;
    bool is_read = has(live.blocks, each.slot) || has(live.scalars, each.slot);
    WAFER_CHECK(each.slot < most_values && !is_read, "slot ", each.slot, " of a compiled run");
    run->stored_.push_back(each.slot);
  }
  try {
    run->memory_ = std::make_unique<Memory>();
    Xbyak::CodeGenerator& generator = run->memory_->generator;
    if (!Emitter(generator, live, instructions, stored).emit()) return nullptr;
    if (!generator.setProtectModeRE(false)) return nullptr;
    run->run_ = generator.getCode<void (*)(std::byte* const*, int64_t)>();
  } catch (const Xbyak::Error&) {
    return nullptr;  // too long, or the system gives no memory for it
  }
  run->blocks_ = live.blocks;
  run->scalars_ = live.scalars;
  return run;
}
#else
struct CompiledRun::Memory {};

std::shared_ptr<const CompiledRun> CompiledRun::make(std::span<const Instruction>,
                                                     const std::vector<bool>&,
                                                     const std::vector<Stored>&) {
  return nullptr;
}
#endif

bool CompiledRun::works() {
  static const bool result = [] {
    Instruction sum{kernel::Code::add, 1, {0, 0}, 2};
    return make({&sum, 1}, {false}, {{1, 1}}) != nullptr;
  }();
  return result;
}

CompiledRun::~CompiledRun() = default;

void CompiledRun::operator()(std::byte* const* slot, int64_t count) const {
  int64_t whole = count / lanes * lanes;
  if (whole > 0) run_(slot, whole);
  if (whole == count) return;
  // The last few elements by way of a whole register's. The last one fills it up: zeros could make
  // NaNs, and raise the flag of it, where there are none.
  auto bytes = static_cast<size_t>(count - whole) * sizeof(float);
  auto at = static_cast<size_t>(whole) * sizeof(float);
  float padding[pointer_count][lanes];
  std::byte* padded[most_values];
  for (int value : scalars_) padded[value] = slot[value];
  size_t used = 0;
  for (int value : blocks_) {
    float* line = padding[used++];
    std::memcpy(line, slot[value] + at, bytes);
    std::fill(line + (count - whole), line + lanes, line[count - whole - 1]);
    padded[value] = reinterpret_cast<std::byte*>(line);
  }
  for (int value : stored_) padded[value] = reinterpret_cast<std::byte*>(padding[used++]);
  run_(padded, lanes);
  for (int value : stored_) std::memcpy(slot[value] + at, padded[value], bytes);
}

}  // namespace wafer::cpu
