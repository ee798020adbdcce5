#!/usr/bin/env bash
# Sets up the peers that we are compared with, in a virtual environment: PyTorch, ONNX Runtime and
# OpenVINO from the Python package index, and what tests/deploy/check_*.py need. Never part of the
# build or of CI.
# WAFER_PEERS: an environment that exists already; default: build/peers/venv, made here (6 GB).
# Prints the environment's folder as its last line.
set -euo pipefail
cd "$(dirname "$0")/.."
environment="${WAFER_PEERS:-$PWD/build/peers/venv}"
if [ ! -x "$environment/bin/python" ]; then
  echo "bench: setting up the peers in $environment" >&2
  python3 -m venv "$environment"
fi
"$environment/bin/python" - 2>/dev/null <<'PYTHON' ||
import numpy, onnx, onnxruntime, onnxscript, openvino, PIL, safetensors, torch, torchvision
assert torch.__version__.split("+")[0] == "2.15.0"
assert onnxruntime.__version__ == "1.32.0"
PYTHON
  "$environment/bin/pip" install --quiet torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 \
    pillow==13.0.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 openvino==2026.4.1 \
    safetensors==0.8.0
echo "$environment"
