#!/usr/bin/env bash
# Measures select's predictions, compares the CIFAR-10 CNN's training with PyTorch's, in turns, and
# renews docs/benchmarks.md.
# Nothing else should run on the machine. Usage: bench/run.sh [OPTION...], for example
#   bench/run.sh --rounds 3                       against the eager default
#   bench/run.sh --modes "" "--preloaded --fused --channels-last"
# See bench/compare.py --help.
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/build.sh release
peers="$(./bench/setup_peers.sh | tail -1)"
python3 bench/predictions.py --document docs/benchmarks.md
exec python3 bench/compare.py --peer-python "$peers/bin/python" --document docs/benchmarks.md "$@"
