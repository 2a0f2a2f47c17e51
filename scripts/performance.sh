#!/usr/bin/env bash
# Measures everything with bin/swoosh and writes the figures into
# docs/PERFORMANCE.md, between its marks, and docs/performance.svg. What was found
# before a scenario failed is written too. Further arguments go to bench.
set -euo pipefail
cd "$(dirname "$0")/.."
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
