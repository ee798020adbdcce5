#pragma once
#include <cstdint>
#include <functional>

namespace wafer {

// The CPUs that this process may run on.
int available_cpus();

// Threads that parallel_for uses when called from here: 1 within a part of it or while a
// SingleThread is alive, else as set. WAFER_THREADS or available_cpus() until set; UserError for
// less than 1 or more than 1024.
int thread_count();
void set_thread_count(int count);

// Sets the number of threads while alive, and restores it after.
class ThreadCountScope {
 public:
  explicit ThreadCountScope(int count) : saved_(thread_count()), count_(count) {
    set_thread_count(count);
  }
  ~ThreadCountScope() { set_thread_count(saved_); }
  ThreadCountScope(const ThreadCountScope&) = delete;
  ThreadCountScope& operator=(const ThreadCountScope&) = delete;

  int count() const { return count_; }

 private:
  int saved_, count_;
};

// Calls body(begin, end) on contiguous parts of [0, count), at most one a thread and none shorter
// than `grain` unless it is the whole. The split depends on count, grain and thread_count() alone,
// so results are the same from run to run. Nested calls run in the caller. An exception of a part
// is rethrown here.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

// Calls body(job, part) on every job below `jobs`. Each of `parts` threads begins with a contiguous
// share of its own, of which parallel_for() would give it as many: what it wrote or read in an
// earlier call is in its own caches, which another's may be far from. A thread that is done takes
// jobs of the others', so that one which has to wait for its CPU holds up no more than one job.
// `part` says whose memory a job may use; what it computes must not depend on it, so results are
// the same from run to run. Otherwise as parallel_for.
void share_jobs(int64_t jobs, int64_t parts, const std::function<void(int64_t, int64_t)>& body);

// Seconds that a value takes from one of two threads to the other and back, the least of some tries
// within about 5 ms; 0 with one thread. On cores with a common cache it takes about 100 ns, on
// those of two chiplets or sockets several times that: what one writes is then as far from the
// other.
double thread_round_trip();

// While alive, what this thread makes and runs uses one thread.
class SingleThread {
 public:
  SingleThread();
  ~SingleThread();
  SingleThread(const SingleThread&) = delete;
  SingleThread& operator=(const SingleThread&) = delete;

 private:
  bool saved_;
};

// Flushes denormals to zero in this thread while alive, and restores the caller's mode after.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned saved_;
};

}  // namespace wafer
