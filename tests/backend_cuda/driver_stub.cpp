#include "tests/backend_cuda/driver_stub.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "tests/io/helpers.h"
#include "wafer/base/error.h"

namespace wafer::testing {

namespace {
std::unique_ptr<DriverStub> current;

// CUDA's words for the host's compiler; one thread runs after the other.
constexpr const char* emulation = R"(
#include <cmath>
#include <cstring>
using namespace std;
struct WfPlace { unsigned x, y, z; };
static WfPlace blockIdx, threadIdx, blockDim, gridDim;
extern "C" void wf_set_places(unsigned block, unsigned thread, unsigned threads, unsigned blocks) {
  blockIdx.x = block; threadIdx.x = thread; blockDim.x = threads; gridDim.x = blocks;
}
#define __global__
#define __device__
static inline float __uint_as_float(unsigned u) { float x; memcpy(&x, &u, 4); return x; }
static inline float __int_as_float(int u) { float x; memcpy(&x, &u, 4); return x; }
static inline unsigned __float_as_uint(float x) { unsigned u; memcpy(&u, &x, 4); return u; }
static inline double __longlong_as_double(long long u) { double x; memcpy(&x, &u, 8); return x; }
static inline float wf_half(unsigned short u) { _Float16 x; memcpy(&x, &u, 2); return x; }
static inline unsigned short wf_half_bits(float f) {
  _Float16 x = (_Float16)f;
  unsigned short u;
  memcpy(&u, &x, 2);
  return u;
}
)";

// The host's compiler, with options that a precompiled header and what includes it share.
const std::string host_compiler = str(WAFER_CXX, " -std=c++17 -w -O0 -ffp-contract=off -fPIC ");

void run(const std::string& command, const std::string& source) {
  if (std::system(command.c_str()) != 0)
    throw InternalError("the printed CUDA C++ does not compile on the host:\n" + source);
}

// The emulation as a header, compiled once for all modules: it takes most of a module's time.
const std::string& emulation_header() {
  static TemporaryFolder folder;
  static const std::string header = [] {
    std::string path = (folder / "emulation.h").string();
    std::ofstream(path) << emulation;
    run(str(host_compiler, "-x c++-header ", path, " -o ", path, ".gch"), emulation);
    return path;
  }();
  return header;
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  size_t at = text.find(from);
  if (at == std::string::npos) throw InternalError("the CUDA prelude no longer holds " + from);
  text.replace(at, from.size(), to);
}

// The number of a kernel's parameters: words between commas of its brackets.
size_t parameters_of(const std::string& source, const std::string& name) {
  size_t at = source.find("WF_KERNEL " + name + "(");
  if (at == std::string::npos) return SIZE_MAX;
  int depth = 0;
  size_t count = 1;
  for (at = source.find('(', at); at < source.size(); ++at) {
    if (source[at] == '(') ++depth;
    if (source[at] == ')' && --depth == 0) break;
    if (source[at] == ',' && depth == 1) ++count;
  }
  return count;
}
}  // namespace

DriverStub& DriverStub::fresh() {
  current = std::make_unique<DriverStub>();
  return *current;
}
DriverStub& DriverStub::get() {
  return *current;
}

size_t DriverStub::count(const std::string& call) const {
  return static_cast<size_t>(std::count(calls.begin(), calls.end(), call));
}

std::vector<std::string> DriverStub::leaks() const {
  std::vector<std::string> result;
  auto add = [&](const char* what, size_t n) {
    if (n > 0) result.push_back(str(n, " ", what));
  };
  add("allocations", memory.size());
  add("pinned allocations", pinned.size());
  add("streams", streams.size());
  add("events", events.size());
  add("modules", modules.size());
  add("graphs", graphs.size());
  add("executable graphs", executables.size());
  add("programs", programs.size());
  add("contexts", static_cast<size_t>(contexts));
  add("objects of cuBLASLt", static_cast<size_t>(blas_objects));
  add("handles of cuDNN", dnn_handles.size());
  add("descriptors of cuDNN", dnn_descriptors.size());
  return result;
}

bool DriverStub::any_capture() const {
  return std::any_of(streams.begin(), streams.end(),
                     [](const auto& each) { return each.second.capture != nullptr; });
}

