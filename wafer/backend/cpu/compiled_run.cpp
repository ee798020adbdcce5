#include "wafer/backend/cpu/compiled_run.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "wafer/backend/cpu/isa.h"

#ifdef WAFER_XBYAK
#include <xbyak/xbyak.h>
#endif

namespace wafer::cpu {

using kernel::Code;

namespace {
constexpr int lanes = 8;  // of a register
constexpr size_t most_pointers = 12, most_slots = 256;

bool is_comparison(Code code) {
  return code == Code::less || code == Code::less_equal || code == Code::equal ||
         code == Code::not_equal;
}
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
class CompiledRun::Compiler : public Xbyak::CodeGenerator {
 public:
  Compiler(std::span<const Instruction> instructions, const std::vector<bool>& is_scalar,
           const std::vector<Stored>& stored)
      : CodeGenerator(code_bytes, Xbyak::DontSetProtectRWE),
        instructions_(instructions),
        stored_(stored) {
    for (size_t i = 0; i < instructions.size(); ++i) {
      const Instruction& instruction = instructions[i];
      for (int value : operands(instruction)) {
        ++uses_[value];
        last_use_[value] = i;
        if (has(computed_, value) || is_read(value)) continue;
        (is_scalar[static_cast<size_t>(value)] ? scalars : blocks).push_back(value);
      }
      last_use_[instruction.result] = i;
      computed_.push_back(instruction.result);
    }
    for (const Stored& each : stored) last_use_[each.value] = instructions.size();
  }

  // False where it cannot be done. The memory is written first, and then no longer writable.
  bool compile() {
    if (blocks.size() + stored_.size() > std::size(pointers) || !masks_stay()) return false;
    for (const Stored& each : stored_) {
      if (!has(computed_, each.value)) return false;
    }
    // First to see how many registers are left for scalars, which are else read from the stack.
    if (!emit(0)) return false;
    size_t kept = std::min(scalars.size(), register_count - most_used_);
    if (kept > 0) {
      reset();
      if (!emit(kept)) return false;
    }
    return setProtectModeRE(false);
  }

  std::vector<int> blocks, scalars;  // that are read

 private:
  static constexpr size_t code_bytes = 8192;
  static constexpr size_t register_count = 14;  // the other two are an instruction's own
  static constexpr uint8_t unordered = 3, less_than = 0x11, at_most = 0x12, equal_to = 0,
                           not_equal_to = 4;  // predicates of vcmpps
  const Xbyak::Ymm spare_ = ymm14, other_spare_ = ymm15;
  const Xbyak::Reg64 pointers[most_pointers] = {rcx, rdx, r8,  r9,  r10, r11,
                                                rbx, rbp, r12, r13, r14, r15};

  static std::span<const int> operands(const Instruction& instruction) {
    return std::span(instruction.operands).first(static_cast<size_t>(instruction.operand_count));
  }
  static bool has(const std::vector<int>& values, int value) {
    return std::find(values.begin(), values.end(), value) != values.end();
  }
  bool is_read(int value) const { return has(blocks, value) || has(scalars, value); }
  bool is_in_register(int value) const { return register_.count(value) > 0; }
  bool is_kept(int value) const { return has(kept_, value); }

  // Comparisons are made for selections of this run alone.
  bool masks_stay() const {
    std::vector<int> masks;
    for (const Instruction& instruction : instructions_) {
      for (size_t k = 0; k < operands(instruction).size(); ++k) {
        bool chooses = instruction.code == Code::where && k == 0;
        if (chooses != has(masks, instruction.operands[k])) return false;
      }
      if (is_comparison(instruction.code)) masks.push_back(instruction.result);
    }
    return std::none_of(stored_.begin(), stored_.end(),
                        [&](const Stored& each) { return has(masks, each.value); });
  }

