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

  // An address; of memory that is not on the host it only stands for a place there.
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  // True when data() may be read by the CPU as it is.
  bool on_host() const { return on_host_; }
  // Copies the first `bytes` bytes to host memory, once what writes them is done.
  virtual void read(void* to, size_t bytes) const;

 protected:
  void* data_;
  size_t bytes_;
  bool on_host_;
};

// The memory itself where it is on the host, else a copy there.
std::shared_ptr<Storage> on_host(const std::shared_ptr<Storage>& storage);

// Uninitialised host memory, 64-byte aligned, padded to whole cache lines. UserError when there is
// not enough.
std::shared_ptr<Storage> allocate_host(size_t bytes);

}  // namespace wafer
