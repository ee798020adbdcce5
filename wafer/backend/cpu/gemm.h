#pragma once
#include <algorithm>
#include <vector>

#include "wafer/backend/cpu/simd/gemm.h"

namespace wafer::cpu {

// Products on all threads. Each thread has a share of c, or of the depth, so chosen that it reads
// and writes as much as can be of what it owns: where the caches of two cores have nothing in
// common, a line that the other wrote comes from as far as memory. Owned is what the usual split
// between threads gives a thread of a tensor, a contiguous part.
class Gemm {
 public:
  enum class Columns { packed, not_packed };  // which of run() and run_packing() is used

  // Of operands with the sizes and strides of `args`, whose pointers are not read, by at most
  // `threads` threads. `finishes`: args.finish will not be empty.
  Gemm(const GemmArgs& args, int threads, Columns b, bool finishes);

  int64_t packed_floats() const { return gemm_packed_floats(n_, k_); }  // of b
  // What all threads take of thread_memory() in run() or run_packing().
  size_t thread_bytes() const;

  void pack(const GemmArgs& args, float* packed) const;
  // All but args.b.
  void run(const GemmArgs& args, const float* packed) const;
  // Packs some panels and some of the depth at a time, which stay in cache until they are read.
  void run_packing(const GemmArgs& args) const;

 private:
  struct Part {
    int64_t first_row, last_row, first_panel, last_panel;
  };

  void add_parts(int64_t rows, int64_t columns, bool in_turns);
  int64_t thread_floats() const;
  void run_by_depth(const GemmArgs& args) const;

  int64_t m_, n_, k_, panels_;
  int64_t depth_, packed_panels_;  // of what a thread packs at a time
  int64_t shares_ = 1;             // threads
  bool packs_;                     // b
  bool by_depth_ = false;          // shares are of the depth, not of c
  std::vector<Part> parts_;        // of c: each thread's share in order, of as many parts
};

}  // namespace wafer::cpu
