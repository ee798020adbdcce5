#include "wafer/base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "wafer/base/env.h"
#include "wafer/base/error.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif
#ifdef WAFER_OPENMP
#include <omp.h>
#endif

namespace wafer {

int available_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

namespace {
// More than any machine gains from, and fewer than a process may start.
constexpr int max_threads = 1024;

int initial_thread_count() {
  auto text = environment("WAFER_THREADS");
  if (!text) return available_cpus();
  int count = 0;
  auto [end, status] = std::from_chars(text->data(), text->data() + text->size(), count);
  WAFER_REQUIRE(status == std::errc() && end == text->data() + text->size() && count > 0,
                "WAFER_THREADS", "not a positive whole number: '", *text, "'");
  WAFER_REQUIRE(count <= max_threads, "WAFER_THREADS", "too many threads; got ", count,
                "; expected at most ", max_threads);
  return count;
}

std::atomic<int>& thread_count_setting() {
  static std::atomic<int> count = initial_thread_count();
  return count;
}

thread_local bool inside_parallel_region = false;

// Runs body(part) for part in [0, parts), part 0 in the caller.
void run_parts(int parts, const std::function<void(int)>& body);

#ifdef WAFER_OPENMP
void run_parts(int parts, const std::function<void(int)>& body) {
#pragma omp parallel for num_threads(parts) schedule(static, 1)
  for (int part = 0; part < parts; ++part) body(part);
}
#else
// A fixed set of workers that wait for the next region.
class Pool {
 public:
  ~Pool() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
  }

  void run(int parts, const std::function<void(int)>& body) {
    std::lock_guard region(region_mutex_);
    {
      std::lock_guard lock(mutex_);
      while (static_cast<int>(workers_.size()) < parts - 1) {
        workers_.emplace_back([this, part = static_cast<int>(workers_.size()) + 1] { work(part); });
      }
      body_ = &body;
      parts_ = parts;
      pending_ = parts - 1;
      ++generation_;
    }
    wake_.notify_all();
    body(0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return pending_ == 0; });
  }

 private:
  void work(int part) {
    uint64_t seen = 0;
    while (true) {
      const std::function<void(int)>* body = nullptr;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stopping_ || (generation_ != seen && part < parts_); });
        if (stopping_) return;
        seen = generation_;
        body = body_;
      }
      (*body)(part);
      std::lock_guard lock(mutex_);
      if (--pending_ == 0) done_.notify_one();
    }
  }

  std::mutex region_mutex_, mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
  const std::function<void(int)>* body_ = nullptr;
  int parts_ = 0, pending_ = 0;
  uint64_t generation_ = 0;
  bool stopping_ = false;
};

void run_parts(int parts, const std::function<void(int)>& body) {
  static Pool pool;
  pool.run(parts, body);
}
#endif
}  // namespace

int thread_count() {
  return inside_parallel_region ? 1 : thread_count_setting().load();
}

SingleThread::SingleThread() : saved_(std::exchange(inside_parallel_region, true)) {}
SingleThread::~SingleThread() {
  inside_parallel_region = saved_;
}

void set_thread_count(int count) {
  WAFER_REQUIRE(count > 0, "threads", "the number of threads must be positive; got ", count);
  WAFER_REQUIRE(count <= max_threads, "threads", "too many threads; got ", count,
                "; expected at most ", max_threads);
  thread_count_setting() = count;
#ifdef WAFER_OPENMP
  omp_set_num_threads(count);  // oneDNN reads it from the calling thread
#endif
}

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  int64_t parts = std::min<int64_t>(thread_count(), count / std::max<int64_t>(grain, 1));
  if (parts <= 1) {
    body(0, count);
    return;
  }
  std::exception_ptr failure;
  std::mutex failure_mutex;
  run_parts(static_cast<int>(parts), [&](int part) {
    FlushDenormals flush;
    SingleThread alone;
    try {
      body(count * part / parts, count * (part + 1) / parts);
    } catch (...) {
      std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
}

void share_jobs(int64_t jobs, int64_t parts, const std::function<void(int64_t, int64_t)>& body) {
  parts = std::min(parts, jobs);
  // Each part's next job: threads that count in a line of their own do not wait for each other.
  struct alignas(64) Next {
    std::atomic<int64_t> job;
  };
  std::vector<Next> next(static_cast<size_t>(parts));
  for (int64_t part = 0; part < parts; ++part)
    next[static_cast<size_t>(part)].job = jobs * part / parts;
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      for (int64_t i = 0; i < parts; ++i) {
        int64_t of = (part + i) % parts, last = jobs * (of + 1) / parts;
        std::atomic<int64_t>& from = next[static_cast<size_t>(of)].job;
        for (int64_t job = from++; job < last; job = from++) body(job, part);
      }
    }
  });
}

double thread_round_trip() {
  using Clock = std::chrono::steady_clock;
  constexpr int trips = 500, most_tries = 20;
  constexpr auto limit = std::chrono::milliseconds(5);
  if (thread_count() < 2) return 0;
  alignas(64) std::atomic<int> ball = 0;  // counts throws; negative: the last one was
  double least = 0;
  auto wait_for = [&](auto&& arrived) {
    for (int spins = 1; !arrived(ball.load(std::memory_order_acquire)); ++spins) {
      if (spins % 4096 == 0) std::this_thread::yield();  // the other may need this CPU
    }
  };
  parallel_for(2, 1, [&](int64_t begin, int64_t end) {
    if (end - begin == 2) return;
    if (begin == 1) {
      int caught = 0;
      while (caught >= 0) {
        wait_for([&](int now) { return now < 0 || now == caught + 1; });
        caught = ball.load(std::memory_order_acquire);
        if (caught >= 0) ball.store(++caught, std::memory_order_release);
      }
      return;
    }
    int thrown = 0;
    auto start = Clock::now(), now = start;
    for (int attempt = 0; attempt < most_tries && now - start < limit; ++attempt) {
      auto before = now;
      for (int i = 0; i < trips; ++i, thrown += 2) {
        ball.store(thrown + 1, std::memory_order_release);
        wait_for([&](int seen) { return seen == thrown + 2; });
      }
      now = Clock::now();
      double seconds = std::chrono::duration<double>(now - before).count() / trips;
      if (least == 0 || seconds < least) least = seconds;
    }
    ball.store(-1, std::memory_order_release);
  });
  return least;
}

// Flush-to-zero and denormals-are-zero are bits 15 and 6 of MXCSR.
#if defined(__x86_64__)
FlushDenormals::FlushDenormals() : saved_(_mm_getcsr()) {
  _mm_setcsr(saved_ | 0x8040u);
}
FlushDenormals::~FlushDenormals() {
  _mm_setcsr((_mm_getcsr() & ~0x8040u) | (saved_ & 0x8040u));
}
#else
FlushDenormals::FlushDenormals() : saved_(0) {}
FlushDenormals::~FlushDenormals() = default;
#endif

}  // namespace wafer
