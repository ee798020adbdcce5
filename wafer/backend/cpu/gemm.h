#pragma once
#include "wafer/backend/cpu/simd/gemm.h"

namespace wafer::cpu {

// Bytes of workspace that `gemm` needs with `parts` parts.
size_t gemm_workspace_bytes(int parts);

// gemm_block over c cut into `parts` ranges of rows or of columns, whichever there are more of, in
// parallel. `workspace` is 64-byte aligned. `multiply` is gemm_block_kernel().
void gemm(const GemmArgs& args, int parts, float* workspace,
          void (*multiply)(const GemmArgs&, float*));

}  // namespace wafer::cpu
