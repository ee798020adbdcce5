#!/usr/bin/env bash
# Line coverage of wafer/ by the tests that are not long. Prints a line per folder and the total,
# and leaves build/coverage/coverage.html. Exits with 1 below the percentage promised.
# Usage: scripts/coverage.sh [PERCENT], default 85.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/test_lib.sh
minimum="${1:-85}"
if [ ! -x build/tools/gcovr/bin/gcovr ]; then
  python3 -m venv build/tools/gcovr
  build/tools/gcovr/bin/pip install --quiet gcovr==8.3
fi
./scripts/build.sh coverage
find build/coverage -name '*.gcda' -delete
run_tests coverage -LE long
[ "$failed" = 0 ] || { summary; exit 1; }
# A line is a file's; files are gathered by folder below.
build/tools/gcovr/bin/gcovr --root . --filter 'wafer/' --exclude-throw-branches \
  --gcov-ignore-errors=no_working_dir_found \
  --gcov-ignore-parse-errors=suspicious_hits.warn_once_per_file \
  --merge-mode-functions=merge-use-line-min \
  -j "$(nproc)" --json-summary build/coverage/summary.json \
  --html-details build/coverage/coverage.html build/coverage >/dev/null
python3 - build/coverage/summary.json "$minimum" <<'PYTHON'
import collections
import json
import sys

summary = json.load(open(sys.argv[1], encoding="utf-8"))
folders = collections.defaultdict(lambda: [0, 0])
for file in summary["files"]:
    folder = folders["/".join(file["filename"].split("/")[:2])]
    folder[0] += file["line_covered"]
    folder[1] += file["line_total"]
for name, (covered, total) in sorted(folders.items()):
    print(f"{name:20} {covered:6} of {total:6} lines  {100 * covered / max(total, 1):5.1f} %")
percent = 100 * summary["line_covered"] / summary["line_total"]
print(f"coverage: {percent:.1f} % of {summary['line_total']} lines; {sys.argv[2]} % wanted")
sys.exit(percent < float(sys.argv[2]))
PYTHON
