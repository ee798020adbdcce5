#include "wafer/backend/cpu/block_program.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "wafer/backend/cpu/compiled_run.h"
#include "wafer/backend/cpu/simd/block.h"
#include "wafer/base/threads.h"

namespace wafer::cpu {

namespace {

using kernel::Access;
using kernel::Code;
using kernel::Compute;
using kernel::Instruction;
using kernel::Program;

// A block's registers should stay in the first-level cache beside what streams through it.
constexpr size_t scratch_limit = 64 * 1024;
constexpr size_t preferred_scratch = 20 * 1024;
constexpr size_t periodic_limit = 16 * 1024;
constexpr size_t cache_line = 64;
// Above this many bytes inputs come from memory and are fetched one block ahead.
constexpr int64_t prefetch_bytes = 512 * 1024;

size_t size_of(Compute type) {
  constexpr size_t sizes[] = {4, 8, 8, 8, 1};
  return sizes[static_cast<size_t>(type)];
}
size_t padded(size_t bytes) {
  return (bytes + cache_line - 1) / cache_line * cache_line;
}
// True when memory of that dtype is what registers of the Compute type hold.
bool same_format(DType dtype, Compute type) {
  switch (dtype) {
    case DType::f32: return type == Compute::f32;
    case DType::f64: return type == Compute::f64;
    case DType::i64: return type == Compute::i64;
    case DType::u64: return type == Compute::u64;
    case DType::boolean: return type == Compute::boolean;
    default: return false;
  }
}

// Walks a strided input in the order of the loop.
struct Walk {
  std::vector<int64_t> sizes, strides;
  size_t element_bytes = 0;
  LoadFunction load = nullptr;
  size_t compute_bytes = 0;

  // Which element of the input is number `at` of the loop.
  int64_t element(int64_t at) const {
    int64_t offset = 0;
    for (size_t d = sizes.size(); d-- > 0;) {
      offset += at % sizes[d] * strides[d];
      at /= sizes[d];
    }
    return offset;
  }

