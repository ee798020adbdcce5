#pragma once
#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <utility>

#include "wafer/base/process.h"

namespace wafer::testing {

// What a file from a stranger may cost, whatever it holds: a second of the processor and 64 MiB
// more than twice its size. Holds from the object's making to its end. Sanitizers take memory and
// time of their own, so their builds check neither, nor do those that count lines.
class HostileFileLimits {
 public:
  HostileFileLimits(size_t file_bytes, std::string what)
      : allowed_((int64_t{64} << 20) + 2 * static_cast<int64_t>(file_bytes)),
        what_(std::move(what)) {
    reset_peak_resident_bytes();
    memory_ = resident_bytes();
    seconds_ = processor_seconds();
  }
  ~HostileFileLimits() {
#if !defined(WAFER_SANITIZE) && !defined(WAFER_COVERAGE)
    EXPECT_LE(processor_seconds() - seconds_, 1.0) << what_;
    EXPECT_LE(peak_resident_bytes() - memory_, allowed_) << what_;
#endif
  }
  HostileFileLimits(const HostileFileLimits&) = delete;
  HostileFileLimits& operator=(const HostileFileLimits&) = delete;

 private:
  // Of the process, since another process's work must not fail a test.
  static double processor_seconds() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
  }
  [[maybe_unused]] int64_t allowed_, memory_ = 0;  // builds that check nothing do not read them
  double seconds_ = 0;
  std::string what_;
};

}  // namespace wafer::testing
