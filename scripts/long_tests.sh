#!/usr/bin/env bash
# Builds the release and runs the tests labelled long: kill -9 at a hundred random moments, the
# outputs of the large named models, also in ONNX Runtime, fine-tuning, and trainings to the
# accuracies of docs/status.md (an hour). Nothing else should run beside them.
# bench/predictions.py compares predictions with measurements.
# Usage: scripts/long_tests.sh [CTEST_ARGUMENT...], for example -R e2e.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/test_lib.sh
./scripts/build.sh release
export CTEST_PARALLEL_LEVEL=1
run_tests release -L long -j 1 "$@"
summary
