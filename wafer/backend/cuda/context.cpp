#include "wafer/backend/cuda/context.h"

#include <algorithm>
#include <cstring>

#include "wafer/backend/cuda/captured_run.h"
#include "wafer/backend/cuda/product.h"
#include "wafer/base/error.h"
#include "wafer/base/log.h"
#include "wafer/base/strings.h"
#include "wafer/kernel/device/binary_cache.h"

namespace wafer::cuda {

namespace {
constexpr size_t slot_bytes = size_t{4} << 20;  // of pinned memory
constexpr size_t most_marks = 8;
constexpr unsigned threads_of_block = 128;

CUdeviceptr device_address(const void* address) {
  return static_cast<CUdeviceptr>(reinterpret_cast<uintptr_t>(address));
}
}  // namespace

// A block of the context's pool.
class CudaStorage : public Storage {
 public:
  CudaStorage(const Context& context, CUdeviceptr address, size_t bytes)
      : Storage(reinterpret_cast<void*>(address), bytes, false), context_(context) {}
  ~CudaStorage() override {
    if (!context_.options_.chunked) context_.enter_to_release();
    context_.pool_->give_back(device_address(data_), context_.work_);
  }
  void read(void* to, size_t bytes) const override { context_.read(to, data_, bytes); }
  const Context& context() const { return context_; }

