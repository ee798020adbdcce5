#include "wafer/backend/cpu/onednn/call.h"

#include <algorithm>
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

Step Program::step(KernelContext& context, const char* implementation) && {
  context.scratch_bytes = scratch_bytes_;
  context.kernel = str("onednn:", implementation);
  auto calls = std::make_shared<const std::vector<Call>>(std::move(calls_));
  bool allocates = allocates_itself(implementation);
  return [calls, constants = std::move(constants_), threads = threads_,
          allocates](const StepArgs& args) {
    ThreadScope scope(threads);
    for (const Call& call : *calls) {
      // Memory objects are made in each run, as runs of one artifact may overlap.
      std::vector<dnnl::memory> memories;
      std::vector<dnnl_exec_arg_t> handles;
      memories.reserve(call.arguments.size());
      handles.reserve(call.arguments.size());
      for (const Argument& argument : call.arguments) {
        void* data = argument.place == Place::input      ? args.in[argument.at]
                     : argument.place == Place::output   ? args.out[argument.at]
                     : argument.place == Place::constant ? constants[argument.at]->data()
                                                         : args.scratch + argument.at;
        memories.emplace_back(argument.desc, engine(), data);
        handles.push_back({argument.id, memories.back().get()});
      }
      if (allocates) let_freed_memory_merge(threads);
      dnnl::error::wrap_c_api(
          dnnl_primitive_execute(call.primitive.get(), stream().get(),
                                 static_cast<int>(handles.size()), handles.data()),
          "oneDNN could not run a primitive");
    }
    stream().wait();
  };
}

}  // namespace wafer::cpu::onednn
