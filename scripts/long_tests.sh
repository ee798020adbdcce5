#!/usr/bin/env bash
# Builds the release and runs the tests labelled long: trainings to a promised accuracy, kill -9 at
# random moments, predictions against measurements. Nothing else should run beside them.
# Usage: scripts/long_tests.sh [CTEST_ARGUMENT...], for example -R accuracy.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/test_lib.sh
./scripts/build.sh release
export CTEST_PARALLEL_LEVEL=1
run_tests release -L long -j 1 "$@"
summary