 private:
  const Context& context_;
};

Context::Context(const Driver& driver, const Compiler& compiler, const Blas* blas, const Dnn* dnn,
                 CUdevice device, ContextOptions options)
    : driver_(driver),
      compiler_(compiler),
      blas_(blas),
      dnn_(dnn),
      device_(device),
      options_(options) {
  auto number = [&](CUdevice_attribute attribute) {
    int value = 0;
    check(driver_, driver_.device_attribute(&value, attribute, device), "asking for the device");
    return value;
  };
  char name[256] = {};
  check(driver_, driver_.device_name(name, sizeof name - 1, device), "asking for the device");
  int major = number(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  int minor = number(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  architecture_ = choose_architecture(compiler, 10 * major + minor);
  if (architecture_.option.empty()) {
    throw UserError("cuda", str(name, " has compute capability ", major, ".", minor,
                                ", for which NVRTC ", version_of(compiler), " does not compile"));
  }
  int version = 0;
  driver_.version(&version);
  capabilities_.name = name;
  capabilities_.driver = str(version / 1000, ".", version % 1000 / 10);
  capabilities_.platform = str("compute capability ", major, ".", minor, ", CUDA");
  capabilities_.units = number(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  capabilities_.fast_bf16 = major >= 8;
  capabilities_.fast_f16 = major >= 7;
  capabilities_.most_values = 480;  // eight bytes each of the 4 KiB that a launch takes
  capabilities_.joins_behind_products = blas_ != nullptr;
  capabilities_.joins_behind_convolutions = dnn_ != nullptr;
  capabilities_.narrow_channels_last = dnn_ != nullptr;
  size_t memory = 0;
  check(driver_, driver_.device_memory(&memory, device), "asking for the device's memory");
  capabilities_.memory_bytes = capabilities_.largest_buffer = memory;

  check(driver_, driver_.retain_context(&context_, device), str("making a context on ", name));
  enter();
  check(driver_, driver_.create_stream(&compute_, CU_STREAM_NON_BLOCKING), "making a stream");
  check(driver_, driver_.create_stream(&copies_, CU_STREAM_NON_BLOCKING), "making a stream");
  pool_ = std::make_unique<MemoryPool>(driver_, options_.chunked);
  any_ = pool_->allocate(64, work_);
  step_begin_ = make_event(CU_EVENT_DEFAULT);
  step_end_ = make_event(CU_EVENT_DEFAULT);
  for (Slot& slot : slots_) {
    check(driver_, driver_.allocate_pinned(&slot.memory, slot_bytes, 0), "taking pinned memory");
    slot.done = make_event(CU_EVENT_DISABLE_TIMING);
  }
}

CudaModule::~CudaModule() {
  context_.wait_to_release();
  context_.driver().unload_module(handle_);
}

void Context::wait_to_release() const {
  std::lock_guard lock(enqueue_);
  enter_to_release();
  driver_.wait_for_stream(compute_);
}

Context::~Context() {
  enter_to_release();
  driver_.wait_for_stream(copies_);
  driver_.wait_for_stream(compute_);
  kept_.clear();
  for (Slot& slot : slots_) {
    driver_.destroy_event(slot.done);
    driver_.free_pinned(slot.memory);
  }
  for (Mark& mark : marks_) driver_.destroy_event(mark.event);
  driver_.destroy_event(step_begin_);
  driver_.destroy_event(step_end_);
  if (blas_handle_) blas_->destroy(blas_handle_);
  dnn_handle_.reset();
  if (workspace_) pool_->give_back(workspace_, work_);
  pool_->give_back(any_, work_);
  pool_.reset();
  driver_.destroy_stream(compute_);
  driver_.destroy_stream(copies_);
  driver_.release_context(device_);
}

void Context::enter() const {
  check(driver_, driver_.set_context(context_), "entering the context");
}

CUevent Context::make_event(unsigned flags) const {
  CUevent event = nullptr;
  check(driver_, driver_.create_event(&event, flags), "making an event");
  return event;
}

std::shared_ptr<void> Context::new_run_state() {
  return std::make_shared<CapturedRun>(*this);
}

std::shared_ptr<Storage> Context::allocate(size_t bytes) {
  enter();
  CUdeviceptr address = pool_->allocate(bytes, work_);
  if (address == 0) {
    trim();
    address = pool_->allocate(bytes, work_);
  }
  if (address == 0) {
    auto human = [](size_t n) { return human_bytes(static_cast<double>(n)); };
    throw UserError("cuda",
                    str("no room for ", human(bytes), " on ", capabilities_.name, ": ",
                        human(pool_->bytes_from_driver()), " of its ",
                        human(capabilities_.memory_bytes), " are in use by this process"),
                    {.hint = "use a smaller batch or model, or free memory"});
  }
  return std::make_shared<CudaStorage>(*this, address, bytes);
}

void Context::trim() const {
  wait();
  pool_->trim();
}

bool Context::owns(const Storage& storage) const {
  auto* mine = dynamic_cast<const CudaStorage*>(&storage);
  return mine && &mine->context() == this;
}

// Called after work was put on the compute stream.
void Context::worked(const std::string& what) const {
  ++work_;
  last_work_ = what;
  if (options_.check && !capturing_) wait();
}

void Context::copy(void* to, const void* from, size_t bytes) const {
  if (to == from || bytes == 0) return;
  std::lock_guard lock(enqueue_);
  enter();
  check(driver_, driver_.copy(device_address(to), device_address(from), bytes, compute_),
        "copying on the device");
  worked("a copy");
}

void Context::fill(void* to, const void* pattern, size_t pattern_bytes, size_t bytes) const {
  if (bytes == 0) return;
  std::lock_guard lock(enqueue_);
  enter();
  CUdeviceptr at = device_address(to);
  uint32_t words[2] = {};
  std::memcpy(words, pattern, pattern_bytes);
  CUresult result = CUDA_SUCCESS;
  if (pattern_bytes == 1) {
    result = driver_.fill_8(at, static_cast<unsigned char>(words[0]), bytes, compute_);
  } else if (pattern_bytes == 2) {
    result = driver_.fill_16(at, static_cast<unsigned short>(words[0]), bytes / 2, compute_);
  } else if (pattern_bytes == 4 || words[0] == words[1]) {
    result = driver_.fill_32(at, words[0], bytes / 4, compute_);
  } else {  // as two columns
    for (size_t half : {size_t{0}, size_t{1}}) {
      if (result == CUDA_SUCCESS)
        result = driver_.fill_rows_32(at + 4 * half, 8, words[half], 1, bytes / 8, compute_);
    }
  }
  check(driver_, result, "filling memory");
  worked("a fill");
}

void Context::read(void* to, const void* from, size_t bytes) const {
  if (bytes == 0) return;
  std::lock_guard lock(enqueue_);
  not_in_capture();
  enter();
  Slot& slot = slots_[next_slot_];
  if (slot.used) check(driver_, driver_.wait_for_event(slot.done), "waiting for a copy");
  slot.used = false;
  auto* target = static_cast<std::byte*>(to);
  for (size_t at = 0; at < bytes; at += slot_bytes) {
    size_t count = std::min(slot_bytes, bytes - at);
    check(driver_, driver_.copy_to_host(slot.memory, device_address(from) + at, count, compute_),
          "reading from the device");
    wait();
    std::memcpy(target + at, slot.memory, count);
  }
}

// The copies' stream goes on when the compute stream has done all work up to `work`.
void Context::copies_wait_for(uint64_t work) const {
  if (work <= copies_waited_for_ || work <= waited_) return;
  auto mark = std::find_if(marks_.begin(), marks_.end(),
                           [&](const Mark& each) { return each.work >= work; });
  if (mark == marks_.end()) {
    flush();
    mark = std::prev(marks_.end());
  }
  check(driver_, driver_.stream_waits_for_event(copies_, mark->event, 0), "ordering a copy");
  copies_waited_for_ = mark->work;
}

void Context::write(void* to, const void* from, size_t bytes) const {
  if (bytes == 0) return;
  std::lock_guard lock(enqueue_);
  not_in_capture();
  enter();
  auto* source = static_cast<const std::byte*>(from);
  copies_wait_for(pool_->last_use(device_address(to), work_).work);
  CUevent last = nullptr;
  for (size_t at = 0; at < bytes; at += slot_bytes) {
    size_t count = std::min(slot_bytes, bytes - at);
    Slot& slot = slots_[next_slot_];
    next_slot_ = (next_slot_ + 1) % slots_.size();
    if (slot.used) check(driver_, driver_.wait_for_event(slot.done), "waiting for a copy");
    std::memcpy(slot.memory, source + at, count);
    check(driver_, driver_.copy_to_device(device_address(to) + at, slot.memory, count, copies_),
          "writing to the device");
    check(driver_, driver_.record_event(slot.done, copies_), "marking a copy");
    slot.used = true;
    last = slot.done;
  }
  check(driver_, driver_.stream_waits_for_event(compute_, last, 0), "ordering a copy");
}

void Context::flush() const {
  std::lock_guard lock(enqueue_);
  if (!marks_.empty() && marks_.back().work == work_) return;
  enter();
  CUevent event = nullptr;
  if (marks_.size() == most_marks) {
    event = marks_.front().event;
    marks_.pop_front();
  } else {
    event = make_event(CU_EVENT_DISABLE_TIMING);
  }
  marks_.push_back({work_, event});
  check(driver_, driver_.record_event(event, compute_), "marking work");
}

void Context::wait() const {
  std::lock_guard lock(enqueue_);
  not_in_capture();
  enter();
  CUresult result = driver_.wait_for_stream(compute_);
  uint64_t pieces = work_ - waited_;
  waited_ = work_;
  if (result == CUDA_SUCCESS) return;
  if (pieces <= 1) check(driver_, result, last_work_);
  check(driver_, result,
        str("one of the last ", pieces, " pieces of work, of which the last was ", last_work_,
            "; with WAFER_CUDA_CHECK=1 the error names the one"));
}

void Context::measure(bool on) {
  measured_ = on;
  step_begun_ = false;
}

std::optional<double> Context::finish_step() const {
  std::lock_guard lock(enqueue_);
  std::optional<double> seconds;
  if (measured_ && step_begun_) {
    check(driver_, driver_.record_event(step_end_, compute_), "measuring");
    wait();
    float milliseconds = 0;
    check(driver_, driver_.elapsed_milliseconds(&milliseconds, step_begin_, step_end_),
          "measuring");
    seconds = milliseconds * 1e-3;
  } else {
    wait();
  }
  if (measured_) {
    check(driver_, driver_.record_event(step_begin_, compute_), "measuring");
    step_begun_ = true;
  }
  return seconds;
}

std::shared_ptr<const kernel::CompiledSource> Context::compile(const std::string& source,
                                                               bool keep) const {
  std::lock_guard lock(modules_mutex_);
  auto& known = modules_[source];
  if (auto module = known.lock()) return module;
  std::string key = str(architecture_.option, "\nNVRTC ", version_of(compiler_), "\n", source);
  std::optional<std::string> code = kernel::load_binary("cuda", key);
  if (!code) {
    code = compile_source(compiler_, source, architecture_);
    kernel::save_binary("cuda", key, *code);
  }
  enter();
  CUmodule handle = nullptr;
  check(driver_, driver_.load_module(&handle, code->c_str()), "loading compiled kernels");
  auto module = std::make_shared<CudaModule>(*this, handle);
  known = module;
  if (keep) kept_.push_back(module);
  return module;
}

std::shared_ptr<const kernel::CompiledKernel> Context::kernel(
    const std::shared_ptr<const kernel::CompiledSource>& source, const std::string& name) const {
  auto module = std::dynamic_pointer_cast<const CudaModule>(source);
  WAFER_CHECK(module != nullptr, "a module of another backend");
  enter();
  CUfunction function = nullptr;
  check(driver_, driver_.function(&function, module->handle(), name.c_str()), "kernel " + name);
  return std::make_shared<CudaKernel>(std::move(module), function);
}

void Context::launch(const kernel::CompiledKernel& kernel, std::span<const void* const> addresses,
                     const Storage* parameters, int64_t items, int64_t,
                     const std::string& what) const {
  if (items == 0) return;
  std::vector<CUdeviceptr> values;
  for (const void* address : addresses) values.push_back(address ? device_address(address) : any_);
  if (parameters) values.push_back(device_address(parameters->data()));
  std::vector<void*> arguments;
  for (CUdeviceptr& value : values) arguments.push_back(&value);
  auto blocks = std::min<int64_t>((items + threads_of_block - 1) / threads_of_block,
                                  int64_t{32} * capabilities_.units);
  std::lock_guard lock(enqueue_);
  enter();
  check(driver_,
        driver_.launch(dynamic_cast<const CudaKernel&>(kernel).handle(),
                       static_cast<unsigned>(blocks), 1, 1, threads_of_block, 1, 1, 0, compute_,
                       arguments.data(), nullptr),
        what);
  worked(what);
}

std::shared_ptr<const kernel::LibraryProduct> Context::library_product(
    const kernel::ProductProblem& problem) const {
  if (!blas_) return nullptr;
  {
    std::lock_guard lock(blas_mutex_);
    enter();
    if (!blas_handle_ && !blas_failed_) {
      cublasStatus_t status = blas_->create(&blas_handle_);
      blas_failed_ = status != CUBLAS_STATUS_SUCCESS;
      if (blas_failed_) {
        blas_handle_ = nullptr;
        log(LogLevel::warn, str("cuda: products are our own kernels: cuBLASLt does not start: ",
                                blas_->error_text(status)));
      }
    }
    if (blas_failed_) return nullptr;
    if (workspace_ == 0) workspace_ = pool_->allocate(workspace_bytes, work_);
    if (workspace_ == 0) return nullptr;  // our own kernels need none
  }
  return BlasProduct::make(*this, problem);
}

std::shared_ptr<const kernel::LibraryConvolution> Context::library_convolution(
    const kernel::ConvolutionProblem& problem) const {
  if (!dnn_) return nullptr;
  std::lock_guard lock(enqueue_);
  enter();
  if (!dnn_handle_ && !dnn_failed_) {
    std::string reason;
    dnn_handle_ = start_dnn(*dnn_, reason);
    dnn_failed_ = !dnn_handle_;
    if (dnn_failed_)
      log(LogLevel::warn, "cuda: convolutions are products: cuDNN does not start: " + reason);
  }
  if (dnn_failed_) return nullptr;
  // Layers of a kind are planned once for all programs, and refused once.
  if (refused_.count(problem)) return nullptr;
  std::weak_ptr<const kernel::LibraryConvolution>& known = convolutions_[problem];
  auto convolution = known.lock();
  if (!convolution) known = convolution = make_convolution(*this, problem);
  if (!convolution) refused_.insert(problem);
  return convolution;
}

void Context::check_blas(cublasStatus_t status, const std::string& what) const {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw InternalError(str("cuBLASLt: ", what, ": ", blas_->error_text(status)));
}

void Context::enqueue(const std::string& what,
                      const std::function<void(CUstream stream, void* workspace)>& call) const {
  std::lock_guard lock(enqueue_);
  enter();
  call(compute_, reinterpret_cast<void*>(workspace_));
  worked(what);
}

CUgraphExec Context::capture(const std::function<void()>& enqueue) const {
  std::lock_guard lock(enqueue_);
  enter();
  check(driver_, driver_.begin_capture(compute_, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
        "beginning a capture");
  capturing_ = true;
  auto end = [&] {
    capturing_ = false;
    CUgraph graph = nullptr;
    CUresult result = driver_.end_capture(compute_, &graph);
    return std::pair{result, graph};
  };
  bool whole = true;
  try {
    enqueue();
  } catch (const NotCapturable&) {
    whole = false;
  } catch (...) {
    if (CUgraph graph = end().second) driver_.destroy_graph(graph);
    throw;
  }
  auto [result, graph] = end();
  CUgraphExec executable = nullptr;
  if (whole) {
    check(driver_, result, "capturing a run");
    result = driver_.instantiate_graph(&executable, graph, 0);
  }
  if (graph) driver_.destroy_graph(graph);
  if (whole) check(driver_, result, "making a graph of a run");
  return executable;
}

void Context::launch_graph(CUgraphExec graph, const std::string& what) const {
  std::lock_guard lock(enqueue_);
  enter();
  check(driver_, driver_.launch_graph(graph, compute_), what);
  worked(what);
}

}  // namespace wafer::cuda
