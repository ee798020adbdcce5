#include "wafer/backend/opencl/context.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"

namespace wafer::opencl {

namespace {
// Addresses that no process maps.
constexpr uintptr_t first_address = uintptr_t{1} << 60;
constexpr uintptr_t page = 4096;

// At the end of the process drivers are gone before the last storages are.
std::atomic<bool> process_ends = false;
void note_the_end() {
  process_ends = true;
}
}  // namespace

// Memory in a buffer of its own.
class ClStorage : public Storage {
 public:
  ClStorage(ClContext& context, void* address, size_t bytes)
      : Storage(address, bytes, false), context_(context) {}
  ~ClStorage() override {
    if (process_ends) return;
    std::lock_guard lock(context_.addresses_mutex_);
    auto found = context_.ranges_.find(reinterpret_cast<uintptr_t>(data_));
    context_.api_.release_buffer(found->second.buffer);
    context_.ranges_.erase(found);
  }
  void read(void* to, size_t bytes) const override { context_.read(to, data_, bytes); }
  const ClContext& context() const { return context_; }

 private:
  ClContext& context_;
};

ClContext::ClContext(const Api& api, cl_device_id device, Capabilities capabilities)
    : api_(api),
      device_(device),
      capabilities_(std::move(capabilities)),
      options_("-cl-std=CL1.2"),
      next_address_(first_address) {
  if (capabilities_.is_cpu) options_ += " -DWF_CONTIGUOUS";
  cl_int status;
  context_ = api.create_context(nullptr, 1, &device, nullptr, nullptr, &status);
  check(status, "making a context on " + capabilities_.name);
  queue_ = api.create_queue(context_, device, CL_QUEUE_PROFILING_ENABLE, &status);
  check(status, "making a queue on " + capabilities_.name);
  any_ = allocate(64);
  static int registered = std::atexit(note_the_end);
  WAFER_CHECK(registered == 0, "atexit has no room");
}

std::shared_ptr<Storage> ClContext::allocate(size_t bytes) {
  size_t padded = (bytes + 63) / 64 * 64 + 64;
  cl_int status;
  cl_mem buffer = api_.create_buffer(context_, CL_MEM_READ_WRITE, padded, nullptr, &status);
  check(status, str("allocating ", human_bytes(static_cast<double>(bytes)), " on ",
                    capabilities_.name, " (its largest buffer: ",
                    human_bytes(static_cast<double>(capabilities_.largest_buffer)), ")"));
  std::lock_guard lock(addresses_mutex_);
  uintptr_t address = next_address_;
  next_address_ += (padded + page - 1) / page * page + page;
  ranges_[address] = {buffer, padded};
  return std::make_shared<ClStorage>(*this, reinterpret_cast<void*>(address), bytes);
}

bool ClContext::owns(const Storage& storage) const {
  auto* mine = dynamic_cast<const ClStorage*>(&storage);
  return mine && &mine->context() == this;
}

ClContext::Place ClContext::place(const void* address) const {
  if (!address) address = any_->data();
  auto at = reinterpret_cast<uintptr_t>(address);
  std::lock_guard lock(addresses_mutex_);
  auto next = ranges_.upper_bound(at);
  WAFER_CHECK(next != ranges_.begin(), "an address that is not on the device");
  auto [first, range] = *std::prev(next);
  WAFER_CHECK(at - first <= range.bytes, "an address beyond its buffer");
  return {range.buffer, at - first};
}

cl_event* ClContext::next_event() const {
  if (!measured_) return nullptr;
  events_.push_back(nullptr);
  return &events_.back();
}

void ClContext::copy(void* to, const void* from, size_t bytes) const {
  if (to == from || bytes == 0) return;
  Place source = place(from), target = place(to);
  check(api_.copy_buffer(queue_, source.buffer, target.buffer, source.offset, target.offset, bytes,
                         0, nullptr, next_event()),
        "copying on the device");
}

void ClContext::read(void* to, const void* from, size_t bytes) const {
  if (bytes == 0) return;
  Place source = place(from);
  check(api_.read_buffer(queue_, source.buffer, CL_TRUE, source.offset, bytes, to, 0, nullptr,
                         nullptr),
        "reading from the device");
}

void ClContext::write(void* to, const void* from, size_t bytes) const {
  if (bytes == 0) return;
  Place target = place(to);
  check(api_.write_buffer(queue_, target.buffer, CL_TRUE, target.offset, bytes, from, 0, nullptr,
                          nullptr),
        "writing to the device");
}

void ClContext::fill(void* to, const void* pattern, size_t pattern_bytes, size_t bytes) const {
  if (bytes == 0) return;
  Place target = place(to);
  check(api_.fill_buffer(queue_, target.buffer, pattern, pattern_bytes, target.offset, bytes, 0,
                         nullptr, next_event()),
        "filling a buffer");
}

void ClContext::wait() const {
  check(api_.finish(queue_), "waiting for the device");
}

void ClContext::flush() const {
  check(api_.flush(queue_), "starting what was enqueued");
}

std::optional<double> ClContext::finish_step() const {
  wait();
  if (!measured_) return std::nullopt;
  double seconds = 0;
  for (cl_event event : events_) {
    cl_ulong start = 0, end = 0;
    api_.get_event_times(event, CL_PROFILING_COMMAND_START, sizeof start, &start, nullptr);
    api_.get_event_times(event, CL_PROFILING_COMMAND_END, sizeof end, &end, nullptr);
    seconds += static_cast<double>(end - start) * 1e-9;
    api_.release_event(event);
  }
  events_.clear();
  return seconds;
}

std::shared_ptr<const kernel::CompiledKernel> ClContext::kernel(
    const std::shared_ptr<const kernel::CompiledSource>& source, const std::string& name) const {
  auto program = std::dynamic_pointer_cast<const ClProgram>(source);
  WAFER_CHECK(program != nullptr, "a program of another backend");
  cl_int status;
  cl_kernel handle = api_.create_kernel(program->handle(), name.c_str(), &status);
  check(status, "kernel " + name);
  return std::make_shared<ClKernel>(api_, std::move(program), handle);
}

void ClContext::launch(const kernel::CompiledKernel& compiled,
                       std::span<const void* const> addresses, const Storage* parameters,
                       int64_t items, int64_t grain, const std::string& what) const {
  cl_kernel kernel = dynamic_cast<const ClKernel&>(compiled).handle();
  if (items == 0) return;
  cl_uint next = 0;
  auto set = [&](size_t bytes, const void* value) {
    check(api_.set_kernel_argument(kernel, next++, bytes, value), what);
  };
  for (const void* address : addresses) {
    Place at = place(address);
    auto offset = static_cast<cl_long>(at.offset);
    set(sizeof(cl_mem), &at.buffer);
    set(sizeof offset, &offset);
  }
  if (parameters) {
    Place at = place(parameters->data());
    set(sizeof(cl_mem), &at.buffer);
  }
  // A CPU's work items are stretches of iterations, a few for each core; a GPU's are single ones.
  size_t local = 1, global = 1;
  if (capabilities_.is_cpu) {
    int64_t worth = std::max<int64_t>(items / std::max<int64_t>(grain, 1), 1);
    global = static_cast<size_t>(std::min<int64_t>(worth, int64_t{4} * capabilities_.units));
  } else {
    local = 64;
    auto groups = (items + 63) / 64;
    global = 64 * static_cast<size_t>(std::min<int64_t>(groups, int64_t{32} * capabilities_.units));
  }
  check(api_.enqueue_kernel(queue_, kernel, 1, nullptr, &global, &local, 0, nullptr, next_event()),
        what);
}

}  // namespace wafer::opencl
