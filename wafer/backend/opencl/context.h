#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "wafer/backend/opencl/api.h"
#include "wafer/kernel/device/queue.h"

namespace wafer::opencl {

using kernel::Capabilities;

// A compiled source.
class ClProgram : public kernel::CompiledSource {
 public:
  ClProgram(const Api& api, cl_program handle) : api_(api), handle_(handle) {}
  ~ClProgram() override { api_.release_program(handle_); }
  ClProgram(const ClProgram&) = delete;
  ClProgram& operator=(const ClProgram&) = delete;
  cl_program handle() const { return handle_; }

 private:
  const Api& api_;
  cl_program handle_;
};

// One kernel of a program.
class ClKernel : public kernel::CompiledKernel {
 public:
  ClKernel(const Api& api, std::shared_ptr<const ClProgram> program, cl_kernel handle)
      : api_(api), program_(std::move(program)), handle_(handle) {}
  ~ClKernel() override { api_.release_kernel(handle_); }
  ClKernel(const ClKernel&) = delete;
  ClKernel& operator=(const ClKernel&) = delete;
  cl_kernel handle() const { return handle_; }

 private:
  const Api& api_;
  std::shared_ptr<const ClProgram> program_;
  cl_kernel handle_;
};

// An OpenCL device's context and its one in-order queue. OpenCL 1.2 names memory by buffer and
// offset; programs here calculate with addresses, so each buffer gets a range of addresses of its
// own that nothing can be read through, and `place` turns an address back. All calls are enqueued
// in order; reads wait.
class ClContext : public kernel::Queue {
 public:
  ClContext(const Api& api, cl_device_id device, Capabilities capabilities);

  const Capabilities& capabilities() const override { return capabilities_; }
  const kernel::Dialect& dialect() const override { return kernel::opencl_c; }
  std::string backend() const override { return "opencl"; }

  std::shared_ptr<Storage> allocate(size_t bytes) override;
  bool owns(const Storage& storage) const override;
  void copy(void* to, const void* from, size_t bytes) const override;
  void read(void* to, const void* from, size_t bytes) const override;
  std::optional<double> finish_step() const override;
  void write(void* to, const void* from, size_t bytes) const override;
  void fill(void* to, const void* pattern, size_t pattern_bytes, size_t bytes) const override;
  void wait() const override;
  void flush() const override;
  void measure(bool on) override { measured_ = on; }
  std::shared_ptr<const kernel::CompiledSource> compile(const std::string& source,
                                                        bool keep) const override;
  std::shared_ptr<const kernel::CompiledKernel> kernel(
      const std::shared_ptr<const kernel::CompiledSource>& source,
      const std::string& name) const override;
  // The kernel's arguments are a buffer and an offset for each address, then the buffer of
  // `parameters`.
  void launch(const kernel::CompiledKernel& kernel, std::span<const void* const> addresses,
              const Storage* parameters, int64_t items, int64_t grain,
              const std::string& what) const override;

 private:
  friend class ClStorage;
  struct Place {
    cl_mem buffer;
    size_t offset;
  };
  Place place(const void* address) const;
  cl_event* next_event() const;
  std::string cache_key(const std::string& source) const;
  cl_program load(const std::string& key) const;
  void save(const std::string& key, cl_program program) const;
  cl_program build(const std::string& source) const;

  const Api& api_;
  cl_device_id device_;
  Capabilities capabilities_;
  std::string options_;  // for the compiler
  cl_context context_ = nullptr;
  cl_command_queue queue_ = nullptr;

  mutable std::mutex addresses_mutex_;
  struct Range {
    cl_mem buffer;
    size_t bytes;
  };
  mutable std::map<uintptr_t, Range> ranges_;
  uintptr_t next_address_;
  std::shared_ptr<Storage> any_;

  mutable std::mutex programs_mutex_;
  mutable std::unordered_map<std::string, std::weak_ptr<ClProgram>> programs_;
  mutable std::vector<std::shared_ptr<ClProgram>> kept_;

  bool measured_ = false;
  mutable std::vector<cl_event> events_;
};

}  // namespace wafer::opencl
