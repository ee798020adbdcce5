#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "wafer/backend/cuda/api.h"

namespace wafer::testing {

// A driver and a run-time compiler of CUDA without a GPU. Work is queued and done as late as the
// rules allow: when the host waits, or when a stream that was waited for must catch up. Kernels are
// the printed CUDA C++, compiled by the host's compiler and run thread after thread, where
// `run_kernels` is on; else launches only count. What breaks a rule of the driver is kept as text:
// memory used that is not allocated, work of two streams on the same bytes without an event between
// them, calls that a capture forbids, handles that are gone.
class DriverStub {
 public:
  // The one that the tables' functions work on; a new one for each test.
  static DriverStub& fresh();
  static DriverStub& get();

  const cuda::Driver& driver() const;
  const cuda::Compiler& compiler() const;
  // cuBLASLt: multiplies on the host as it was described, element by element.
  const cuda::Blas& blas() const;
  // cuDNN: computes convolutions on the host as they were described; null where the tests were
  // built without its headers.
  const cuda::Dnn* dnn() const;

  bool run_kernels = true;
  size_t memory_bytes = size_t{1} << 30;
  CUresult next_launch_result = CUDA_SUCCESS;  // of the next launch alone

  std::vector<std::string> violations;
  std::vector<std::string> calls;  // "launch gemm", "capture", "launch graph", "allocate", ...
  size_t count(const std::string& call) const;
  // Handles and memory that were not given back.
  std::vector<std::string> leaks() const;

  // What follows is for the functions of the tables.
  struct Access {
    CUdeviceptr begin, end;
    bool write;
  };
  struct Work {
    std::string name;
    std::vector<Access> accesses;
    std::function<void()> run;
    uintptr_t module = 0;  // whose code it is; 0: none
    uintptr_t plan = 0;    // of cuDNN, whose code it may be
  };
  struct Graph {
    std::vector<Work> works;
  };
  using Clock = std::map<uintptr_t, uint64_t>;  // of each stream: how much of it is known as done
  struct Item {
    Work work;
    uintptr_t waits_for_stream = 0;  // else work
    uint64_t waits_for_number = 0;
  };
  struct Stream {
    std::deque<Item> pending;
    uint64_t enqueued = 0, done = 0;
    Clock clock;
    std::shared_ptr<Graph> capture;
  };
  struct Event {
    bool recorded = false, in_capture = false;
    uintptr_t stream = 0;
    uint64_t number = 0;
    Clock clock;
  };
  struct Module {
    std::string source;
    void* library = nullptr;
  };
  struct Function {
    uintptr_t module;
    std::string name;
    size_t arguments;
    void* entry = nullptr;
  };
  struct Past {
    Access access;
    uintptr_t stream;
    uint64_t number;
    std::string name;
  };

  uintptr_t new_handle() { return next_handle_ += 16; }
  void violate(const std::string& text) { violations.push_back(text); }
  CUresult enqueue(uintptr_t stream, Work work);
  void drain(uintptr_t stream, uint64_t up_to);
  void drain_all();
  bool any_capture() const;
  void check_memory(const Work& work);
  void check_races(uintptr_t stream, const Work& work);
  void host_knows(const Clock& clock);
  uintptr_t load(const std::string& source);
  void run_kernel(const Function& function, const std::vector<void*>& arguments, unsigned blocks,
                  unsigned threads);

  std::map<CUdeviceptr, size_t> memory;
  std::vector<std::unique_ptr<std::byte[]>> memory_store;  // kept, so that late use is seen
  std::map<void*, std::unique_ptr<std::byte[]>> pinned;
  std::map<uintptr_t, Stream> streams;
  std::map<uintptr_t, Event> events;
  std::map<uintptr_t, Module> modules;
  std::map<uintptr_t, Function> functions;
  std::map<uintptr_t, std::shared_ptr<Graph>> graphs, executables;
  std::map<uintptr_t, std::string> programs, compiled;
  int contexts = 0, blas_objects = 0;
  bool blas_starts = true, blas_knows_products = true;  // else it finds no algorithm
  bool blas_knows_epilogues = true;                     // else none for products with more behind
  // Of cuDNN: handles with their streams, and descriptors.
  std::map<uintptr_t, uintptr_t> dnn_handles;
  std::set<uintptr_t> dnn_descriptors;
  bool dnn_starts = true, dnn_takes_tensors = true, dnn_knows_engines = true, dnn_executes = true;
  bool dnn_heuristics_answer = true;  // else those of mode A refuse
  bool dnn_knows_followers = true;    // else no engines where more follows a convolution
  Clock host;
  std::vector<Past> past;

 private:
  uintptr_t next_handle_ = 4096;
};

}  // namespace wafer::testing