void DriverStub::check_memory(const Work& work) {
  for (const Access& access : work.accesses) {
    auto next = memory.upper_bound(access.begin);
    bool inside = next != memory.begin();
    if (inside) {
      auto [begin, bytes] = *std::prev(next);
      inside = access.end <= begin + bytes;
    }
    if (!inside) violate(work.name + " uses memory that is not allocated");
  }
  if (work.module != 0 && !modules.count(work.module))
    violate(work.name + " is of a module that was unloaded");
  if (work.plan != 0 && !dnn_descriptors.count(work.plan))
    violate(work.name + " is of a plan that was destroyed");
}

void DriverStub::check_races(uintptr_t stream, const Work& work) {
  Stream& s = streams.at(stream);
  for (const Access& access : work.accesses) {
    for (const Past& before : past) {
      bool overlap = before.access.begin < access.end && access.begin < before.access.end;
      if (!overlap || before.stream == stream || !(before.access.write || access.write)) continue;
      if (s.clock[before.stream] < before.number)
        violate(work.name + " races with " + before.name + " of another stream");
    }
  }
  for (const Access& access : work.accesses)
    past.push_back({access, stream, s.enqueued + 1, work.name});
}

void DriverStub::host_knows(const Clock& clock) {
  for (auto [stream, number] : clock) host[stream] = std::max(host[stream], number);
  past.erase(std::remove_if(past.begin(), past.end(),
                            [&](const Past& each) { return each.number <= host[each.stream]; }),
             past.end());
}

CUresult DriverStub::enqueue(uintptr_t stream, Work work) {
  auto found = streams.find(stream);
  if (found == streams.end()) {
    violate(work.name + " on a stream that is not there");
    return CUDA_ERROR_INVALID_HANDLE;
  }
  Stream& s = found->second;
  if (s.capture) {
    s.capture->works.push_back(std::move(work));
    return CUDA_SUCCESS;
  }
  for (auto [other, number] : host) s.clock[other] = std::max(s.clock[other], number);
  check_memory(work);
  check_races(stream, work);
  s.clock[stream] = ++s.enqueued;
  s.pending.push_back({std::move(work)});
  return CUDA_SUCCESS;
}

void DriverStub::drain(uintptr_t stream, uint64_t up_to) {
  Stream& s = streams.at(stream);
  while (s.done < up_to && !s.pending.empty()) {
    Item item = std::move(s.pending.front());
    s.pending.pop_front();
    if (item.waits_for_stream != 0) {
      if (streams.count(item.waits_for_stream)) drain(item.waits_for_stream, item.waits_for_number);
      continue;
    }
    ++s.done;
    check_memory(item.work);
    if (item.work.run) item.work.run();
  }
}

void DriverStub::drain_all() {
  for (auto& [handle, stream] : streams) {
    drain(handle, stream.enqueued);
    host_knows(stream.clock);
  }
}

uintptr_t DriverStub::load(const std::string& source) {
  Module module{source};
  if (run_kernels) {
    TemporaryFolder folder;
    std::string text = source;
    replace(text, R"(asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));)", "x = wf_half(bits);");
    replace(text, R"(asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));)",
            "bits = wf_half_bits(x);");
    std::ofstream(folder / "module.cpp") << text;
    std::string library = (folder / "module.so").string();
    run(str(host_compiler, "-shared -include ", emulation_header(), " -o ", library, " ",
            (folder / "module.cpp").string()),
        source);
    module.library = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!module.library) throw InternalError(::dlerror());
  }
  uintptr_t handle = new_handle();
  modules[handle] = std::move(module);
  return handle;
}

namespace {
// Calls a kernel with all of the arguments. More than it has do no harm in the host's calling
// convention.
template <size_t... i>
void call(void* entry, const std::vector<void*>& arguments, std::index_sequence<i...>) {
  reinterpret_cast<void (*)(decltype(static_cast<void>(i), static_cast<void*>(nullptr))...)>(entry)(
      arguments[i]...);
}
constexpr size_t few = 24, most = 512;  // the driver takes 4 KiB of them
}  // namespace

