#pragma once
#include <memory>
#include <set>
#include <string>

#include "wafer/kernel/device/queue.h"

namespace wafer::testing {

// A queue without a device, which takes down the sources that it is given.
class SourceQueue : public kernel::Queue {
 public:
  std::set<std::string> libraries, programs;

  const kernel::Capabilities& capabilities() const override { return capabilities_; }
  const kernel::Dialect& dialect() const override { return kernel::cuda_c; }
  std::string backend() const override { return "cuda"; }
  std::shared_ptr<Storage> allocate(size_t bytes) override {
    return std::make_shared<NoMemory>(bytes);
  }
  bool owns(const Storage& storage) const override { return !storage.on_host(); }
  void copy(void*, const void*, size_t) const override {}
  void read(void*, const void*, size_t) const override {}
  void write(void*, const void*, size_t) const override {}
  void fill(void*, const void*, size_t, size_t) const override {}
  void wait() const override {}
  void measure(bool) override {}
  std::shared_ptr<const kernel::CompiledSource> compile(const std::string& source,
                                                        bool keep) const override {
    auto* self = const_cast<SourceQueue*>(this);
    (keep ? self->libraries : self->programs).insert(source);
    return nullptr;
  }
  std::shared_ptr<const kernel::CompiledKernel> kernel(
      const std::shared_ptr<const kernel::CompiledSource>&, const std::string&) const override {
    return nullptr;
  }
  void launch(const kernel::CompiledKernel&, std::span<const void* const>, const Storage*, int64_t,
              int64_t, const std::string&) const override {}

 private:
  struct NoMemory : Storage {
    explicit NoMemory(size_t bytes) : Storage(nullptr, bytes, false) {}
  };

  kernel::Capabilities capabilities_{.name = "a GPU", .units = 100};
};

}  // namespace wafer::testing
