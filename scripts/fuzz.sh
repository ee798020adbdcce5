#!/usr/bin/env bash
# Builds the libFuzzer programs of the readers of files and runs each on arbitrary bytes:
#   scripts/fuzz.sh [--runs N] [--seed N] [SECONDS] [READER...]   default: 60 seconds each, all
# With --runs a reader ends after N inputs, or after SECONDS where that is sooner. With --seed it
# starts from the committed corpus alone and takes the same inputs each time, as many as it gets to.
# As many readers run at a time as there are processors.
# Needs clang 14 with its runtime (Debian: clang-14, libclang-rt-14-dev). Prints how many inputs
# each reader took, and ends with 1 when one of them did anything but read or refuse. What was found
# lies in build/fuzz/found, and is kept by copying it into tests/fuzz/corpus under a name that says
# what it is.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=-1
seed=0
while [ "${1:-}" = --runs ] || [ "${1:-}" = --seed ]; do
  declare "${1#--}=${2:?fuzz: $1 N}"
  shift 2
done
seconds="${1:-60}"
shift || true
readers=("$@")
[ "${#readers[@]}" -gt 0 ] || readers=(onnx safetensors npy toml checkpoint graph)
for tool in clang++-14 cmake ninja; do
  command -v "$tool" >/dev/null && continue
  echo "fuzz: $tool is missing: apt-get install clang-14 cmake ninja-build" >&2
  exit 2
done
ls "$(clang++-14 -print-resource-dir)"/lib/linux/libclang_rt.fuzzer-* >/dev/null 2>&1 ||
  { echo "fuzz: clang's runtime is missing: apt-get install libclang-rt-14-dev" >&2; exit 2; }
cmake --preset asan-ubsan >/dev/null
cmake --build --preset asan-ubsan --target "${readers[@]/#/fuzz_}"

found=build/fuzz/found
mkdir -p "$found"

# fuzz READER: prints a line; status 1 when something was found.
fuzz() {
  local reader="$1" result="no finding" status=0
  local grown="build/fuzz/corpus/$reader" log="build/fuzz/$reader.log"
  if [ "$seed" != 0 ]; then rm -rf "$grown"; fi
  mkdir -p "$grown"
  # Without leaks: libFuzzer would look for them after every input.
  WAFER_THREADS=1 WAFER_LOG=error "build/asan-ubsan/bin/fuzz_$reader" \
    "$grown" "tests/fuzz/corpus/$reader" -seed="$seed" -runs="$runs" -max_total_time="$seconds" \
    -max_len=4096 -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=64 -detect_leaks=0 \
    -print_final_stats=1 -artifact_prefix="$found/$reader-" >"$log" 2>&1 ||
    { result="FOUND: see $log" status=1; }
  local inputs memory took
  inputs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
  memory="$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")"
  took="$(sed -n 's/^Done [0-9]* runs in \([0-9]*\) .*/\1/p' "$log")"
  echo "$reader: ${inputs:-?} inputs in ${took:-?} s, at most ${memory:-?} MB: $result"
  return "$status"
}

export -f fuzz
export found seconds runs seed
printf '%s\n' "${readers[@]}" | xargs -P "$(nproc)" -I {} bash -c 'fuzz {}' || exit 1
