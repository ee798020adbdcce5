#!/usr/bin/env bash
# Sets up and builds. Usage: scripts/build.sh [PRESET]; default: release. Leaves
# build/<preset>/bin/wafer.
set -euo pipefail
cd "$(dirname "$0")/.."
preset="${1:-release}"
case "$preset" in
  asan-ubsan) ./scripts/setup.sh --sanitizers ;;
  *) ./scripts/setup.sh ;;
esac
log="build/configure-$preset.log"
configure() {
  cmake --preset "$preset" >"$log" 2>&1 ||
    {
      cat "$log" >&2
      echo "build: cmake failed; its full text is above" >&2
      exit 1
    }
}
configure
# A folder that another compiler was chosen for is configured without the preset's other variables
# the first time.
if grep -q 'may have to reset some variables' "$log"; then configure; fi
cmake --build --preset "$preset" -j "${WAFER_BUILD_JOBS:-$(nproc)}"
