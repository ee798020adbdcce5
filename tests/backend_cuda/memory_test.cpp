#include "wafer/backend/cuda/memory.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/backend_cuda/driver_stub.h"

namespace wafer {
namespace {
using testing::DriverStub;

TEST(MemoryPool, BlocksNeverOverlapAndChunksAreShared) {
  DriverStub& stub = DriverStub::fresh();
  {
    cuda::MemoryPool pool(stub.driver(), true);
    std::mt19937 random(5);
    std::map<CUdeviceptr, size_t> blocks;
    for (int turn = 0; turn < 2000; ++turn) {
      if (blocks.empty() || random() % 3 != 0) {
        size_t bytes = 1 + random() % (random() % 10 == 0 ? 3000000 : 5000);
        CUdeviceptr address = pool.allocate(bytes, 1);
        ASSERT_NE(address, 0u);
        EXPECT_EQ(address % 512, 0u);
        auto next = blocks.lower_bound(address);
        if (next != blocks.end()) {
          EXPECT_LE(address + bytes, next->first);
        }
        if (next != blocks.begin()) {
          EXPECT_LE(std::prev(next)->first + std::prev(next)->second, address);
        }
        blocks[address] = bytes;
      } else {
        auto block = std::next(blocks.begin(), static_cast<int>(random() % blocks.size()));
        pool.give_back(block->first, 1);
        blocks.erase(block);
      }
    }
    EXPECT_LT(stub.count("allocate"), 200u);
    for (const auto& [address, unused] : blocks) pool.give_back(address, 1);
    pool.trim();
    EXPECT_EQ(pool.bytes_from_driver(), 0u);
    EXPECT_EQ(stub.count("allocate"), stub.count("free"));
  }
  EXPECT_TRUE(stub.violations.empty());
  EXPECT_TRUE(stub.leaks().empty());
}

TEST(MemoryPool, KnowsTheLastWorkThatMayUseABlock) {
  DriverStub& stub = DriverStub::fresh();
  cuda::MemoryPool pool(stub.driver(), true);
  CUdeviceptr address = pool.allocate(1000, 3);
  EXPECT_EQ(pool.last_use(address + 999, 3).work, 0u);  // fresh from the driver
  EXPECT_EQ(pool.last_use(address, 7).work, 7u);        // work was enqueued since
  pool.give_back(address, 7);
  EXPECT_EQ(pool.allocate(1000, 9), address);
  EXPECT_EQ(pool.last_use(address, 9).work, 7u);
  pool.give_back(address, 9);
}

TEST(MemoryPool, GivesNothingWhereTheDriverHasNoMore) {
  DriverStub& stub = DriverStub::fresh();
  stub.memory_bytes = size_t{30} << 20;
  cuda::MemoryPool pool(stub.driver(), true);
  CUdeviceptr first = pool.allocate(size_t{20} << 20, 1);
  EXPECT_NE(first, 0u);
  EXPECT_EQ(pool.allocate(size_t{20} << 20, 1), 0u);
  pool.give_back(first, 1);
  EXPECT_EQ(pool.allocate(size_t{20} << 20, 1), first);
  pool.give_back(first, 1);
}

}  // namespace
}  // namespace wafer
