#!/usr/bin/env bash
# Measures select's predictions; checks that wafer and PyTorch train alike; compares the training of
# the CIFAR-10 CNN and of an MLP on MNIST with PyTorch's, and train steps and inference with the
# best of all peers, in turns; and renews docs/benchmarks.md. bf16 is measured where the processor
# multiplies it. Takes three hours on 2 cores, little more than one for f32 alone. Nothing else
# should run on the machine. Usage: bench/run.sh [OPTION...], for example
#   bench/run.sh --rounds 3
# The options go to both bench/compare.py and bench/steps.py: those that both know.
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/build.sh release
peers="$(./bench/setup_peers.sh | tail -1)"
python3 bench/predictions.py --document docs/benchmarks.md
"$peers/bin/python" bench/agreement.py
for comparison in compare steps; do
  python3 "bench/$comparison.py" --peer-python "$peers/bin/python" \
    --document docs/benchmarks.md "$@"
done
