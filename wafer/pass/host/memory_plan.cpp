#include <algorithm>
#include <numeric>

#include "wafer/pass/host/host_program.h"

namespace wafer {

size_t plan_offsets(std::vector<MemoryBlock>& blocks) {
  std::vector<size_t> by_size(blocks.size());
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](size_t a, size_t b) { return blocks[a].bytes > blocks[b].bytes; });
  std::vector<size_t> placed;  // sorted by offset
  size_t total = 0;
  for (size_t index : by_size) {
    MemoryBlock& block = blocks[index];
    if (block.bytes == 0) continue;
    // The lowest gap between blocks that are alive at the same time.
    size_t offset = 0;
    for (size_t other_index : placed) {
      const MemoryBlock& other = blocks[other_index];
      if (other.last < block.first || block.last < other.first) continue;
      if (offset + block.bytes <= other.offset) break;
      offset = std::max(offset, (other.offset + other.bytes + 63) / 64 * 64);
    }
    block.offset = offset;
    auto at =
        std::upper_bound(placed.begin(), placed.end(), offset,
                         [&](size_t value, size_t other) { return value < blocks[other].offset; });
    placed.insert(at, index);
    total = std::max(total, offset + block.bytes);
  }
  return (total + 63) / 64 * 64;
}

}  // namespace wafer
