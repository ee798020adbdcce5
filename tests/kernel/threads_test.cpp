#include "wafer/base/threads.h"

#include <gtest/gtest.h>

#include <numeric>
#include <stdexcept>
#include <vector>

namespace wafer {
namespace {

TEST(ShareJobs, EachIsDoneOnceAndAPartDoesOneAtATime) {
  for (int threads : {1, 2, 3}) {
    ThreadCountScope scope(threads);
    for (int64_t jobs : {0, 1, 2, 7, 1000}) {
      for (int64_t parts : {1, 2, 5}) {
        std::vector<int> done(static_cast<size_t>(jobs));
        // Not atomic: only one thread may be a part.
        std::vector<int64_t> by_part(static_cast<size_t>(parts));
        share_jobs(jobs, parts, [&](int64_t job, int64_t part) {
          ++done[static_cast<size_t>(job)];
          ++by_part[static_cast<size_t>(part)];
        });
        EXPECT_EQ(done, std::vector<int>(static_cast<size_t>(jobs), 1));
        EXPECT_EQ(std::accumulate(by_part.begin(), by_part.end(), int64_t{0}), jobs);
      }
    }
  }
}

TEST(ShareJobs, EachTakesItsShareInOrderBeforeAnothers) {
  ThreadCountScope scope(3);
  constexpr int64_t jobs = 11, parts = 3;
  std::vector<std::vector<int64_t>> done(parts);
  share_jobs(jobs, parts,
             [&](int64_t job, int64_t part) { done[static_cast<size_t>(part)].push_back(job); });
  for (int64_t part = 0; part < parts; ++part) {
    int64_t before = -1;
    bool helps = false;
    for (int64_t job : done[static_cast<size_t>(part)]) {
      bool is_own = jobs * part / parts <= job && job < jobs * (part + 1) / parts;
      if (is_own) {
        EXPECT_FALSE(helps) << job;
        EXPECT_GT(job, before);
        before = job;
      }
      helps = helps || !is_own;
    }
  }
}

TEST(ShareJobs, RethrowsAndRunsInTheCallerWithinAnother) {
  ThreadCountScope scope(2);
  EXPECT_THROW(share_jobs(8, 2,
                          [](int64_t job, int64_t) {
                            if (job == 5) throw std::runtime_error("job 5");
                          }),
               std::runtime_error);
  std::vector<int> done(16);
  share_jobs(4, 2, [&](int64_t outer, int64_t) {
    share_jobs(4, 2, [&](int64_t inner, int64_t part) {
      EXPECT_EQ(part, 0);
      ++done[static_cast<size_t>(4 * outer + inner)];
    });
  });
  EXPECT_EQ(done, std::vector<int>(16, 1));
}

TEST(ThreadRoundTrip, TakesTimeBetweenTwoThreads) {
  {
    ThreadCountScope one(1);
    EXPECT_EQ(thread_round_trip(), 0);
  }
  ThreadCountScope two(2);
  double seconds = thread_round_trip();
  EXPECT_GT(seconds, 1e-9);
  EXPECT_LT(seconds, 1);
  SingleThread alone;
  EXPECT_EQ(thread_round_trip(), 0);
}

}  // namespace
}  // namespace wafer
