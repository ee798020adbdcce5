#pragma once
#include <cstddef>
#include <memory>

namespace wafer {

// Memory that holds a tensor's elements, wherever it lies. runtime/ derives device buffers from it.
class Storage {
 public:
  Storage(void* data, size_t bytes, bool on_host) : data_(data), bytes_(bytes), on_host_(on_host) {}
  virtual ~Storage() = default;
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  // True when data() may be read by the CPU as it is.
  bool on_host() const { return on_host_; }

 protected:
  void* data_;
  size_t bytes_;
  bool on_host_;
};

// Uninitialised host memory, 64-byte aligned, padded to whole cache lines. UserError when there is
// not enough.
std::shared_ptr<Storage> allocate_host(size_t bytes);

}  // namespace wafer
