# Sourced by the scripts that run tests: run_tests counts, summary prints and sets the exit status.
passed=0
failed=0
skipped=0

# run_tests PRESET CTEST_ARGUMENT...: runs the build's tests and adds to the counts.
run_tests() {
  local preset="$1"
  shift
  local results="$PWD/build/$preset/tests.xml"
  rm -f "$results"
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j "$(nproc)" \
    --output-junit "$results" "$@" >"build/$preset/tests.log" 2>&1 || true
  if [ ! -f "$results" ]; then
    cat "build/$preset/tests.log" >&2
    echo "test: ctest gave no results for $preset" >&2
    failed=$((failed + 1))
    return
  fi
  local counts
  counts="$(python3 - "$results" <<'PYTHON'
import sys
import xml.etree.ElementTree as xml

suite = xml.parse(sys.argv[1]).getroot()
total, failures, skips = (int(suite.get(key, 0)) for key in ("tests", "failures", "skipped"))
disabled = int(suite.get("disabled", 0))
print(total - failures - skips - disabled, failures, skips + disabled)
PYTHON
)"
  local new_passed new_failed new_skipped
  read -r new_passed new_failed new_skipped <<<"$counts"
  if [ "$new_failed" -gt 0 ]; then
    sed -n '/Start\|Passed\|Skipped/!p' "build/$preset/tests.log"
  fi
  echo "test: $preset: $new_passed passed, $new_failed failed, $new_skipped skipped"
  passed=$((passed + new_passed))
  failed=$((failed + new_failed))
  skipped=$((skipped + new_skipped))
}

# summary [OTHER_FAILURES]: the closing line; exits with 1 when anything failed.
summary() {
  [ "${1:-0}" = 0 ] || echo "test: the lint found something, see above"
  echo "$passed passed, $((failed + ${1:-0})) failed, $skipped skipped"
  [ "$((failed + ${1:-0}))" = 0 ] && [ "$passed" -gt 0 ]
}
