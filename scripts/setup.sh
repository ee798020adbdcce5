#!/usr/bin/env bash
# Installs what the build needs: system packages where they are missing, oneDNN 3.2 from its wheels,
# the format of ONNX and its test data from the wheel of that package, and, for a test, ONNX Runtime
# in an environment of Python. A second call finds everything in place and returns at once.
# Usage: scripts/setup.sh [--sanitizers]; with --sanitizers also the compiler of the build with
# AddressSanitizer and of the fuzzers, clang 14 with its runtimes.
# WAFER_DEPENDENCIES: where downloaded dependencies are kept; default: build/dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."
dependencies="${WAFER_DEPENDENCIES:-$PWD/build/dependencies}"

packages=(g++ cmake ninja-build ccache clang-format git pkg-config python3 python3-pip python3-venv
  unzip libgtest-dev nlohmann-json3-dev libtomlplusplus-dev libcli11-dev libarchive-dev
  libjpeg-dev libpng-dev zlib1g-dev libkissfft-dev libprotobuf-dev protobuf-compiler
  libre2-dev libxbyak-dev
  ocl-icd-opencl-dev pocl-opencl-icd)
[ "${1:-}" = --sanitizers ] && packages+=(clang-14 libclang-rt-14-dev libomp-14-dev)
if command -v dpkg-query >/dev/null; then
  missing=()
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing+=("$package")
  done
  # These count as present when they work, however they were installed.
  for index in "${!missing[@]}"; do
    case "${missing[$index]}" in
      python3-pip) python3 -m pip --version >/dev/null 2>&1 && unset "missing[$index]" ;;
      python3) command -v python3 >/dev/null && unset "missing[$index]" ;;
      python3-venv) python3 -c 'import ensurepip' 2>/dev/null && unset "missing[$index]" ;;
      pkg-config) command -v pkg-config >/dev/null && unset "missing[$index]" ;;
    esac
  done
  if [ "${#missing[@]}" -gt 0 ]; then
    echo "setup: installing ${missing[*]}"
    sudo=""; [ "$(id -u)" = 0 ] || sudo="sudo"
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      "${missing[@]}" >/dev/null
  fi
else
  echo "setup: no dpkg here; install the counterparts of: ${packages[*]}" >&2
fi

# oneDNN 3.2 built on libgomp, from the two wheels whose data folders make one prefix; see
# docs/dependencies.md. The cpu backend does without it elsewhere.
onednn="$dependencies/onednn"
if [ ! -f "$onednn/.complete" ] && [ "$(uname -m)" = x86_64 ]; then
  echo "setup: fetching oneDNN 3.2"
  wheels="$(mktemp -d)"
  trap 'rm -rf "$wheels"' EXIT
  cat >"$wheels/requirements.txt" <<'PINS'
onednn-cpu-gomp==2023.2.0 \
  --hash=sha256:2f22a54d6a890ed14bfa185d42a4be65d8b5b1df85dc1f0f3a9abe31620416fb
onednn-devel-cpu-gomp==2023.2.0 \
  --hash=sha256:9763c69e8c907e119056bd52ad918ca84ac9ba939d130a99dfa95ccca3e5e284
PINS
  python3 -m pip download --quiet --no-deps --require-hashes -d "$wheels" \
    -r "$wheels/requirements.txt"
  rm -rf "$onednn" && mkdir -p "$onednn"
  for wheel in "$wheels"/*.whl; do unzip -q -o "$wheel" -d "$wheels/unpacked"; done
  for data in "$wheels"/unpacked/*.data/data; do cp -r "$data"/. "$onednn"/; done
  # Wheels hold no links, so the library comes three times: keep one and link the others to it.
  ln -sf libdnnl.so.3.2 "$onednn/lib/libdnnl.so.3"
  ln -sf libdnnl.so.3.2 "$onednn/lib/libdnnl.so"
  touch "$onednn/.complete"
fi

# The .proto files of ONNX and the conformance tests of the standard: one wheel for every machine,
# since what is taken from it is no program.
onnx="$dependencies/onnx"
if [ ! -f "$onnx/.complete" ]; then
  echo "setup: fetching the ONNX format and its tests"
  onnx_wheel="$(mktemp -d)"
  trap 'rm -rf "${wheels:-}" "$onnx_wheel"' EXIT
  cat >"$onnx_wheel/requirements.txt" <<'PINS'
onnx==1.22.0 \
  --hash=sha256:1d0a2bdb15eb2b3cb65c438f3423d9620d14fdce32f92380e6bb1b2e09568ef5
PINS
  python3 -m pip download --quiet --no-deps --require-hashes --only-binary :all: \
    --platform manylinux_2_28_x86_64 --python-version 3.11 --implementation cp --abi cp311 \
    -d "$onnx_wheel" -r "$onnx_wheel/requirements.txt"
  rm -rf "$onnx" && mkdir -p "$onnx"
  unzip -q -o "$onnx_wheel"/*.whl 'onnx/onnx-ml.proto' 'onnx/onnx-data.proto' \
    'onnx/backend/test/data/*' '*/licenses/*' -d "$onnx_wheel/unpacked"
  mkdir "$onnx/onnx" && cp "$onnx_wheel"/unpacked/onnx/*.proto "$onnx/onnx/"
  cp -r "$onnx_wheel/unpacked/onnx/backend/test/data" "$onnx/data"
  cp -r "$onnx_wheel"/unpacked/*.dist-info/licenses "$onnx/"
  touch "$onnx/.complete"
fi

# A Python environment for the tests that run exported models in ONNX Runtime, which skip without.
onnxruntime="$dependencies/onnxruntime"
pins=tests/deploy/requirements.txt
if ! cmp -s "$pins" "$onnxruntime/.complete"; then
  echo "setup: fetching ONNX Runtime for tests"
  rm -rf "$onnxruntime"
  if python3 -m venv "$onnxruntime" && "$onnxruntime/bin/python" -m pip install --quiet \
    --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r "$pins"; then
    cp "$pins" "$onnxruntime/.complete"
  else
    echo "setup: no ONNX Runtime here; the tests deploy.onnx_runtime_* will skip" >&2
  fi
fi
echo "setup: ready"
