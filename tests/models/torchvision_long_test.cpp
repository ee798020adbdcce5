// The larger of the named models against PyTorch and torchvision, as torchvision_test.cpp.
#include <gtest/gtest.h>

#include "tests/models/filled.h"

using namespace wafer;

TEST(LargeModels, Outputs) {
  testing_models::check_outputs(WAFER_SOURCE_DIR "/tests/models/expected/large/outputs.json");
}
