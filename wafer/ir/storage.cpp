#include "wafer/ir/storage.h"

#include <cstdlib>

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

std::shared_ptr<Storage> allocate_host(size_t bytes) {
  size_t padded = (bytes + 63) / 64 * 64 + 64;
  void* data = padded < bytes ? nullptr : std::aligned_alloc(64, padded);
  if (data == nullptr) {
    throw UserError("memory", str("cannot allocate ", human_bytes(static_cast<double>(bytes))),
                    {.hint = "use a smaller batch or model, or free memory"});
  }
  return std::make_shared<HostStorage>(data, bytes);
}

}  // namespace wafer