void DriverStub::run_kernel(const Function& function, const std::vector<void*>& arguments,
                            unsigned blocks, unsigned threads) {
  using Places = void (*)(unsigned, unsigned, unsigned, unsigned);
  std::vector<void*> all = arguments;
  if (all.size() > most) throw InternalError(str("a kernel of more than ", most, " arguments"));
  all.resize(all.size() > few ? most : few);
  auto places =
      reinterpret_cast<Places>(::dlsym(modules.at(function.module).library, "wf_set_places"));
  for (unsigned block = 0; block < blocks; ++block) {
    for (unsigned thread = 0; thread < threads; ++thread) {
      places(block, thread, threads, blocks);
      if (all.size() == few)
        call(function.entry, all, std::make_index_sequence<few>());
      else
        call(function.entry, all, std::make_index_sequence<most>());
    }
  }
}

namespace {
DriverStub& stub() {
  return DriverStub::get();
}
template <class Handle>
uintptr_t number(Handle handle) {
  return reinterpret_cast<uintptr_t>(handle);
}
template <class Handle>
Handle handle_of(uintptr_t number) {
  return reinterpret_cast<Handle>(number);
}
std::byte* bytes_at(CUdeviceptr address) {
  return reinterpret_cast<std::byte*>(address);
}
// A call that a capture of this thread forbids.
bool forbidden(const char* call) {
  if (!stub().any_capture()) return false;
  stub().violate(str(call, " during a capture"));
  return true;
}

CUresult error_name(CUresult result, const char** text) {
  *text = result == CUDA_SUCCESS ? "CUDA_SUCCESS" : "CUDA_ERROR_OF_THE_TEST";
  return CUDA_SUCCESS;
}
CUresult device_name(char* name, int bytes, CUdevice) {
  std::snprintf(name, static_cast<size_t>(bytes), "Stub");
  return CUDA_SUCCESS;
}
CUresult attribute(int* value, CUdevice_attribute which, CUdevice) {
  *value = which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR   ? 9
           : which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? 0
                                                                   : 2;
  return CUDA_SUCCESS;
}

CUresult allocate(CUdeviceptr* address, size_t bytes) {
  if (forbidden("an allocation")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  size_t total = bytes;
  for (auto [unused, size] : stub().memory) total += size;
  if (total > stub().memory_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
  auto store = std::make_unique<std::byte[]>(bytes + 512);
  *address = (reinterpret_cast<uintptr_t>(store.get()) + 511) / 512 * 512;
  stub().memory[*address] = bytes;
  stub().memory_store.push_back(std::move(store));
  stub().calls.push_back("allocate");
  return CUDA_SUCCESS;
}
CUresult free_memory(CUdeviceptr address) {
  if (forbidden("freeing memory")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  stub().drain_all();
  if (stub().memory.erase(address) == 0) stub().violate("memory freed that is not allocated");
  stub().calls.push_back("free");
  return CUDA_SUCCESS;
}
CUresult allocate_pinned(void** address, size_t bytes, unsigned) {
  auto store = std::make_unique<std::byte[]>(bytes);
  *address = store.get();
  stub().pinned[*address] = std::move(store);
  return CUDA_SUCCESS;
}
CUresult free_pinned(void* address) {
  stub().drain_all();
  if (stub().pinned.erase(address) == 0) stub().violate("pinned memory freed twice");
  return CUDA_SUCCESS;
}

CUresult copy_to_device(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
  if (forbidden("a copy from the host")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  stub().calls.push_back("copy to device");
  return stub().enqueue(number(stream), {"a copy to the device", {{to, to + bytes, true}}, [=] {
                                           std::memcpy(bytes_at(to), from, bytes);
                                         }});
}
CUresult copy_to_host(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  if (forbidden("a copy to the host")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  stub().calls.push_back("copy to host");
  return stub().enqueue(number(stream), {"a copy to the host", {{from, from + bytes, false}}, [=] {
                                           std::memcpy(to, bytes_at(from), bytes);
                                         }});
}
CUresult copy(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  if (to < from + bytes && from < to + bytes) stub().violate("a copy between overlapping places");
  stub().calls.push_back("copy");
  return stub().enqueue(number(stream),
                        {"a copy", {{from, from + bytes, false}, {to, to + bytes, true}}, [=] {
                           std::memcpy(bytes_at(to), bytes_at(from), bytes);
                         }});
}
template <class T>
CUresult fill(CUdeviceptr to, T value, size_t count, CUstream stream) {
  return stub().enqueue(number(stream), {"a fill", {{to, to + count * sizeof(T), true}}, [=] {
                                           for (size_t i = 0; i < count; ++i)
                                             std::memcpy(bytes_at(to) + i * sizeof(T), &value,
                                                         sizeof(T));
                                         }});
}
CUresult fill_rows(CUdeviceptr to, size_t pitch, unsigned value, size_t width, size_t height,
                   CUstream stream) {
  if (width != 1) stub().violate("a fill of rows wider than expected");
  if (height == 0) return CUDA_SUCCESS;
  return stub().enqueue(number(stream),
                        {"a fill", {{to, to + (height - 1) * pitch + 4, true}}, [=] {
                           for (size_t i = 0; i < height; ++i)
                             std::memcpy(bytes_at(to) + i * pitch, &value, 4);
                         }});
}

CUresult create_stream(CUstream* stream, unsigned) {
  uintptr_t handle = stub().new_handle();
  stub().streams[handle];
  *stream = handle_of<CUstream>(handle);
  return CUDA_SUCCESS;
}
CUresult destroy_stream(CUstream stream) {
  stub().drain_all();
  if (stub().streams.erase(number(stream)) == 0) stub().violate("a stream destroyed twice");
  return CUDA_SUCCESS;
}
CUresult wait_for_stream(CUstream stream) {
  auto found = stub().streams.find(number(stream));
  if (found == stub().streams.end()) return CUDA_ERROR_INVALID_HANDLE;
  if (found->second.capture) {
    stub().violate("waiting for a stream that is being captured");
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  stub().calls.push_back("wait");
  stub().drain(number(stream), found->second.enqueued);
  stub().host_knows(found->second.clock);
  return CUDA_SUCCESS;
}
CUresult stream_waits(CUstream stream, CUevent event, unsigned) {
  auto& s = stub().streams.at(number(stream));
  auto found = stub().events.find(number(event));
  if (found == stub().events.end() || !found->second.recorded) {
    stub().violate("a stream waits for an event that was not recorded");
    return CUDA_ERROR_INVALID_HANDLE;
  }
  const auto& e = found->second;
  if (s.capture || e.in_capture) {
    stub().violate("an event joins a capture with what is outside of it");
    return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
  }
  for (auto [other, n] : e.clock) s.clock[other] = std::max(s.clock[other], n);
  DriverStub::Item item;
  item.waits_for_stream = e.stream;
  item.waits_for_number = e.number;
  s.pending.push_back(std::move(item));
  return CUDA_SUCCESS;
}
CUresult begin_capture(CUstream stream, CUstreamCaptureMode) {
  auto& s = stub().streams.at(number(stream));
  if (s.capture) stub().violate("a capture within a capture");
  s.capture = std::make_shared<DriverStub::Graph>();
  stub().calls.push_back("capture");
  return CUDA_SUCCESS;
}
CUresult end_capture(CUstream stream, CUgraph* graph) {
  auto& s = stub().streams.at(number(stream));
  if (!s.capture) {
    stub().violate("the end of no capture");
    return CUDA_ERROR_ILLEGAL_STATE;
  }
  uintptr_t handle = stub().new_handle();
  stub().graphs[handle] = std::move(s.capture);
  s.capture = nullptr;
  *graph = handle_of<CUgraph>(handle);
  return CUDA_SUCCESS;
}

CUresult create_event(CUevent* event, unsigned) {
  uintptr_t handle = stub().new_handle();
  stub().events[handle];
  *event = handle_of<CUevent>(handle);
  return CUDA_SUCCESS;
}
CUresult destroy_event(CUevent event) {
  if (stub().events.erase(number(event)) == 0) stub().violate("an event destroyed twice");
  return CUDA_SUCCESS;
}
CUresult record_event(CUevent event, CUstream stream) {
  auto& s = stub().streams.at(number(stream));
  auto found = stub().events.find(number(event));
  if (found == stub().events.end()) {
    stub().violate("an event recorded that is not there");
    return CUDA_ERROR_INVALID_HANDLE;
  }
  found->second = {true, s.capture != nullptr, number(stream), s.enqueued, s.clock};
  return CUDA_SUCCESS;
}
CUresult wait_for_event(CUevent event) {
  auto found = stub().events.find(number(event));
  if (found == stub().events.end()) return CUDA_ERROR_INVALID_HANDLE;
  if (found->second.in_capture) stub().violate("waiting for an event of a capture");
  stub().drain(found->second.stream, found->second.number);
  stub().host_knows(found->second.clock);
  return CUDA_SUCCESS;
}
CUresult elapsed(float* milliseconds, CUevent, CUevent) {
  *milliseconds = 1;
  return CUDA_SUCCESS;
}

CUresult load_module(CUmodule* module, const void* image) {
  *module = handle_of<CUmodule>(stub().load(static_cast<const char*>(image)));
  return CUDA_SUCCESS;
}
CUresult unload_module(CUmodule module) {
  auto found = stub().modules.find(number(module));
  if (found == stub().modules.end()) {
    stub().violate("a module unloaded twice");
    return CUDA_ERROR_INVALID_HANDLE;
  }
  for (auto& [unused, stream] : stub().streams) {
    for (const auto& item : stream.pending) {
      if (item.work.module == number(module))
        stub().violate("a module unloaded before " + item.work.name + " ran");
    }
  }
  if (found->second.library) ::dlclose(found->second.library);
  stub().modules.erase(found);
  return CUDA_SUCCESS;
}
CUresult get_function(CUfunction* function, CUmodule module, const char* name) {
  auto& m = stub().modules.at(number(module));
  size_t arguments = parameters_of(m.source, name);
  if (arguments == SIZE_MAX) return CUDA_ERROR_NOT_FOUND;
  void* entry = m.library ? ::dlsym(m.library, name) : nullptr;
  uintptr_t handle = stub().new_handle();
  stub().functions[handle] = {number(module), name, arguments, entry};
  *function = handle_of<CUfunction>(handle);
  return CUDA_SUCCESS;
}
CUresult launch(CUfunction function, unsigned blocks, unsigned, unsigned, unsigned threads,
                unsigned, unsigned, unsigned, CUstream stream, void** arguments, void**) {
  DriverStub& s = stub();
  if (s.next_launch_result != CUDA_SUCCESS)
    return std::exchange(s.next_launch_result, CUDA_SUCCESS);
  const auto& f = s.functions.at(number(function));
  std::vector<void*> values;
  DriverStub::Work work{f.name, {}, nullptr, f.module};
  for (size_t i = 0; i < f.arguments; ++i) {
    auto address = *static_cast<CUdeviceptr*>(arguments[i]);
    values.push_back(reinterpret_cast<void*>(address));
    // How far a kernel reaches is not known here: its first byte stands for all.
    work.accesses.push_back({address, address + 1, true});
  }
  if (s.run_kernels) work.run = [=, &s] { s.run_kernel(f, values, blocks, threads); };
  s.calls.push_back("launch");
  return s.enqueue(number(stream), std::move(work));
}

CUresult instantiate(CUgraphExec* executable, CUgraph graph, unsigned long long) {
  uintptr_t handle = stub().new_handle();
  stub().executables[handle] = stub().graphs.at(number(graph));
  *executable = handle_of<CUgraphExec>(handle);
  return CUDA_SUCCESS;
}
CUresult launch_graph(CUgraphExec executable, CUstream stream) {
  auto found = stub().executables.find(number(executable));
  if (found == stub().executables.end()) {
    stub().violate("a graph launched that was destroyed");
    return CUDA_ERROR_INVALID_HANDLE;
  }
  stub().calls.push_back("launch graph");
  for (const auto& work : found->second->works) {
    CUresult result = stub().enqueue(number(stream), work);
    if (result != CUDA_SUCCESS) return result;
  }
  return CUDA_SUCCESS;
}
CUresult destroy_executable(CUgraphExec executable) {
  if (stub().executables.erase(number(executable)) == 0) stub().violate("a graph destroyed twice");
  return CUDA_SUCCESS;
}
CUresult destroy_graph(CUgraph graph) {
  if (stub().graphs.erase(number(graph)) == 0) stub().violate("a graph destroyed twice");
  return CUDA_SUCCESS;
}

nvrtcResult compile(nvrtcProgram program, int, const char* const*) {
  stub().compiled[number(program)] = stub().programs.at(number(program));
  stub().calls.push_back("compile");
  return NVRTC_SUCCESS;
}
}  // namespace

const cuda::Driver& DriverStub::driver() const {
  static const cuda::Driver table = {
      .init = [](unsigned) { return CUDA_SUCCESS; },
      .error_name = error_name,
      .error_text = error_name,
      .version = [](int* version) { return *version = 13000, CUDA_SUCCESS; },
      .device_count = [](int* count) { return *count = 1, CUDA_SUCCESS; },
      .device = [](CUdevice* device, int index) { return *device = index, CUDA_SUCCESS; },
      .device_name = device_name,
      .device_memory = [](size_t* bytes,
                          CUdevice) { return *bytes = stub().memory_bytes, CUDA_SUCCESS; },
      .device_attribute = attribute,
      .retain_context =
          [](CUcontext* context, CUdevice) {
            ++stub().contexts;
            return *context = handle_of<CUcontext>(16), CUDA_SUCCESS;
          },
      .release_context = [](CUdevice) { return --stub().contexts, CUDA_SUCCESS; },
      .set_context = [](CUcontext) { return CUDA_SUCCESS; },
      .allocate = allocate,
      .free = free_memory,
      .allocate_pinned = allocate_pinned,
      .free_pinned = free_pinned,
      .copy_to_device = copy_to_device,
      .copy_to_host = copy_to_host,
      .copy = copy,
      .fill_8 = fill<unsigned char>,
      .fill_16 = fill<unsigned short>,
      .fill_32 = fill<unsigned>,
      .fill_rows_32 = fill_rows,
      .create_stream = create_stream,
      .destroy_stream = destroy_stream,
      .wait_for_stream = wait_for_stream,
      .stream_waits_for_event = stream_waits,
      .begin_capture = begin_capture,
      .end_capture = end_capture,
      .create_event = create_event,
      .destroy_event = destroy_event,
      .record_event = record_event,
      .wait_for_event = wait_for_event,
      .elapsed_milliseconds = elapsed,
      .load_module = load_module,
      .unload_module = unload_module,
      .function = get_function,
      .launch = launch,
      .instantiate_graph = instantiate,
      .launch_graph = launch_graph,
      .destroy_executable_graph = destroy_executable,
      .destroy_graph = destroy_graph};
  return table;
}

const cuda::Compiler& DriverStub::compiler() const {
  static const cuda::Compiler table = {
      .version = [](int* major, int* minor) { return *major = *minor = 0, NVRTC_SUCCESS; },
      .error_text = [](nvrtcResult) { return "error"; },
      .architecture_count = [](int* count) { return *count = 2, NVRTC_SUCCESS; },
      .architectures = [](int* list) { return list[0] = 80, list[1] = 90, NVRTC_SUCCESS; },
      .create =
          [](nvrtcProgram* program, const char* source, const char*, int, const char* const*,
             const char* const*) {
            uintptr_t handle = stub().new_handle();
            stub().programs[handle] = source;
            return *program = handle_of<nvrtcProgram>(handle), NVRTC_SUCCESS;
          },
      .destroy =
          [](nvrtcProgram* program) {
            stub().compiled.erase(number(*program));
            return stub().programs.erase(number(*program)), NVRTC_SUCCESS;
          },
      .compile = compile,
      .log_size = [](nvrtcProgram, size_t* size) { return *size = 1, NVRTC_SUCCESS; },
      .log = [](nvrtcProgram, char* log) { return *log = '\0', NVRTC_SUCCESS; },
      .cubin_size =
          [](nvrtcProgram program, size_t* size) {
            return *size = stub().compiled.at(number(program)).size() + 1, NVRTC_SUCCESS;
          },
      .cubin =
          [](nvrtcProgram program, char* code) {
            return std::strcpy(code, stub().compiled.at(number(program)).c_str()), NVRTC_SUCCESS;
          },
      .ptx_size = [](nvrtcProgram, size_t*) { return NVRTC_ERROR_INTERNAL_ERROR; },
      .ptx = [](nvrtcProgram, char*) { return NVRTC_ERROR_INTERNAL_ERROR; }};
  return table;
}

}  // namespace wafer::testing
