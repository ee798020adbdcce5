#include "tests/e2e/kill.h"
#include "wafer/base/strings.h"

namespace wafer {
namespace {

TEST(Kill, AHundredKillsOfACnnChangeNothing) {
  testing::TemporaryFolder folder;
  testing::expect_kills_change_nothing(
      folder.path(),
      split("cnn --data shapes --epochs 1 --batch-size 64 --seed 3 --checkpoint-steps 10 "
            "-o conv1=8 -o conv2=8 -o hidden=32",
            ' '),
      100, 1);
}

}  // namespace
}  // namespace wafer
