#!/usr/bin/env bash
# Everything worth doing in a short spell on a machine with an NVIDIA GPU, the most valuable first.
# The machine needs the driver, the CUDA toolkit's NVRTC, cuBLASLt and cuDNN for speed, and no
# network; Python with PyTorch for the comparisons.
#
#   bench/gpu.sh --pack FILE.tar.gz   here: builds, and packs programs, libraries and scripts
#   bench/gpu.sh [DATA [RESULTS]]     there, in the unpacked folder or a checkout that builds
#
# DATA: folder of data sets (default: data); RESULTS: default build/gpu. A stage takes at most nine
# minutes, leaves RESULTS/<stage>.log and is not run again once it has ended well; a second call
# goes on with the first that has not. RESULTS/figures.txt has what belongs into docs/benchmarks.md.
set -uo pipefail
cd "$(dirname "$0")/.."

pack() {
  ./scripts/setup.sh && cmake --preset cuda && cmake --build build/cuda -j "$(nproc)" || exit 1
  local folder
  folder="$(mktemp -d)" || exit 1
  mkdir -p "$folder/wafer/build/cuda/bin" "$folder/wafer/build/cuda/lib"
  cp build/cuda/bin/{wafer,test_op,test_backend_cuda} "$folder/wafer/build/cuda/bin/"
  cp -a build/cuda/lib/libwafer*.so* "$folder/wafer/build/cuda/lib/"
  # What the programs link against, but for the C library, whose parts belong together.
  ldd build/cuda/bin/* build/cuda/lib/libwafer*.so | awk '$3 ~ /^\// { print $3 }' | sort -u |
    grep -Ev '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so|/libwafer' |
    xargs -I{} cp -L {} "$folder/wafer/build/cuda/lib/"
  mkdir -p "$folder/wafer/docs"
  cp -r bench tests "$folder/wafer/"
  cp docs/support.md "$folder/wafer/docs/"
  git describe --always --dirty > "$folder/wafer/commit.txt"
  tar -C "$folder" -czf "$1" wafer && rm -r "$folder" && ls -l "$1"
}

if [ "${1:-}" = --pack ]; then
  pack "${2:?bench/gpu.sh --pack FILE.tar.gz}"
  exit
fi

data="${1:-data}"
results="${2:-build/gpu}"
mkdir -p "$results"
bin=build/cuda/bin
export LD_LIBRARY_PATH="$PWD/build/cuda/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export WAFER_DATA="$data" WAFER_CACHE="$PWD/$results/cache"
python="${PYTHON:-python3}"
failures=0

figure() { tee -a "$results/figures.txt"; }
last_line() { tail -n 1 "$results/$1.log"; }

# stage NAME COMMAND...
stage() {
  local name="$1"
  shift
  if [ -e "$results/$name.done" ]; then
    echo "$name: done before"
    return
  fi
  local start=$SECONDS
  if timeout 540 "$@" > "$results/$name.log" 2>&1; then
    touch "$results/$name.done"
    echo "$name: done in $((SECONDS - start)) s"
  else
    echo "$name: failed with $? after $((SECONDS - start)) s; see $results/$name.log"
    failures=$((failures + 1))
    return 1
  fi
}

[ -x "$bin/wafer" ] || stage configure cmake --preset cuda || exit 1
[ -x "$bin/wafer" ] || stage build cmake --build build/cuda -j "$(nproc)" || exit 1
stage devices "$bin/wafer" devices || exit 1
grep -A3 '^cuda:0' "$results/devices.log" | figure
grep -q '^cuda:0' "$results/devices.log" || { cat "$results/devices.log"; exit 1; }

export WAFER_TEST_DEVICE=cuda:0
stage first_op "$bin/test_op" '--gtest_filter=*Ops.test/add:*Ops.test/matmul' --gtest_random_seed=1
for part in 0 1 2 3; do
  stage "ops_$part" env GTEST_TOTAL_SHARDS=4 GTEST_SHARD_INDEX=$part \
    "$bin/test_op" '--gtest_filter=*Ops.test/*' --gtest_random_seed=1
done
grep -hE '^\[  (PASSED|FAILED)  \]' "$results"/ops_*.log | sort | uniq -c | figure
stage cnn_step "$bin/wafer" bench cnn --device cuda:0 --json && last_line cnn_step | figure
stage cnn_profile "$bin/wafer" bench cnn --device cuda:0 --profile
stage cnn_accuracy "$bin/wafer" train cnn --data cifar10 --device cuda:0 --epochs 10 --seed 0 \
  --json && last_line cnn_accuracy | figure
# name of bench/steps.py, work
while read -r model work; do
  stage "peer_${model}_$work" "$python" bench/steps.py --wafer "$bin/wafer" --device cuda:0 \
    --peer-python "$python" --models "$model" --work "$work" --rounds 3 --seconds 1 &&
    grep '^|' "$results/peer_${model}_$work.log" | figure
done <<'STAGES'
cnn train
resnet18_cifar train
resnet50 train
resnet50 infer
lstm train
encoder train
resnet18 infer
lstm infer
encoder infer
STAGES
if command -v compute-sanitizer > /dev/null; then
  stage sanitizer compute-sanitizer --error-exitcode 9 \
    "$bin/test_op" '--gtest_filter=*Ops.test/*' --gtest_random_seed=1
else
  echo "sanitizer: no compute-sanitizer is here"
fi
echo "figures in $results/figures.txt; $failures stages failed"
[ "$failures" = 0 ]
