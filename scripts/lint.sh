#!/usr/bin/env bash
# Checks the sources without compiling them: format, include layers, length, width and wording.
# Runs every check and exits with 1 when one of them found something.
set -uo pipefail
cd "$(dirname "$0")/.."
status=0
git ls-files -z -co --exclude-standard '*.cpp' '*.h' |
  while IFS= read -r -d '' file; do [ -f "$file" ] && printf '%s\0' "$file"; done |
  xargs -0 -r -n 40 -P "$(nproc)" clang-format --dry-run -Werror ||
  { echo "lint: run scripts/format.sh" >&2; status=1; }
python3 scripts/lint_layers.py ||
  { echo "lint: docs/architecture.md lists the layers" >&2; status=1; }
python3 scripts/lint_files.py || status=1
[ "$status" = 0 ] && echo "lint: clean"
exit "$status"
