#include "wafer/backend/cuda/memory.h"

#include <algorithm>

#include "wafer/base/error.h"

namespace wafer::cuda {

namespace {
constexpr size_t grain = 512;
constexpr size_t mebibyte = size_t{1} << 20;

size_t rounded(size_t bytes, size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// What to ask the driver for, so that few chunks serve many small values and a large one wastes
// little.
size_t chunk_for(size_t bytes) {
  if (bytes <= mebibyte) return 2 * mebibyte;
  if (bytes <= 10 * mebibyte) return 20 * mebibyte;
  return rounded(bytes, 2 * mebibyte);
}
}  // namespace

MemoryPool::~MemoryPool() {
  for (const auto& [address, bytes] : chunks_) driver_.free(address);
}

bool MemoryPool::add_chunk(size_t bytes) {
  CUdeviceptr address = 0;
  if (driver_.allocate(&address, bytes) != CUDA_SUCCESS) return false;
  chunks_[address] = bytes;
  add_free(blocks_.emplace(address, Block{bytes, address, true, 0, 0}).first);
  return true;
}

void MemoryPool::add_free(Blocks::iterator block) {
  block->second.free = true;
  free_.insert({block->second.bytes, block->first});
}

void MemoryPool::remove_free(Blocks::iterator block) {
  block->second.free = false;
  free_.erase({block->second.bytes, block->first});
}

CUdeviceptr MemoryPool::allocate(size_t bytes, uint64_t now) {
  size_t wanted = rounded(std::max<size_t>(bytes, 1), grain);
  std::lock_guard lock(mutex_);
  auto best = free_.lower_bound({wanted, 0});
  // A value of its own chunk size does not take a much larger chunk's place.
  bool wasteful = best != free_.end() && wanted > mebibyte && best->first > 4 * wanted && chunked_;
  if (best == free_.end() || wasteful) {
    if (!add_chunk(chunked_ ? chunk_for(wanted) : wanted) && best == free_.end()) return 0;
    best = free_.lower_bound({wanted, 0});
  }
  auto block = blocks_.find(best->second);
  remove_free(block);
  block->second.handed_out = now;
  if (size_t rest = block->second.bytes - wanted; rest > 0) {
    block->second.bytes = wanted;
    Block other = block->second;
    other.bytes = rest;
    add_free(blocks_.emplace(block->first + wanted, other).first);
  }
  return block->first;
}

MemoryPool::Blocks::iterator MemoryPool::join(Blocks::iterator left, Blocks::iterator right) {
  left->second.bytes += right->second.bytes;
  left->second.given_back = std::max(left->second.given_back, right->second.given_back);
  blocks_.erase(right);
  return left;
}

void MemoryPool::give_back(CUdeviceptr address, uint64_t now) {
  std::lock_guard lock(mutex_);
  auto block = blocks_.find(address);
  if (!chunked_) {
    driver_.free(address);
    chunks_.erase(address);
    blocks_.erase(block);
    return;
  }
  block->second.given_back = now;
  auto joins = [&](Blocks::iterator other) {
    return other->second.free && other->second.chunk == block->second.chunk;
  };
  if (auto next = std::next(block); next != blocks_.end() && joins(next)) {
    remove_free(next);
    block = join(block, next);
  }
  if (block != blocks_.begin() && joins(std::prev(block))) {
    auto before = std::prev(block);
    remove_free(before);
    block = join(before, block);
  }
  add_free(block);
}

void MemoryPool::trim() {
  std::lock_guard lock(mutex_);
  for (auto chunk = chunks_.begin(); chunk != chunks_.end();) {
    auto block = blocks_.find(chunk->first);
    if (!block->second.free || block->second.bytes != chunk->second) {
      ++chunk;
      continue;
    }
    remove_free(block);
    blocks_.erase(block);
    driver_.free(chunk->first);
    chunk = chunks_.erase(chunk);
  }
}

MemoryPool::Use MemoryPool::last_use(CUdeviceptr address, uint64_t now) const {
  std::lock_guard lock(mutex_);
  auto next = blocks_.upper_bound(address);
  WAFER_CHECK(next != blocks_.begin(), "an address that is not on the device");
  auto block = std::prev(next);
  CUdeviceptr end = block->first + block->second.bytes;
  WAFER_CHECK(address < end && !block->second.free, "an address of memory that was given back");
  // Nothing was enqueued since it was handed out: what used it before, if anything, is known.
  bool untouched = block->second.handed_out == now;
  return {untouched ? block->second.given_back : now, end};
}

size_t MemoryPool::bytes_from_driver() const {
  std::lock_guard lock(mutex_);
  size_t total = 0;
  for (const auto& [address, bytes] : chunks_) total += bytes;
  return total;
}

}  // namespace wafer::cuda
