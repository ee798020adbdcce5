#include "wafer/backend/cpu/team.h"

#include "wafer/base/threads.h"

#if defined(WAFER_OPENMP) && defined(WAFER_ONEDNN) && defined(__x86_64__)
#include <omp.h>
#include <xmmintrin.h>
#define WAFER_FLUSH_TEAM
#endif

namespace wafer::cpu {

#ifdef WAFER_FLUSH_TEAM
namespace {
constexpr unsigned flush_bits = 0x8040u;  // flush-to-zero and denormals-are-zero in MXCSR
}

FlushDenormalsInTeam::FlushDenormalsInTeam() {
  int threads = thread_count();
  if (threads < 2 || omp_in_parallel()) return;
  saved_.resize(static_cast<size_t>(threads));
#pragma omp parallel num_threads(threads)
  {
    auto index = static_cast<size_t>(omp_get_thread_num());
    saved_[index] = _mm_getcsr();
    _mm_setcsr(saved_[index] | flush_bits);
  }
}

FlushDenormalsInTeam::~FlushDenormalsInTeam() {
  if (saved_.empty()) return;
#pragma omp parallel num_threads(static_cast <int>(saved_.size()))
  {
    auto index = static_cast<size_t>(omp_get_thread_num());
    _mm_setcsr((_mm_getcsr() & ~flush_bits) | (saved_[index] & flush_bits));
  }
}
#else
FlushDenormalsInTeam::FlushDenormalsInTeam() = default;
FlushDenormalsInTeam::~FlushDenormalsInTeam() = default;
#endif

}  // namespace wafer::cpu
