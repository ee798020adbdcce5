#pragma once
#include <cstddef>
#include <cstdint>

namespace wafer::cpu::onednn {

// oneDNN's GEMM, which it takes for products where there is no AVX-512, does not use the scratchpad
// that the caller brings: it allocates in each call.
bool allocates_itself(const char* implementation);

// About the bytes it allocates for [rows, inner] x [inner, columns] in f32: each thread packs its
// share of the columns and a block of 384 rows, for up to 256 of the inner dimension.
size_t gemm_workspace_bytes(int64_t inner, int64_t columns, int threads);

// Keeps the heap from growing by what such calls allocate and free; to be called before each of
// them with the number of its threads.
void let_freed_memory_merge(int threads);

}  // namespace wafer::cpu::onednn
