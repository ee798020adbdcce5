#include "wafer/backend/cpu/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "wafer/backend/cpu/cpu.h"
#include "wafer/base/strings.h"

namespace wafer::cpu {

namespace {
constexpr size_t huge_page = size_t{2} << 20;
constexpr size_t mapped_from = size_t{4} << 20;

std::atomic<size_t> bytes_now = 0, bytes_peak = 0;

void count(size_t bytes) {
  size_t now = bytes_now += bytes;
  size_t peak = bytes_peak;
  while (peak < now && !bytes_peak.compare_exchange_weak(peak, now)) {
  }
}

// Pages that begin on a huge page's boundary: mapped with slack, which is given back.
void* map_pages(size_t bytes) {
  size_t whole = bytes + huge_page;
  void* mapped = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto begin = reinterpret_cast<uintptr_t>(mapped);
  uintptr_t aligned = (begin + huge_page - 1) / huge_page * huge_page;
  if (aligned > begin) munmap(mapped, aligned - begin);
  uintptr_t end = begin + whole;
  if (end > aligned + bytes)
    munmap(reinterpret_cast<void*>(aligned + bytes), end - aligned - bytes);
  void* data = reinterpret_cast<void*>(aligned);
  madvise(data, bytes, MADV_HUGEPAGE);  // advice: nothing is lost where it is refused
  return data;
}

class CpuStorage : public Storage {
 public:
  CpuStorage(void* data, size_t bytes, size_t reserved, bool mapped)
      : Storage(data, bytes, /*on_host=*/true), reserved_(reserved), mapped_(mapped) {
    count(reserved_);
  }
  ~CpuStorage() override {
    if (mapped_) {
      munmap(data_, reserved_);
    } else {
      std::free(data_);
    }
    bytes_now -= reserved_;
  }

 private:
  size_t reserved_;
  bool mapped_;
};
}  // namespace

std::shared_ptr<Storage> allocate_memory(size_t bytes) {
  bool mapped = bytes >= mapped_from;
  size_t unit = mapped ? static_cast<size_t>(sysconf(_SC_PAGESIZE)) : 64;
  size_t reserved = (std::max<size_t>(bytes, 1) + unit - 1) / unit * unit;
  void* data = nullptr;
  if (reserved >= bytes) data = mapped ? map_pages(reserved) : std::aligned_alloc(64, reserved);
  if (data == nullptr) {
    throw UserError("cpu", str("not enough memory for ", human_bytes(static_cast<double>(bytes))),
                    {.got = str(human_bytes(static_cast<double>(bytes_now)), " in use before"),
                     .hint = "use a smaller batch or model"});
  }
  return std::make_shared<CpuStorage>(data, bytes, reserved, mapped);
}

float* thread_memory(int64_t floats) {
  thread_local std::shared_ptr<Storage> memory;
  size_t bytes = static_cast<size_t>(floats) * sizeof(float);
  if (!memory || memory->bytes() < bytes) {
    memory.reset();
    memory = allocate_memory(bytes);
  }
  return static_cast<float*>(memory->data());
}

MemoryUse memory_use() {
  return {bytes_now, bytes_peak};
}

}  // namespace wafer::cpu
