#!/usr/bin/env bash
# Runs h2spec (github.com/summerwind/h2spec) against a server, plain and strict; the last line is
# the sum: 'N passed, N failed, N skipped'. Usage: h2spec.sh H2SPEC_BINARY HOST:PORT [h2spec option...]
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "usage: $0 H2SPEC_BINARY HOST:PORT [h2spec option...]" >&2
  exit 2
fi
h2spec=$1 host=${2%:*} port=${2##*:}
shift 2
passed=0 failed=0 skipped=0
for mode in plain strict; do
  options=(-h "$host" -p "$port" -o 3 "$@")
  if [ "$mode" = strict ]; then options+=(--strict); fi
  output=$(timeout 300 "$h2spec" "${options[@]}" 2>&1) || true
  line=$(grep -E '^[0-9]+ tests, ' <<<"$output" | tail -1)
  if [ -z "$line" ]; then
    echo "h2spec gave no result in $mode mode:" >&2
    tail -20 <<<"$output" >&2
    exit 1
  fi
  echo "$mode: $line"
  if ! grep -q ' 0 failed' <<<"$line"; then sed -n '/^Failures:/,$p' <<<"$output"; fi
  read -r p s f < <(sed -E 's/^[0-9]+ tests, ([0-9]+) passed, ([0-9]+) skipped, ([0-9]+) failed.*/\1 \2 \3/' <<<"$line")
  passed=$((passed + p)) skipped=$((skipped + s)) failed=$((failed + f))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
