#!/usr/bin/env bash
# Runs every fuzz target of every package for a while: scripts/fuzz.sh 30s. What a
# target with goroutines covers varies, and making its inputs smaller would take all
# the time.
set -euo pipefail
cd "$(dirname "$0")/.."
for dir in $(go list -f '{{.Dir}}' ./...); do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go 2>/dev/null | sed 's/^func //'); do
		echo "== ${dir##*/} $target"
		(cd "$dir" && go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-30s}" -fuzzminimizetime 10x .)
	done
done
