#pragma once
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "wafer/ir/dtype.h"
#include "wafer/kernel/device/queue.h"
#include "wafer/runtime/kernel.h"

namespace wafer::kernel {

// A kernel's place, empty until the source that it is part of is compiled.
struct KernelSlot {
  std::shared_ptr<const CompiledKernel> kernel;
};

// A kernel with all that it needs but the addresses of a run.
struct Launch {
  std::shared_ptr<const LibraryProduct> product;  // in place of a kernel
  std::shared_ptr<const KernelSlot> kernel;
  std::shared_ptr<Storage> parameters;  // null: the kernel takes none
  const Queue* queue = nullptr;
  int64_t items = 0;  // iterations of its outermost loop
  int64_t grain = 1;  // how many of them are worth a work item
  std::string what;   // for errors: the op, its types and its place in the model

  void operator()(std::initializer_list<const void*> addresses) const {
    (*this)(std::span<const void* const>(addresses.begin(), addresses.size()));
  }
  void operator()(std::span<const void* const> addresses) const {
    if (product) {
      return product->launch({addresses[0], addresses[1], const_cast<void*>(addresses[2])}, what);
    }
    queue->launch(*kernel->kernel, addresses, parameters.get(), items, grain, what);
  }
};

// What the kernels of one program share while they are made.
class Session : public KernelSession {
 public:
  explicit Session(Queue& queue) : queue_(queue) {}

  Queue& queue() const { return queue_; }

  // A kernel that is made for a node: compiled together with the program's others by finish().
  // `print` gives its source under a name.
  template <class Print>
  std::shared_ptr<const KernelSlot> add(bool f64, Print&& print) {
    std::string name = "wf_" + std::to_string(sources_.size());
    return add_source(print(name), name, f64);
  }
  // A kernel of a source that many programs share.
  std::shared_ptr<const KernelSlot> library(const std::string& source, const std::string& name);
  // Compiles what was added.
  void finish();

 private:
  std::shared_ptr<const KernelSlot> add_source(std::string source, const std::string& name,
                                               bool f64);

  struct Added {
    std::string name, source;
    std::shared_ptr<KernelSlot> kernel;
  };
  Queue& queue_;
  bool f64_ = false;
  std::vector<Added> sources_;
};

Session& session_of(const KernelContext& context);
// "add of f32[4x3] (cnn.fc1)".
std::string describe(const Node& node);

// How templates of kernels speak of a dtype under a prefix: the types P_T (in memory) and P_C
// (computed in: double, float, long or ulong), P_LOAD(pointer, i), P_STORE(pointer, i, value).
std::string words(const std::string& prefix, DType dtype);
// f16 and bf16, which libraries multiply on tensor cores and add up in f32.
constexpr bool is_narrow(DType dtype) {
  return dtype == DType::f16 || dtype == DType::bf16;
}
// A dtype whose elements are what `dtype` is computed in.
DType computed_in(DType dtype);

// The source of a library in the device's language: the prelude, definitions, then the template.
std::string library_source(const KernelContext& context, const std::string& definitions,
                           std::string_view text, bool f64);

// A launch of a template's kernel `name` with parameters (64-bit integers).
Launch make_launch(const Node& node, const KernelContext& context, const std::string& source,
                   const std::string& name, const std::vector<int64_t>& parameters, int64_t items,
                   int64_t grain = 1);

// The kernel of an op, or null.
MakeKernel find_kernel(const OpDef& op);
// Makes steps for element-wise ops and groups of them.
Step make_elementwise(const Node& node, KernelContext& context);

}  // namespace wafer::kernel