  // `base` is the address of the first element.
  void read(const void* base, int64_t begin, int64_t count, std::byte* out) const {
    size_t last = sizes.size() - 1;
    int64_t at[8];
    int64_t rest = begin, offset = 0;
    for (size_t d = sizes.size(); d-- > 0;) {
      at[d] = rest % sizes[d];
      rest /= sizes[d];
      offset += at[d] * strides[d];
    }
    while (count > 0) {
      int64_t run = std::min(count, sizes[last] - at[last]);
      load(out, static_cast<const std::byte*>(base) + offset * static_cast<int64_t>(element_bytes),
           strides[last], run);
      out += static_cast<size_t>(run) * compute_bytes;
      count -= run;
      at[last] += run;
      offset += run * strides[last];
      for (size_t d = last; d > 0 && at[d] == sizes[d]; --d) {
        offset += strides[d - 1] - at[d] * strides[d];
        at[d] = 0;
        ++at[d - 1];
      }
    }
  }
};

// Where a value lies while a block is computed.
enum class Place {
  stream,     // in the input's memory: all of it in the order of the loop, or a block at a time
  periodic,   // in a buffer that repeats a short input, expanded once per thread
  invariant,  // one value for all elements
  computed,   // in a register, or straight in an output's memory
};

struct Op {
  enum class Kind { compute, load, walk } kind = Kind::compute;
  BlockFunction compute = nullptr;
  LoadFunction load = nullptr;
  int result = 0;
  std::array<int, 4> operands{};
  int operand_count = 0;
  int input = 0;       // of load and walk
  int64_t offset = 0;  // of the first element that they read
  size_t element_bytes = 0;
  size_t walk = 0;
};

struct Stream {
  int value = 0, input = 0;
  int64_t offset = 0;
  size_t element_bytes = 0;
  int walk = -1;  // where each block begins, unless the input is dense
};
struct Periodic {
  int value = 0, input = 0;
  int64_t offset = 0, period = 0;
  size_t buffer = 0;  // offset in scratch
  size_t compute_bytes = 0, element_bytes = 0;
  LoadFunction load = nullptr;
};
struct Invariant {
  int value = 0;
  size_t place = 0;  // offset in scratch
  bool whole_block = false;
  size_t compute_bytes = 0;
  Op op;  // what computes it, of kind load or compute; or
  bool constant = false;
  uint64_t bits = 0;
};
struct Sink {
  int output = 0, value = 0;
  size_t element_bytes = 0;
  StoreFunction store = nullptr;
  bool may_be_direct = false;
  std::vector<int> read_later;  // inputs that are read after the value is computed
};

// An output that is `where(condition, chosen, other)` by a condition that is the same for all
// elements. Where it holds, what is chosen is computed straight into the output's memory.
struct Guard {
  int condition = 0, chosen = 0, result = 0;
  size_t op = 0, sink = 0;
  std::vector<int> read_later;  // inputs that are read after the chosen value is computed
};

// One interpreted op (`run` is null), or several compiled ones, up to the next stretch's first.
struct Stretch {
  size_t first = 0;
  std::shared_ptr<const CompiledRun> run;
};

class BlockProgram {
 public:
  BlockProgram(const Program& program, bool compiles) : elements_(program.elements()) {
    if (elements_ == 0) return;
    classify(program);
    choose_block(program);
    make_sinks(program);
    make_ops(program);
    make_guards(program);
    if (compiles && CompiledRun::works()) compile_runs(program);
    size_t weight = cost(program);
    grain_ =
        std::max<int64_t>(1, 150'000 / static_cast<int64_t>(weight * static_cast<size_t>(block_)));
  }

  size_t compiled() const { return compiled_; }

  void run(const StepArgs& args) const {
    if (elements_ == 0) return;
    parallel_for((elements_ + block_ - 1) / block_, grain_,
                 [&](int64_t first, int64_t last) { run_blocks(args, first, last); });
  }

 private:
  // ---- made once ----

  void classify(const Program& program) {
    size_t count = program.instructions.size();
    WAFER_CHECK(count <= max_values, "a fused group of ", count, " instructions");
    place_.resize(count);
    last_use_.assign(count, -1);
    needs_block_.assign(count, false);
    for (size_t i = 0; i < count; ++i) {
      const Instruction& instruction = program.instructions[i];
      bool invariant = true;
      for (int k = 0; k < instruction.operand_count; ++k) {
        auto operand = static_cast<size_t>(instruction.operands[static_cast<size_t>(k)]);
        invariant = invariant && place_[operand] == Place::invariant;
        last_use_[operand] = static_cast<int>(i);
      }
      if (instruction.code == Code::load) {
        const Access& access = program.accesses[static_cast<size_t>(instruction.access)];
        if (Program::is_scalar(access))
          place_[i] = Place::invariant;
        else if (program.is_dense(access) && same_format(access.dtype, instruction.type))
          place_[i] = Place::stream;
        else if (is_periodic(program, access, instruction))
          place_[i] = Place::periodic;
        else
          place_[i] = is_in_rows(program, access, instruction) ? Place::stream : Place::computed;
      } else {
        place_[i] = invariant ? Place::invariant : Place::computed;
      }
      if (place_[i] == Place::invariant) continue;
      for (int k = 0; k < instruction.operand_count; ++k) {
        if (!takes_scalar(instruction, k))
          needs_block_[static_cast<size_t>(instruction.operands[static_cast<size_t>(k)])] = true;
      }
    }
    for (const kernel::Output& output : program.outputs) {
      if (output.value < 0) continue;
      last_use_[static_cast<size_t>(output.value)] = static_cast<int>(count);
      needs_block_[static_cast<size_t>(output.value)] = true;
    }
  }

  static bool takes_scalar(const Instruction& instruction, int operand) {
    if (instruction.from != Compute::f32) return false;
    return f32_arithmetic_kernel()(instruction.code, 1u << operand) != nullptr;
  }

  // An input that varies along the innermost dimension alone, in steps of one element.
  static bool is_periodic(const Program& program, const Access& access,
                          const Instruction& instruction) {
    if (access.strides.back() != 1) return false;
    for (size_t d = 0; d + 1 < access.strides.size(); ++d) {
      if (access.strides[d] != 0) return false;
    }
    return static_cast<size_t>(program.sizes.back()) * size_of(instruction.type) <= periodic_limit;
  }

  // An input of rows without gaps that whole blocks make up.
  static bool is_in_rows(const Program& program, const Access& access,
                         const Instruction& instruction) {
    return access.strides.back() == 1 && program.sizes.back() % row_block == 0 &&
           same_format(access.dtype, instruction.type);
  }

  // The number of registers alive at once decides how many elements a block may have.
  void choose_block(const Program& program) {
    size_t widest = 1, periodic_bytes = 0, whole = 0, single = 0;
    for (size_t i = 0; i < place_.size(); ++i) {
      size_t bytes = size_of(program.instructions[i].type);
      widest = std::max(widest, bytes);
      if (place_[i] == Place::periodic)
        periodic_bytes += padded(static_cast<size_t>(program.sizes.back()) * bytes) + cache_line;
      if (place_[i] == Place::periodic || (place_[i] == Place::invariant && needs_block_[i]))
        ++whole;
      else if (place_[i] == Place::invariant)
        ++single;
    }
    if (periodic_bytes > periodic_limit) {
      for (size_t i = 0; i < place_.size(); ++i) {
        if (place_[i] == Place::periodic) {
          place_[i] = Place::computed;
          --whole;
        }
      }
      periodic_bytes = 0;
    }
    size_t registers = allocate_registers(program);
    size_t fixed = periodic_bytes + single * cache_line;
    block_ = 512;
    for (size_t i = 0; i < place_.size(); ++i) {
      if (place_[i] != Place::stream) continue;
      bool dense = program.is_dense(access_of(program, program.instructions[i]));
      while (!dense && program.sizes.back() % block_ != 0) block_ /= 2;
    }
    while (block_ > 16 && block_ / 2 >= elements_) block_ /= 2;
    while (block_ > 128 &&
           static_cast<size_t>(block_) * widest * (registers + whole) > preferred_scratch)
      block_ /= 2;
    while (block_ > 16 &&
           fixed + static_cast<size_t>(block_) * widest * (registers + whole) > scratch_limit)
      block_ /= 2;
    WAFER_CHECK(fixed + static_cast<size_t>(block_) * widest * (registers + whole) <= scratch_limit,
                "a fused group needs too many registers");
    register_bytes_ = static_cast<size_t>(block_) * widest;
    scratch_ = registers * register_bytes_;
  }

  // Gives each computed value a register: a linear scan over the straight line of instructions.
  size_t allocate_registers(const Program& program) {
    register_.assign(place_.size(), -1);
    std::vector<int> free;
    int used = 0;
    for (size_t i = 0; i < place_.size(); ++i) {
      const Instruction& instruction = program.instructions[i];
      auto release = [&] {
        for (int k = 0; k < instruction.operand_count; ++k) {
          auto operand = static_cast<size_t>(instruction.operands[static_cast<size_t>(k)]);
          bool repeated = false;
          for (int other = 0; other < k; ++other)
            repeated = repeated || instruction.operands[static_cast<size_t>(other)] ==
                                       static_cast<int>(operand);
          if (!repeated && register_[operand] >= 0 && last_use_[operand] == static_cast<int>(i))
            free.push_back(register_[operand]);
        }
      };
      if (place_[i] != Place::computed) continue;
      // A result may replace an operand in place only where both are equally wide.
      bool same_width =
          size_of(instruction.type) == size_of(instruction.from) && instruction.code != Code::where;
      if (same_width) release();
      if (free.empty()) free.push_back(used++);
      register_[i] = free.back();
      free.pop_back();
      if (!same_width) release();
    }
    return static_cast<size_t>(used);
  }

  size_t take_scratch(size_t bytes) {
    size_t at = scratch_;
    scratch_ += padded(bytes);
    return at;
  }

  Op load_op(const Program& program, size_t i, const Instruction& instruction) {
    const Access& access = program.accesses[static_cast<size_t>(instruction.access)];
    Op op;
    op.load = load_function_kernel()(access.dtype, instruction.type);
    WAFER_CHECK(op.load != nullptr, "no load of ", access.dtype, " as ", name(instruction.type));
    op.result = static_cast<int>(i);
    op.input = access.input;
    op.offset = access.offset;
    op.element_bytes = byte_size(access.dtype, 1);
    op.kind = Op::Kind::load;
    if (!program.is_dense(access) && !Program::is_scalar(access)) {
      op.kind = Op::Kind::walk;
      op.walk = walks_.size();
      walks_.push_back(
          {program.sizes, access.strides, op.element_bytes, op.load, size_of(instruction.type)});
    }
    return op;
  }

  Op compute_op(size_t i, const Instruction& instruction, bool once) {
    Op op;
    op.result = static_cast<int>(i);
    op.operands = instruction.operands;
    op.operand_count = instruction.operand_count;
    unsigned scalars = 0;
    for (int k = 0; k < instruction.operand_count; ++k) {
      auto operand = static_cast<size_t>(instruction.operands[static_cast<size_t>(k)]);
      if (!once && place_[operand] == Place::invariant && takes_scalar(instruction, k))
        scalars |= 1u << k;
    }
    if (instruction.from == Compute::f32) {
      op.compute = f32_arithmetic_kernel()(instruction.code, scalars);
      if (!op.compute) op.compute = f32_function_kernel()(instruction.code);
    }
    if (!op.compute)
      op.compute = other_function_kernel()(instruction.code, instruction.type, instruction.from,
                                           instruction.dtype);
    WAFER_CHECK(op.compute != nullptr, "no function for ", name(instruction.code), " of ",
                name(instruction.from));
    return op;
  }

  void make_ops(const Program& program) {
    for (size_t i = 0; i < place_.size(); ++i) {
      const Instruction& instruction = program.instructions[i];
      bool is_load = instruction.code == Code::load;
      size_t bytes = size_of(instruction.type);
      if (place_[i] == Place::stream) {
        const Access& access = access_of(program, instruction);
        Stream stream{static_cast<int>(i), access.input, access.offset, bytes};
        if (!program.is_dense(access)) {
          stream.walk = static_cast<int>(walks_.size());
          walks_.push_back({program.sizes, access.strides});
        }
        streams_.push_back(stream);
      } else if (place_[i] == Place::periodic) {
        Op op = load_op(program, i, instruction);
        int64_t period = program.sizes.back();
        size_t buffer = take_scratch(static_cast<size_t>(period + block_) * bytes);
        periodics_.push_back({static_cast<int>(i), op.input, op.offset, period, buffer, bytes,
                              op.element_bytes, op.load});
      } else if (place_[i] == Place::invariant) {
        Invariant invariant;
        invariant.value = static_cast<int>(i);
        invariant.whole_block = needs_block_[i];
        invariant.compute_bytes = bytes;
        invariant.place =
            take_scratch(bytes * (invariant.whole_block ? static_cast<size_t>(block_) : size_t{1}));
        invariant.constant = instruction.code == Code::constant;
        invariant.bits = instruction.bits;
        if (is_load)
          invariant.op = load_op(program, i, instruction);
        else if (!invariant.constant)
          invariant.op = compute_op(i, instruction, true);
        invariants_.push_back(std::move(invariant));
      } else {
        ops_.push_back(is_load ? load_op(program, i, instruction)
                               : compute_op(i, instruction, false));
        if (is_load && ops_.back().kind == Op::Kind::load)
          prefetched_.push_back({static_cast<int>(i), ops_.back().input, ops_.back().offset,
                                 ops_.back().element_bytes});
      }
    }
    WAFER_CHECK(scratch_ <= scratch_limit + cache_line * 64, "scratch of a fused group");
    for (const Stream& stream : streams_) prefetched_.push_back(stream);
    int64_t bytes = 0;
    for (const Stream& stream : prefetched_)
      bytes += elements_ * static_cast<int64_t>(stream.element_bytes);
    if (bytes < prefetch_bytes) prefetched_.clear();
  }

  void make_sinks(const Program& program) {
    std::vector<bool> taken(place_.size());
    for (size_t o = 0; o < program.outputs.size(); ++o) {
      const kernel::Output& output = program.outputs[o];
      if (output.value < 0) continue;
      auto value = static_cast<size_t>(output.value);
      const Instruction& source = program.instructions[value];
      Sink sink;
      sink.output = static_cast<int>(o);
      sink.value = output.value;
      sink.element_bytes = byte_size(output.dtype, 1);
      sink.store = store_function_kernel()(source.type, output.dtype);
      WAFER_CHECK(sink.store != nullptr, "no store of ", name(source.type), " as ", output.dtype);
      sink.may_be_direct = place_[value] == Place::computed && !taken[value] &&
                           same_format(output.dtype, source.type);
      if (sink.may_be_direct) taken[value] = true;
      sink.read_later = read_after(program, value, value);
      sinks_.push_back(std::move(sink));
    }
  }

  // The inputs that are read after a value is computed, by other instructions than `except`.
  std::vector<int> read_after(const Program& program, size_t value, size_t except) const {
    std::vector<int> inputs;
    for (size_t i = value + 1; i < place_.size(); ++i) {
      const Instruction& later = program.instructions[i];
      if (i == except) continue;
      if (later.code == Code::load && place_[i] == Place::computed)
        inputs.push_back(input_of(program, later));
      for (int k = 0; k < later.operand_count; ++k) {
        auto operand = static_cast<size_t>(later.operands[static_cast<size_t>(k)]);
        if (place_[operand] == Place::stream)
          inputs.push_back(input_of(program, program.instructions[operand]));
      }
    }
    // Copies of inputs to other outputs read them after everything.
    for (const kernel::Output& other : program.outputs) {
      if (other.value >= 0 && place_[static_cast<size_t>(other.value)] == Place::stream)
        inputs.push_back(input_of(program, program.instructions[static_cast<size_t>(other.value)]));
    }
    return inputs;
  }

  void make_guards(const Program& program) {
    std::vector<bool> taken(place_.size());
    for (const Sink& sink : sinks_) taken[static_cast<size_t>(sink.value)] = true;
    for (size_t s = 0; s < sinks_.size(); ++s) {
      auto value = static_cast<size_t>(sinks_[s].value);
      const Instruction& source = program.instructions[value];
      if (!sinks_[s].may_be_direct || source.code != Code::where) continue;
      auto condition = static_cast<size_t>(source.operands[0]);
      auto chosen = static_cast<size_t>(source.operands[1]);
      if (place_[condition] != Place::invariant || place_[chosen] != Place::computed ||
          taken[chosen])
        continue;
      taken[chosen] = true;
      Guard guard{source.operands[0], source.operands[1], sinks_[s].value, 0, s, {}};
      guard.read_later = read_after(program, chosen, value);
      for (size_t op = 0; op < ops_.size(); ++op) {
        if (ops_[op].result == sinks_[s].value) guard.op = op;
      }
      guards_.push_back(std::move(guard));
    }
  }

  // Consecutive ops become one run of machine code where that is possible, as many as registers
  // allow.
  void compile_runs(const Program& program) {
    std::vector<bool> is_scalar;
    for (Place place : place_) is_scalar.push_back(place == Place::invariant);
    auto result_of = [&](size_t op) { return static_cast<size_t>(ops_[op].result); };
    for (size_t first = 0; first < ops_.size();) {
      size_t end = first;
      while (end < ops_.size() && may_be_in_run(program, result_of(end))) ++end;
      std::shared_ptr<const CompiledRun> run;
      for (; end >= first + 2; --end) {
        run = make_run(program, first, end, is_scalar);
        if (run) break;
      }
      stretches_.push_back({first, run});
      if (run) compiled_ += end - first;
      first = run ? end : first + 1;
    }
    if (compiled_ == 0) stretches_.clear();
  }

  // Conditions that are the same for all elements are those of guards.
  bool may_be_in_run(const Program& program, size_t value) const {
    const Instruction& instruction = program.instructions[value];
    if (instruction.code == Code::load || instruction.from != Compute::f32) return false;
    if (!CompiledRun::knows(instruction.code)) return false;
    bool invariant_condition =
        instruction.code == Code::where &&
        place_[static_cast<size_t>(instruction.operands[0])] == Place::invariant;
    return !invariant_condition || guard_of(static_cast<int>(value)) != nullptr;
  }

  const Guard* guard_of(int result) const {
    for (const Guard& guard : guards_) {
      if (guard.result == result) return &guard;
    }
    return nullptr;
  }

  std::shared_ptr<const CompiledRun> make_run(const Program& program, size_t first, size_t end,
                                              const std::vector<bool>& is_scalar) const {
    std::vector<CompiledRun::Instruction> instructions;
    std::vector<CompiledRun::Stored> stored;
    std::map<int, int> chosen;
    for (size_t op = first; op < end; ++op) {
      int result = ops_[op].result;
      const Instruction& source = program.instructions[static_cast<size_t>(result)];
      // A guard's selection gives what it chooses: runs are for when all guards hold.
      const Guard* guard = guard_of(result);
      if (is_read_from(end, result)) stored.push_back({result, guard ? guard->chosen : result});
      if (guard) {
        chosen[result] = guard->chosen;
        continue;
      }
      CompiledRun::Instruction instruction{source.code, result, source.operands,
                                           source.operand_count};
      for (int& operand : instruction.operands) {
        if (auto found = chosen.find(operand); found != chosen.end()) operand = found->second;
      }
      instructions.push_back(instruction);
    }
    return CompiledRun::make(instructions, is_scalar, stored);
  }

  // True when an op from `end` on, or an output, reads the value.
  bool is_read_from(size_t end, int value) const {
    for (size_t op = end; op < ops_.size(); ++op) {
      for (int k = 0; k < ops_[op].operand_count; ++k) {
        if (ops_[op].operands[static_cast<size_t>(k)] == value) return true;
      }
    }
    return std::any_of(sinks_.begin(), sinks_.end(),
                       [&](const Sink& sink) { return sink.value == value; });
  }

  static const Access& access_of(const Program& program, const Instruction& load) {
    return program.accesses[static_cast<size_t>(load.access)];
  }
  static int input_of(const Program& program, const Instruction& load) {
    return access_of(program, load).input;
  }

  // Roughly the twentieths of a nanosecond that an element takes.
  static size_t cost(const Program& program) {
    size_t total = 2;
    for (const Instruction& instruction : program.instructions) {
      bool f32 = instruction.from == Compute::f32 && instruction.type != Compute::i64;
      if (instruction.code == Code::load || instruction.code == Code::constant)
        total += 2;
      else if (!f32)
        total += 8;
      else if (instruction.code == Code::pow || instruction.code == Code::remainder)
        total += 100;
      else
        total += f32_arithmetic_kernel()(instruction.code, 0) ? 1 : 8;
    }
    return total;
  }

  // ---- run ----

  void run_blocks(const StepArgs& args, int64_t first, int64_t last) const {
    alignas(cache_line) std::byte scratch[scratch_limit + cache_line * 64];
    std::byte* slot[max_values];
    bool direct[max_values] = {};
    for (size_t i = 0; i < register_.size(); ++i) {
      if (register_[i] >= 0)
        slot[i] = scratch + static_cast<size_t>(register_[i]) * register_bytes_;
    }
    for (const Invariant& invariant : invariants_) prepare(invariant, args, scratch, slot);
    for (const Periodic& periodic : periodics_) prepare(periodic, args, scratch, last - first);
    for (size_t s = 0; s < sinks_.size(); ++s) direct[s] = is_direct(sinks_[s], args);
    bool skipped[max_values] = {};
    bool compiled = compiled_ > 0;
    for (const Guard& guard : guards_) {
      bool holds = slot[guard.condition][0] != std::byte{0};
      compiled = compiled && holds;
      skipped[guard.op] = holds && is_free(guard.read_later, sinks_[guard.sink], args);
      if (skipped[guard.op]) direct[guard.sink] = true;
    }

    for (int64_t b = first; b < last; ++b) {
      int64_t begin = b * block_;
      int64_t count = std::min(block_, elements_ - begin);
      for (const Stream& stream : streams_)
        slot[stream.value] = element(args, stream, first_of(stream, begin));
      for (const Periodic& periodic : periodics_)
        slot[periodic.value] =
            scratch + periodic.buffer +
            static_cast<size_t>(begin % periodic.period) * periodic.compute_bytes;
      for (size_t s = 0; s < sinks_.size(); ++s) {
        if (direct[s])
          slot[sinks_[s].value] = static_cast<std::byte*>(args.out[sinks_[s].output]) +
                                  static_cast<size_t>(begin) * sinks_[s].element_bytes;
      }
      for (const Guard& guard : guards_) {
        if (skipped[guard.op]) slot[guard.chosen] = slot[sinks_[guard.sink].value];
      }
      if (b + 1 < last)
        prefetch(args, begin + block_, std::min(block_, elements_ - begin - block_));
      if (compiled) {
        for (const Stretch& stretch : stretches_) {
          if (stretch.run)
            (*stretch.run)(slot, count);
          else if (!skipped[stretch.first])
            execute(ops_[stretch.first], args, slot, begin, count);
        }
      } else {
        for (size_t op = 0; op < ops_.size(); ++op) {
          if (!skipped[op]) execute(ops_[op], args, slot, begin, count);
        }
      }
      for (size_t s = 0; s < sinks_.size(); ++s) {
        const Sink& sink = sinks_[s];
        if (!direct[s])
          sink.store(static_cast<std::byte*>(args.out[sink.output]) +
                         static_cast<size_t>(begin) * sink.element_bytes,
                     slot[sink.value], count);
      }
    }
  }

  void execute(const Op& op, const StepArgs& args, std::byte* const* slot, int64_t begin,
               int64_t count) const {
    if (op.kind == Op::Kind::compute) {
      const void* in[4];
      for (int k = 0; k < op.operand_count; ++k) in[k] = slot[op.operands[static_cast<size_t>(k)]];
      op.compute(slot[op.result], in, count);
    } else if (op.kind == Op::Kind::load) {
      op.load(slot[op.result], element(args, op, begin), 1, count);
    } else {
      walks_[op.walk].read(element(args, op, 0), begin, count, slot[op.result]);
    }
  }

  // The address of element `at` of what a stream, a periodic input or an op reads.
  template <class Source>
  static std::byte* element(const StepArgs& args, const Source& source, int64_t at) {
    return static_cast<std::byte*>(args.in[source.input]) +
           static_cast<size_t>(source.offset + at) * source.element_bytes;
  }

  // The element of a stream's input with which the block at `begin` begins.
  int64_t first_of(const Stream& stream, int64_t begin) const {
    return stream.walk < 0 ? begin : walks_[static_cast<size_t>(stream.walk)].element(begin);
  }

  void prefetch(const StepArgs& args, int64_t begin, int64_t count) const {
    for (const Stream& stream : prefetched_) {
      const std::byte* at = element(args, stream, first_of(stream, begin));
      auto bytes = static_cast<size_t>(count) * stream.element_bytes;
      for (size_t offset = 0; offset < bytes; offset += cache_line) __builtin_prefetch(at + offset);
    }
  }

  // An output is written as it is computed unless it is an input that is still to be read.
  static bool is_direct(const Sink& sink, const StepArgs& args) {
    return sink.may_be_direct && is_free(sink.read_later, sink, args);
  }
  // True when none of the inputs lies where the output goes.
  static bool is_free(const std::vector<int>& inputs, const Sink& sink, const StepArgs& args) {
    return std::none_of(inputs.begin(), inputs.end(),
                        [&](int input) { return args.in[input] == args.out[sink.output]; });
  }

  void prepare(const Invariant& invariant, const StepArgs& args, std::byte* scratch,
               std::byte** slot) const {
    std::byte* place = scratch + invariant.place;
    slot[invariant.value] = place;
    if (invariant.constant)
      std::memcpy(place, &invariant.bits, invariant.compute_bytes);
    else
      execute(invariant.op, args, slot, 0, 1);
    if (!invariant.whole_block) return;
    for (int64_t i = 1; i < block_; ++i)
      std::memcpy(place + static_cast<size_t>(i) * invariant.compute_bytes, place,
                  invariant.compute_bytes);
  }

  void prepare(const Periodic& periodic, const StepArgs& args, std::byte* scratch,
               int64_t blocks) const {
    std::byte* buffer = scratch + periodic.buffer;
    // A single block that starts anywhere needs no more than this either.
    int64_t wanted = periodic.period + std::min(block_, blocks * block_);
    for (int64_t at = 0; at < wanted; at += periodic.period) {
      periodic.load(buffer + static_cast<size_t>(at) * periodic.compute_bytes,
                    element(args, periodic, 0), 1, std::min(periodic.period, wanted - at));
    }
  }

  static constexpr size_t max_values = 256;
  static constexpr int64_t row_block = 128;  // elements of a block that still pays

  int64_t elements_ = 0, block_ = 512, grain_ = 1;
  std::vector<Place> place_;
  std::vector<int> last_use_, register_;
  std::vector<bool> needs_block_;
  size_t register_bytes_ = 0, scratch_ = 0;
  std::vector<Op> ops_;
  std::vector<Walk> walks_;
  std::vector<Stream> streams_, prefetched_;
  std::vector<Periodic> periodics_;
  std::vector<Invariant> invariants_;
  std::vector<Sink> sinks_;
  std::vector<Guard> guards_;
  std::vector<Stretch> stretches_;  // all ops in order, where there are runs; guards then hold
  size_t compiled_ = 0;             // ops in runs
};
}  // namespace

LoopStep program_step(const kernel::Program& program, bool compiles) {
  auto blocks = std::make_shared<const BlockProgram>(program, compiles);
  return {[blocks](const StepArgs& args) { blocks->run(args); }, blocks->compiled()};
}

}  // namespace wafer::cpu
