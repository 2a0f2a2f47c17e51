#!/usr/bin/env bash
# Runs the release of another architecture under qemu: commands, a kill -9, a
# start, and the same hashes as this machine's program finds.
# dist_emulated.sh OTHER EMULATOR
set -euo pipefail
cd "$(dirname "$0")/.."
own=$PWD/dist/image/$(dpkg --print-architecture)/swoosh
other=("$2" "$PWD/dist/image/$1/swoosh")
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work"

fail() { echo "FAILED: $1" >&2; cat log >&2; exit 1; }
serve() {
	"${other[@]}" serve --dir data --listen unix:socket >out 2>>log &
	server=$!
	for ((i = 0; i < 300; i++)); do
		[ ! -s out ] || return 0
		sleep 0.1
	done
	fail "the $1 program does not start"
}
export SWOOSH_ADDR=unix:$work/socket

serve "$1"
for n in {1..50}; do
	echo '{"command":"project.create","payload":{"project":"p'"$n"'","name":"Ä '"$n"'"}}'
done | "${other[@]}" command - >answers || fail "the $1 program refuses commands"
kill -9 "$server" && wait "$server" 2>/dev/null || true
rm out
serve "$1"
"$own" command project.create '{"project":"last","name":"L"}' >/dev/null || fail "the two do not speak to each other"
kill "$server" && wait "$server" || fail "the $1 program does not stop in order"
server=
"${other[@]}" verify data --json >there || fail "the $1 program does not find its directory sound"
"$own" verify data --json >here || fail "this machine's program does not find the $1 program's directory sound"
cmp there here || fail "the two find other hashes"
grep -q '"last":51,' here || fail "entries are missing: $(cat here)"
