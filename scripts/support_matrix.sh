#!/bin/sh
# Writes docs/support.md: which op runs on which device in which dtype.
set -eu
cd "$(dirname "$0")/.."
cmake --build build/release --target test_op
mkdir -p docs
build/release/bin/test_op --write-support docs/support.md
