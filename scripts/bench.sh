#!/usr/bin/env bash
# Compares the Go benchmarks of the working tree with those of a revision, by turns,
# so that the machine's drift meets both: scripts/bench.sh BASE [PATTERN [COUNT]].
set -euo pipefail
cd "$(dirname "$0")/.."
base=$(git rev-parse --verify --quiet "$1^{commit}") || { echo "bench: BASE=$1 is no revision: give one that git knows, such as HEAD~1" >&2; exit 2; }
pattern=${2:-.}
count=${3:-6}
GO=${GO:-go}
benchtime=${BENCHTIME:-1s}

work=$(mktemp -d)
trap 'git worktree remove --force "$work/base" 2>/dev/null || true; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/base" "$base"

# build SIDE DIR compiles the tests of each package that has benchmarks.
build() {
	(cd "$2" && git grep -l --untracked '^func Benchmark' -- '*_test.go' | xargs -r -n1 dirname | sort -u) >"$work/$1.packages"
	while read -r package; do
		(cd "$2" && $GO test -c -o "$work/$1/${package//\//-}.test" "./$package")
	done <"$work/$1.packages"
}

# measure SIDE DIR runs each benchmark once, in its package's directory.
measure() {
	while read -r package; do
		(cd "$2/$package" && "$work/$1/${package//\//-}.test" -test.run '^$' -test.bench "$pattern" -test.benchtime "$benchtime") >>"$work/$1.txt"
	done <"$work/$1.packages"
}

echo "compiling both"
mkdir "$work/old" "$work/new"
build old "$work/base"
build new .
for ((n = 1; n <= count; n++)); do
	echo "round $n of $count"
	measure old "$work/base"
	measure new .
done
$GO tool -modfile=internal/tools/go.mod benchstat "${base:0:12}=$work/old.txt" "working tree=$work/new.txt"
