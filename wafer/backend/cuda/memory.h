#pragma once
#include <map>
#include <mutex>
#include <set>

#include "wafer/backend/cuda/api.h"

namespace wafer::cuda {

// Device memory in chunks from the driver, handed out in blocks: a block that is given back serves
// the next request of about its size without a call to the driver. Work on one stream may use a
// block at once when it is handed out again; other streams ask `ready` first.
class MemoryPool {
 public:
  // `chunked`: false asks the driver for each block, so that a tool that watches the driver's
  // allocations sees each.
  MemoryPool(const Driver& driver, bool chunked) : driver_(driver), chunked_(chunked) {}
  // Every block was given back.
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // At least one byte, 512-byte aligned; 0 where the driver has no more.
  CUdeviceptr allocate(size_t bytes, uint64_t now);
  // `now`: a number of the last work enqueued, which may use the block.
  void give_back(CUdeviceptr address, uint64_t now);
  // Gives whole free chunks back to the driver; no work may be under way.
  void trim();

  // The number of the last work that may use the block that holds the address, and its end.
  struct Use {
    uint64_t work;
    CUdeviceptr end;
  };
  Use last_use(CUdeviceptr address, uint64_t now) const;
  size_t bytes_from_driver() const;

 private:
  struct Block {
    size_t bytes;
    CUdeviceptr chunk;
    bool free;
    uint64_t given_back;  // when it last was: no work after that used it until `handed_out`
    uint64_t handed_out;
  };
  using Blocks = std::map<CUdeviceptr, Block>;

  bool add_chunk(size_t bytes);
  void add_free(Blocks::iterator block);
  void remove_free(Blocks::iterator block);
  Blocks::iterator join(Blocks::iterator left, Blocks::iterator right);

  const Driver& driver_;
  bool chunked_;
  mutable std::mutex mutex_;
  Blocks blocks_;                                  // all, by address
  std::set<std::pair<size_t, CUdeviceptr>> free_;  // by size
  std::map<CUdeviceptr, size_t> chunks_;
};

}  // namespace wafer::cuda
