#pragma once
#include <vector>

namespace wafer::cpu {

// While alive, denormals are flushed to zero in every thread of the calling thread's OpenMP team,
// where oneDNN works; restores their modes after. parallel_for sees to its own threads.
class FlushDenormalsInTeam {
 public:
  FlushDenormalsInTeam();
  ~FlushDenormalsInTeam();
  FlushDenormalsInTeam(const FlushDenormalsInTeam&) = delete;
  FlushDenormalsInTeam& operator=(const FlushDenormalsInTeam&) = delete;

 private:
  std::vector<unsigned> saved_;  // each thread's mode; empty where there is no team
};

}  // namespace wafer::cpu
