#include "wafer/nn/module_trace.h"

namespace wafer::nn {

namespace {
// Keeps the slots' values and puts them back at the end.
class SlotGuard {
 public:
  explicit SlotGuard(std::vector<Slot> slots) : slots_(std::move(slots)) {
    for (const Slot& slot : slots_) values_.push_back(*slot.value);
  }
  ~SlotGuard() {
    for (size_t i = 0; i < slots_.size(); ++i) *slots_[i].value = std::move(values_[i]);
  }
  SlotGuard(const SlotGuard&) = delete;
  SlotGuard& operator=(const SlotGuard&) = delete;
  const std::vector<Slot>& slots() const { return slots_; }

 private:
  std::vector<Slot> slots_;
  std::vector<Tensor> values_;
};
}  // namespace

ModuleTrace trace_module(Module& module, const std::function<std::vector<Tensor>()>& function) {
  SlotGuard guard(module.named_slots());
  ModuleTrace trace;
  for (const Slot& slot : guard.slots()) {
    *slot.value = make_input(slot.value->type(), slot.name);
    (slot.trainable ? trace.parameters : trace.buffers).push_back(*slot.value);
  }
  trace.outputs = function();
  size_t parameter = 0;
  for (const Slot& slot : guard.slots()) {
    if (!slot.trainable) {
      trace.new_buffers.push_back(*slot.value);
      continue;
    }
    WAFER_REQUIRE(*slot.value == trace.parameters[parameter++], "trace", "parameter '", slot.name,
                  "' was assigned during a trace; only buffers may be");
  }
  for (size_t i = 0; i < trace.buffers.size(); ++i) {
    Type before = trace.buffers[i].type(), after = trace.new_buffers[i].type();
    WAFER_REQUIRE(before == after, "trace", "a buffer of ", before, " was assigned ", after);
  }
  return trace;
}

}  // namespace wafer::nn
