#include "wafer/ir/storage.h"

#include <cstdlib>
#include <cstring>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"

namespace wafer {

namespace {
class HostStorage : public Storage {
 public:
  HostStorage(void* data, size_t bytes) : Storage(data, bytes, true) {}
  ~HostStorage() override { std::free(data_); }
};
}  // namespace

void Storage::read(void* to, size_t bytes) const {
  WAFER_CHECK(on_host_, "memory that is elsewhere is read as if it were on the host");
  if (bytes > 0) std::memcpy(to, data_, bytes);
}

std::shared_ptr<Storage> allocate_host(size_t bytes) {
  size_t padded = (bytes + 63) / 64 * 64 + 64;
  void* data = padded < bytes ? nullptr : std::aligned_alloc(64, padded);
  if (data == nullptr) {
    throw UserError("memory", str("cannot allocate ", human_bytes(static_cast<double>(bytes))),
                    {.hint = "use a smaller batch or model, or free memory"});
  }
  return std::make_shared<HostStorage>(data, bytes);
}

std::shared_ptr<Storage> on_host(const std::shared_ptr<Storage>& storage) {
  if (storage->on_host()) return storage;
  auto copy = allocate_host(storage->bytes());
  storage->read(copy->data(), storage->bytes());
  return copy;
}

}  // namespace wafer
