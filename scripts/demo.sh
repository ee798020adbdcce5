#!/usr/bin/env bash
# Sets up, builds, and runs the main job: the CNN through select, deploy, prepare data, train, infer
# and evaluate. Usage: scripts/demo.sh [OPTION...]; options go to `wafer demo`
# (see wafer demo --help). Leaves runs/demo with checkpoints, logs, metrics and report.html.
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/build.sh release
exec build/release/bin/wafer demo --run runs/demo "$@"
