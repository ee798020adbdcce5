#!/usr/bin/env bash
# Formats C++ sources in place with clang-format 14. Usage: scripts/format.sh [FILE...]
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$#" -gt 0 ]; then
  exec clang-format -i "$@"
fi
git ls-files -z -co --exclude-standard '*.cpp' '*.h' |
  while IFS= read -r -d '' file; do [ -f "$file" ] && printf '%s\0' "$file"; done |
  xargs -0 -r -n 40 clang-format -i
