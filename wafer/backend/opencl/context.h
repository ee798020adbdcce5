#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "wafer/backend/opencl/api.h"
#include "wafer/backend/opencl/support.h"
#include "wafer/ir/storage.h"
#include "wafer/runtime/kernel.h"

namespace wafer::opencl {

// A compiled source.
class ClProgram {
 public:
  ClProgram(const Api& api, cl_program handle) : api_(api), handle_(handle) {}
  ~ClProgram() { api_.release_program(handle_); }
  ClProgram(const ClProgram&) = delete;
  ClProgram& operator=(const ClProgram&) = delete;
  cl_program handle() const { return handle_; }

 private:
  const Api& api_;
  cl_program handle_;
};

// One kernel of a program; empty until the program that it is part of is compiled.
struct ClKernel {
  std::shared_ptr<ClProgram> program;
  const Api* api = nullptr;
  cl_kernel handle = nullptr;
  ClKernel() = default;
  ~ClKernel() {
    if (handle) api->release_kernel(handle);
  }
  ClKernel(const ClKernel&) = delete;
  ClKernel& operator=(const ClKernel&) = delete;
};

// An OpenCL device's context and its one in-order queue. OpenCL 1.2 names memory by buffer and
// offset; programs here calculate with addresses, so each buffer gets a range of addresses of its
// own that nothing can be read through, and `place` turns an address back. All calls are enqueued
// in order; reads wait.
class ClContext : public StepMemory {
 public:
  ClContext(const Api& api, cl_device_id device, Capabilities capabilities);

  const Capabilities& capabilities() const { return capabilities_; }

  std::shared_ptr<Storage> allocate(size_t bytes);
  bool owns(const Storage& storage) const;

  // StepMemory
  bool on_host() const override { return false; }
  void copy(void* to, const void* from, size_t bytes) const override;
  void read(void* to, const void* from, size_t bytes) const override;
  std::optional<double> finish_step() const override;

  void write(void* to, const void* from, size_t bytes) const;
  // Repeats the pattern of 1, 2, 4 or 8 bytes.
  void fill(void* to, const void* pattern, size_t pattern_bytes, size_t bytes) const;
  void wait() const;
  // Hands what was enqueued to the device.
  void flush() const;
  // Keep events of what is enqueued from now on, for finish_step.
  void measure(bool on) { measured_ = on; }

  // The program of a source: compiled before in this process, or found in the cache folder, or
  // compiled now. `keep`: for the life of the process, since other graphs will want it.
  std::shared_ptr<ClProgram> program(const std::string& source, bool keep) const;
  void make_kernel(ClKernel& kernel, std::shared_ptr<ClProgram> program,
                   const std::string& name) const;

  // Runs a kernel whose arguments are a buffer and an offset for each address (null: any memory),
  // then the buffer of `parameters` unless null. It covers `items` iterations, of which at least
  // `grain` are worth a work item.
  void launch(const ClKernel& kernel, std::span<const void* const> addresses,
              const Storage* parameters, int64_t items, int64_t grain,
              const std::string& what) const;

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
  cl_program compile(const std::string& source) const;

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
