#!/usr/bin/env bash
# Runs a Python script with the environment that scripts/setup.sh makes; exits with 77, which CTest
# counts as skipped, where there is none. Usage: with_onnx_runtime.sh FOLDER SCRIPT [ARGUMENT...]
set -euo pipefail
folder="$1"
shift
if [ ! -f "$folder/.complete" ]; then
  echo "skipped: there is no ONNX Runtime in $folder; scripts/setup.sh installs it"
  exit 77
fi
exec "$folder/bin/python" "$@"
