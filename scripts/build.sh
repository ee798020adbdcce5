#!/usr/bin/env bash
# Sets up and builds. Usage: scripts/build.sh [PRESET]; default: release. Leaves
# build/<preset>/bin/wafer.
set -euo pipefail
cd "$(dirname "$0")/.."
preset="${1:-release}"
./scripts/setup.sh
cmake --preset "$preset" >"build/configure-$preset.log" 2>&1 ||
  {
    cat "build/configure-$preset.log" >&2
    echo "build: cmake failed; its full text is above" >&2
    exit 1
  }
cmake --build --preset "$preset" -j "${WAFER_BUILD_JOBS:-$(nproc)}"
