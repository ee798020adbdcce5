#include "wafer/backend/cpu/onednn/call.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "wafer/backend/cpu/onednn/gemm_memory.h"
#include "wafer/base/error.h"
#include "wafer/base/threads.h"

#ifdef WAFER_OPENMP
#include <omp.h>
#endif

namespace wafer::cpu::onednn {

const dnnl::engine& engine() {
  // Never destroyed: primitives may outlive static destruction.
  static const auto* instance = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *instance;
}

int threads_for(double flops) {
  constexpr double least = 1e6;  // about 10 microseconds of one thread
  return std::clamp(static_cast<int>(std::min(flops / least, 1e6)), 1, thread_count());
}

#ifdef WAFER_OPENMP
ThreadScope::ThreadScope(int threads) : saved_(omp_get_max_threads()) {
  if (threads != saved_) omp_set_num_threads(threads);
}
ThreadScope::~ThreadScope() {
  if (omp_get_max_threads() != saved_) omp_set_num_threads(saved_);
}
#else
ThreadScope::ThreadScope(int) : saved_(0) {}
ThreadScope::~ThreadScope() = default;
#endif

namespace {
dnnl::stream& stream() {
  thread_local dnnl::stream instance(engine());
  return instance;
}
}  // namespace

dnnl::memory::data_type data_type(DType dtype) {
  switch (dtype) {
    case DType::f32: return dnnl::memory::data_type::f32;
    case DType::bf16: return dnnl::memory::data_type::bf16;
    default: throw InternalError(str("oneDNN was asked for ", dtype));
  }
}

dnnl::memory::desc plain(const Type& type) {
  return {type.shape.sizes(), data_type(type.dtype), type.strides()};
}

dnnl::primitive_attr own_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

bool is_fast(const char* implementation) {
  return std::strstr(implementation, "ref") == nullptr;
}

Program::Argument Program::scratch(int id, const dnnl::memory::desc& desc) {
  size_t offset = scratch_bytes_;
  scratch_bytes_ += (desc.get_size() + 63) / 64 * 64;
  return {id, desc, Place::scratch, offset};
}

Program::Argument Program::in_layout(const Argument& argument, const dnnl::memory::desc& wanted) {
  if (argument.desc == wanted) return argument;
  Argument reordered = scratch(argument.id, wanted);
  add_reorder(argument, reordered);
  return reordered;
}

Program::Argument Program::in_layout(const Argument& argument, const dnnl::memory::desc& wanted,
                                     const void* values) {
  if (values == nullptr || argument.desc == wanted) return in_layout(argument, wanted);
  constants_.push_back(allocate_host(wanted.get_size()));
  dnnl::memory from(argument.desc, engine(), const_cast<void*>(values));
  dnnl::memory to(wanted, engine(), constants_.back()->data());
  dnnl::reorder(from, to).execute(stream(), from, to);
  stream().wait();
  return {argument.id, wanted, Place::constant, constants_.size() - 1};
}

Program::Argument Program::prepared_in_layout(const Argument& argument,
                                              const dnnl::memory::desc& wanted,
                                              KernelContext& context) {
  if (argument.desc == wanted) return argument;
  Argument prepared{argument.id, wanted, Place::prepared, 0};
  Program once(threads_);
  once.add_reorder(argument, prepared);
  KernelContext of_reorder{.target = context.target, .output_used = {}};
  Step reorder = std::move(once).step(of_reorder, "reorder");
  // A preparation has no scratch.
  if (of_reorder.scratch_bytes > 0) return in_layout(argument, wanted);
  context.preparation = {wanted.get_size(), std::move(reorder)};
  return prepared;
}

void Program::add_reorder(const Argument& from, const Argument& to) {
  dnnl::reorder::primitive_desc pd(engine(), from.desc, engine(), to.desc, own_scratchpad());
  Argument source = from, target = to;
  source.id = DNNL_ARG_FROM;
  target.id = DNNL_ARG_TO;
  add(dnnl::reorder(pd), {source, target}, pd.scratchpad_desc());
}

void Program::add(const dnnl::primitive& primitive, std::vector<Argument> arguments,
                  const dnnl::memory::desc& scratchpad) {
  if (scratchpad.get_size() > 0) arguments.push_back(scratch(DNNL_ARG_SCRATCHPAD, scratchpad));
  calls_.push_back({primitive, std::move(arguments)});
}

namespace {
// Memory objects of a call's arguments, which take microseconds to make and are pointed anew at
// each run.
struct Handles {
  std::vector<dnnl::memory> memories;
  std::vector<dnnl_exec_arg_t> arguments;
};
using CallHandles = std::vector<Handles>;

// Handles that no run uses. Runs of one step may overlap: of a graph that runs twice at once, or of
// a product that each thread computes for itself. Each thread begins at a slot of its own.
class Idle {
 public:
  Idle() = default;
  Idle(const Idle&) = delete;
  Idle& operator=(const Idle&) = delete;
  ~Idle() {
    while (take()) {
    }
  }

