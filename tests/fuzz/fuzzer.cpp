// A libFuzzer program for the reader that WAFER_FUZZ_TARGET names.
#include "tests/fuzz/targets.h"
#include "wafer/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const wafer::testing::FuzzTarget& read =
      wafer::testing::fuzz_targets().at(WAFER_FUZZ_TARGET);
  try {
    read({data, size});
  } catch (const wafer::UserError&) {
    // Refused, as it should be.
  }
  return 0;
}
