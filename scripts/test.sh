#!/usr/bin/env bash
# Sets up, lints, builds and runs every test but the long ones: first the release build's, then the
# fast ones again under AddressSanitizer (with leaks) and UndefinedBehaviorSanitizer, then each
# reader of files under a fuzzer for a minute.
# Usage: scripts/test.sh [--no-sanitizers]. The last line is "N passed, N failed, N skipped".
# Long tests, longer fuzzing, ThreadSanitizer and coverage: scripts/long_tests.sh, fuzz.sh, tsan.sh
# and coverage.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/test_lib.sh
sanitizers=1
[ "${1:-}" = --no-sanitizers ] && sanitizers=0

started=$SECONDS
./scripts/setup.sh
lint=0
./scripts/lint.sh || lint=1
./scripts/build.sh release
run_tests release -LE long
if [ "$sanitizers" = 1 ]; then
  ./scripts/build.sh asan-ubsan
  export ASAN_OPTIONS="detect_leaks=1:strict_string_checks=1:allocator_may_return_null=1"
  export LSAN_OPTIONS="suppressions=$PWD/scripts/lsan.supp:print_suppressions=0"
  export UBSAN_OPTIONS="print_stacktrace=1"
  run_tests asan-ubsan -L fast
  # The same inputs in each run, so that a change is judged by what it changed.
  ./scripts/fuzz.sh --seed 1 60 || failed=$((failed + 1))
fi
echo "test: $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s"
summary "$lint"