  bool emit(size_t kept_scalars) {
    const Xbyak::Reg64 saved[] = {rbx, rbp, r12, r13, r14, r15};
    Xbyak::Label loop;
    constants_ = Xbyak::Label();
    free_.clear();
    for (size_t i = register_count; i-- > 0;) free_.push_back(static_cast<int>(i));
    register_.clear();
    memory_.clear();
    most_used_ = 0;
    kept_.assign(scalars.begin(), scalars.begin() + static_cast<std::ptrdiff_t>(kept_scalars));

    for (const Xbyak::Reg64& each : saved) push(each);
    constexpr int splat_bytes = 4 * lanes;
    int stack_bytes = static_cast<int>(scalars.size() - kept_scalars) * splat_bytes, at = 0;
    if (stack_bytes > 0) sub(rsp, stack_bytes);
    for (int value : scalars) {
      mov(rax, ptr[rdi + value * 8]);
      if (is_kept(value)) {
        vbroadcastss(take(value), ptr[rax]);
        continue;
      }
      vbroadcastss(spare_, ptr[rax]);
      vmovups(ptr[rsp + at], spare_);
      memory_.emplace(value, ptr[rsp + at]);
      at += splat_bytes;
    }
    const Xbyak::Reg64* pointer = pointers;
    for (int value : blocks) {
      mov(*pointer, ptr[rdi + value * 8]);
      memory_.emplace(value, ptr[*pointer++ + rax * 4]);
    }
    std::vector<Xbyak::Address> results;
    for (const Stored& each : stored_) {
      mov(*pointer, ptr[rdi + each.slot * 8]);
      results.push_back(ptr[*pointer++ + rax * 4]);
    }
    xor_(eax, eax);
    align(16);
    L(loop);
    for (size_t i = 0; i < instructions_.size(); ++i) {
      if (!emit_one(instructions_[i], i)) return false;
    }
    // All of them last: an element may lie where another value's was read.
    for (size_t i = 0; i < stored_.size(); ++i)
      vmovups(results[i], Xbyak::Ymm(register_.at(stored_[i].value)));
    add(rax, lanes);
    cmp(rax, rsi);
    jl(loop, T_NEAR);
    if (stack_bytes > 0) add(rsp, stack_bytes);
    for (size_t i = std::size(saved); i-- > 0;) pop(saved[i]);
    vzeroupper();
    ret();
    align(32);
    L(constants_);
    for (int i = 0; i < lanes; ++i) dd(0x80000000u);
    for (int i = 0; i < lanes; ++i) dd(0x7fffffffu);
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

  // Which operand of an instruction may come from memory.
  static bool may_be_memory(Code code, size_t k) {
    if (code == Code::neg || code == Code::abs) return false;
    if (code == Code::sqrt) return true;
    return k == (code == Code::where_less ? 2 : 1);
  }

  bool emit_one(const Instruction& instruction, size_t at) {
    Code code = instruction.code;
    std::vector<int> brief;  // scalars that are in a register for this instruction alone
    for (size_t k = 0; k < operands(instruction).size(); ++k) {
      int value = instruction.operands[k];
      bool stays = has(blocks, value) && uses_.at(value) > 1;
      if (is_in_register(value) || (!stays && may_be_memory(code, k))) continue;
      if (free_.empty()) return false;
      vmovups(take(value), memory_.at(value));
      if (has(scalars, value)) brief.push_back(value);
    }
    // Where the operands are once their registers may be the result's.
    std::map<int, int> number;
    for (int value : operands(instruction)) {
      if (is_in_register(value)) number[value] = register_.at(value);
    }
    for (auto [value, unused] : number) {
      if (has(brief, value) || (last_use_.at(value) == at && !is_kept(value))) release(value);
    }
    if (free_.empty()) return false;
    Xbyak::Ymm y = take(instruction.result);
    auto reg = [&](size_t k) { return Xbyak::Ymm(number.at(instruction.operands[k])); };
    auto with = [&](size_t k, auto&& use) {
      if (number.count(instruction.operands[k]))
        use(reg(k));
      else
        use(memory_.at(instruction.operands[k]));
    };
    switch (code) {
      case Code::neg: vxorps(y, reg(0), ptr[rip + constants_]); break;
      case Code::abs: vandps(y, reg(0), ptr[rip + 4 * lanes + constants_]); break;
      case Code::sqrt: with(0, [&](const auto& x) { vsqrtps(y, x); }); break;
      case Code::add: with(1, [&](const auto& b) { vaddps(y, reg(0), b); }); break;
      case Code::sub: with(1, [&](const auto& b) { vsubps(y, reg(0), b); }); break;
      case Code::mul: with(1, [&](const auto& b) { vmulps(y, reg(0), b); }); break;
      case Code::div: with(1, [&](const auto& b) { vdivps(y, reg(0), b); }); break;
      case Code::maximum:
      case Code::minimum:
        // Both give b where either is NaN: an a that is NaN stays.
        with(1, [&](const auto& b) {
          if (code == Code::maximum)
            vmaxps(spare_, reg(0), b);
          else
            vminps(spare_, reg(0), b);
        });
        vcmpps(other_spare_, reg(0), reg(0), unordered);
        vblendvps(y, spare_, reg(0), other_spare_);
        break;
      case Code::fma:
      case Code::fnma:
      case Code::fms:
        with(1, [&](const auto& b) { multiply_add(code, y, reg(0), b, reg(2)); });
        break;
      case Code::where: with(1, [&](const auto& yes) { vblendvps(y, reg(2), yes, reg(0)); }); break;
      case Code::where_less:
        vcmpps(spare_, reg(0), reg(1), less_than);
        with(2, [&](const auto& yes) { vblendvps(y, reg(3), yes, spare_); });
        break;
      default: with(1, [&](const auto& b) { vcmpps(y, reg(0), b, predicate_of(code)); }); break;
    }
    if (last_use_.at(instruction.result) == at) release(instruction.result);
    return true;
  }

  // y = a b + c, c - a b or a b - c; y may be the register of any of them.
  template <class B>
  void multiply_add(Code code, const Xbyak::Ymm& y, const Xbyak::Ymm& a, const B& b,
                    const Xbyak::Ymm& c) {
    auto into_sum = [&](const Xbyak::Ymm& sum, const Xbyak::Ymm& x, const Xbyak::Operand& w) {
      if (code == Code::fma) vfmadd231ps(sum, x, w);
      if (code == Code::fnma) vfnmadd231ps(sum, x, w);
      if (code == Code::fms) vfmsub231ps(sum, x, w);
    };
    auto into_factor = [&](const Xbyak::Ymm& x, const Xbyak::Operand& w) {
      if (code == Code::fma) vfmadd132ps(x, c, w);
      if (code == Code::fnma) vfnmadd132ps(x, c, w);
      if (code == Code::fms) vfmsub132ps(x, c, w);
    };
    if (y.getIdx() == c.getIdx()) return into_sum(y, a, b);
    if (y.getIdx() == a.getIdx()) return into_factor(y, b);
    if constexpr (std::is_same_v<B, Xbyak::Ymm>) {
      if (y.getIdx() == b.getIdx()) return into_factor(y, a);
    }
    vmovaps(y, c);
    into_sum(y, a, b);
  }

  static uint8_t predicate_of(Code code) {
    if (code == Code::less) return less_than;
    if (code == Code::less_equal) return at_most;
    return code == Code::equal ? equal_to : not_equal_to;
  }

  std::span<const Instruction> instructions_;
  const std::vector<Stored>& stored_;
  std::vector<int> computed_;
  std::map<int, size_t> last_use_;  // value -> instruction; their count where it is stored
  std::map<int, int> uses_;
  Xbyak::Label constants_;
  std::vector<int> kept_;        // scalars that have a register in the loop
  std::vector<int> free_;        // registers
  std::map<int, int> register_;  // of values
  std::map<int, Xbyak::Address> memory_;
  size_t most_used_ = 0;  // registers
};

std::shared_ptr<const CompiledRun> CompiledRun::make(std::span<const Instruction> instructions,
                                                     const std::vector<bool>& is_scalar,
                                                     const std::vector<Stored>& stored) {
  if (isa() == Isa::portable) return nullptr;
  try {
    auto compiler = std::make_unique<Compiler>(instructions, is_scalar, stored);
    if (!compiler->compile()) return nullptr;
    std::shared_ptr<CompiledRun> run(new CompiledRun);
    run->run_ = compiler->getCode<void (*)(std::byte* const*, int64_t)>();
    run->blocks_ = compiler->blocks;
    run->scalars_ = compiler->scalars;
    for (const Stored& each : stored) run->stored_.push_back(each.slot);
    run->code_ = std::move(compiler);
    return run;
  } catch (const Xbyak::Error&) {
    return nullptr;  // too long, or the system gives no memory for it
  }
}
#else
class CompiledRun::Compiler {};

std::shared_ptr<const CompiledRun> CompiledRun::make(std::span<const Instruction>,
                                                     const std::vector<bool>&,
                                                     const std::vector<Stored>&) {
  return nullptr;
}
#endif

CompiledRun::~CompiledRun() = default;

void CompiledRun::operator()(std::byte* const* slot, int64_t count) const {
  int64_t whole = count / lanes * lanes;
  if (whole > 0) run_(slot, whole);
  if (whole == count) return;
  // The last few elements by way of a whole register's.
  auto bytes = static_cast<size_t>(count - whole) * sizeof(float);
  auto at = static_cast<size_t>(whole) * sizeof(float);
  float lines[most_pointers][lanes] = {};
  std::byte* padded[most_slots];
  for (int value : scalars_) padded[value] = slot[value];
  size_t used = 0;
  for (int value : blocks_) {
    auto* line = reinterpret_cast<std::byte*>(lines[used++]);
    std::memcpy(line, slot[value] + at, bytes);
    padded[value] = line;
  }
  for (int value : stored_) padded[value] = reinterpret_cast<std::byte*>(lines[used++]);
  run_(padded, lanes);
  for (int value : stored_) std::memcpy(slot[value] + at, padded[value], bytes);
}

}  // namespace wafer::cpu
