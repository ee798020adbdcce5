#!/usr/bin/env bash
# Builds with ThreadSanitizer and runs the fast tests. This build has the library's own thread pool
# in place of OpenMP and no oneDNN: libgomp is not instrumented and would only give false reports.
# Usage: scripts/tsan.sh [CTEST_ARGUMENT...], for example -R threads.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/test_lib.sh
./scripts/build.sh tsan
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1"
# More threads than cores would take, so that a small machine interleaves them too.
export WAFER_THREADS="${WAFER_THREADS:-4}"
run_tests tsan -L fast "$@"
summary