  std::unique_ptr<CallHandles> take() {
    for (size_t i = 0; i < count; ++i) {
      Slot& at = slot(i);
      if (at.load(std::memory_order_relaxed) == nullptr) continue;
      if (CallHandles* found = at.exchange(nullptr)) return std::unique_ptr<CallHandles>(found);
    }
    return nullptr;
  }
  void give(std::unique_ptr<CallHandles> handles) {
    for (size_t i = 0; i < count; ++i) {
      CallHandles* none = nullptr;
      if (slot(i).compare_exchange_strong(none, handles.get())) {
        handles.release();
        return;
      }
    }
  }

 private:
  static constexpr size_t count = 32;
  using Slot = std::atomic<CallHandles*>;

  Slot& slot(size_t i) {
    static std::atomic<size_t> threads{0};
    thread_local const size_t first = threads++;
    return slots_[(first + i) % count];
  }

  std::array<Slot, count> slots_{};
};
}  // namespace

// What the step's runs share.
struct Program::Shared {
  std::vector<Call> calls;
  std::vector<std::shared_ptr<Storage>> constants;
  Idle idle;

  std::unique_ptr<CallHandles> handles() {
    if (auto found = idle.take()) return found;
    auto made = std::make_unique<CallHandles>();
    for (const Call& call : calls) {
      Handles& handles = made->emplace_back();
      for (const Argument& argument : call.arguments) {
        void* data =
            argument.place == Place::constant ? constants[argument.at]->data() : DNNL_MEMORY_NONE;
        handles.memories.emplace_back(argument.desc, engine(), data);
        handles.arguments.push_back({argument.id, handles.memories.back().get()});
      }
    }
    return made;
  }

  static void point(const Call& call, Handles& handles, const StepArgs& args) {
    for (size_t i = 0; i < call.arguments.size(); ++i) {
      const Argument& argument = call.arguments[i];
      if (argument.place == Place::constant) continue;
      handles.memories[i].set_data_handle(address(argument, args));
    }
  }

 private:
  static void* address(const Argument& argument, const StepArgs& args) {
    switch (argument.place) {
      case Place::input: return args.in[argument.at];
      case Place::output: return args.out[argument.at];
      case Place::prepared: return args.prepared + argument.at;
      default: return args.scratch + argument.at;
    }
  }
};

Step Program::step(KernelContext& context, const char* implementation) && {
  context.scratch_bytes = scratch_bytes_;
  context.kernel = str("onednn:", implementation);
  auto shared = std::make_shared<Shared>();
  shared->calls = std::move(calls_);
  shared->constants = std::move(constants_);
  bool allocates = allocates_itself(implementation);
  return [shared, threads = threads_, allocates](const StepArgs& args) {
    ThreadScope scope(threads);
    auto handles = shared->handles();
    for (size_t i = 0; i < shared->calls.size(); ++i) {
      const Call& call = shared->calls[i];
      Handles& of_call = (*handles)[i];
      Shared::point(call, of_call, args);
      if (allocates) let_freed_memory_merge(threads);
      dnnl::error::wrap_c_api(dnnl_primitive_execute(call.primitive.get(), stream().get(),
                                                     static_cast<int>(of_call.arguments.size()),
                                                     of_call.arguments.data()),
                              "oneDNN could not run a primitive");
    }
    stream().wait();
    shared->idle.give(std::move(handles));
  };
}

}  // namespace wafer::cpu::onednn
