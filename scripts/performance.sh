#!/usr/bin/env bash
# Builds bin/swoosh, measures everything with it and writes the figures into
# docs/PERFORMANCE.md, between its marks, and docs/performance.svg. What was found
# before a scenario failed is written too. Further arguments go to bench.
set -euo pipefail
cd "$(dirname "$0")/.."
# A build that does not know its commit trusts no snapshot that it cannot tell apart, and
# takes longer to start.
if [[ -n $(git status --porcelain) ]]; then
	echo "commit or remove what git status shows first: the figures are those of a commit" >&2
	exit 2
fi
${GO:-go} build -buildvcs=true -o bin/swoosh ./cmd/swoosh
page=docs/PERFORMANCE.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
etcd=()
[[ ! -x bin/etcd ]] || etcd=(--etcd bin/etcd)
status=0
bin/swoosh bench --markdown --plot docs/performance.svg --dir bin/bench "${etcd[@]}" "$@" >"$work/table" || status=$?
(($(wc -l <"$work/table") > 2)) || exit "$status"
{
	echo
	echo "Commit $(git rev-parse --short=12 HEAD), $(date -u +%Y-%m-%d), Linux $(uname -r | cut -d. -f1,2), $(nproc) cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)${*:+, with $*}."
	echo
	cat "$work/table"
	echo
	echo "![Throughput against clients, and cost against rows](performance.svg)"
	echo
} >"$work/figures"
awk -v figures="$work/figures" '
	/^<!-- \/figures -->$/ { inside = 0 }
	!inside { print }
	/^<!-- figures -->$/ { inside = 1; while ((getline line < figures) > 0) print line }
' "$page" >"$work/page"
cat "$work/page" >"$page"
exit "$status"
