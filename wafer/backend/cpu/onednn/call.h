#pragma once
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "wafer/ir/storage.h"
#include "wafer/ir/type.h"
#include "wafer/runtime/kernel.h"

namespace wafer::cpu::onednn {

// The process's one engine.
const dnnl::engine& engine();
// Threads for so many operations: thread_count(), fewer where a thread's share would take less time
// than waking it.
int threads_for(double flops);

// While alive, oneDNN makes and runs primitives in the calling thread with so many threads. Both
// must be done with the same number.
class ThreadScope {
 public:
  explicit ThreadScope(int threads);
  ~ThreadScope();
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  int saved_;
};

dnnl::memory::data_type data_type(DType dtype);
// Dimensions and element strides as they are.
dnnl::memory::desc plain(const Type& type);

// oneDNN primitives run one after another, and where in a step's memory each argument lies.
class Program {
 public:
  // Its primitives are made in a ThreadScope of as many threads.
  explicit Program(int threads) : threads_(threads) {}

  enum class Place { input, output, scratch, constant, prepared };
  struct Argument {
    int id;  // DNNL_ARG_...
    dnnl::memory::desc desc;
    Place place;
    size_t at;  // index of the input, output or constant, offset in what is scratch or prepared
  };

  // An argument in scratch of its own.
  Argument scratch(int id, const dnnl::memory::desc& desc);
  // The argument in the layout `wanted`: as it is, or reordered into scratch before what is added
  // next.
  Argument in_layout(const Argument& argument, const dnnl::memory::desc& wanted);
  // The same where the argument's values are known: reordered now, once.
  Argument in_layout(const Argument& argument, const dnnl::memory::desc& wanted,
                     const void* values);
  // The same where the argument is an input that lasts: reordered by the context's preparation, of
  // which there is one a step.
  Argument prepared_in_layout(const Argument& argument, const dnnl::memory::desc& wanted,
                              KernelContext& context);
  // Adds a primitive with its arguments and the scratchpad it asks for.
  void add(const dnnl::primitive& primitive, std::vector<Argument> arguments,
           const dnnl::memory::desc& scratchpad);
  void add_reorder(const Argument& from, const Argument& to);

  // Ends the building: states the scratch and the implementation's name to the context.
  Step step(KernelContext& context, const char* implementation) &&;

 private:
  struct Call {
    dnnl::primitive primitive;
    std::vector<Argument> arguments;
  };
  struct Shared;
  int threads_;
  std::vector<Call> calls_;
  std::vector<std::shared_ptr<Storage>> constants_;
  size_t scratch_bytes_ = 0;
};

// Attributes that every primitive here has: the caller brings the scratchpad.
dnnl::primitive_attr own_scratchpad();

// False for oneDNN's plain reference code, which is far slower than our own kernels.
bool is_fast(const char* implementation);

}  // namespace wafer::cpu::onednn
