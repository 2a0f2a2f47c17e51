#!/usr/bin/env bash
# A tour of swoosh in a minute: a project goes through all its regions, kill -9 ends
# the server in the middle of a stream of 10 000 commands, the server starts again,
# and no acknowledged command is missing.
#
# Needs bash, curl and jq. Builds the program, or uses the one in SWOOSH. Writes only
# to a temporary directory. Exits with 0 only if every printed claim was checked.
set -euo pipefail

readonly COMMANDS=10000   # in the stream
readonly KILL_AFTER=3000  # answers
readonly RATE=400k        # bytes per second of the stream, so that there is time to kill

say()  { printf '%s\n' "$*"; }
die()  { printf 'demo: %s\n' "$*" >&2; [[ -s $work/log ]] && tail -n 20 "$work/log" >&2; exit 1; }

for tool in curl jq; do
	command -v "$tool" >/dev/null || { printf 'demo: %s is needed: install it\n' "$tool" >&2; exit 1; }
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
server=
cleanup() {
	if [[ -n $server ]]; then kill -9 "$server" 2>/dev/null || true; fi
	rm -rf "$work"
}
trap cleanup EXIT

if [[ -z ${SWOOSH:-} ]]; then
	SWOOSH=$work/swoosh
	(cd "$root" && go build -o "$SWOOSH" ./cmd/swoosh) || die "the program does not build"
fi

# start runs the server and waits for the line that it prints when it accepts
# commands. The third word of the line is the address.
mkfifo "$work/ready"
exec 3<>"$work/ready"
start() {
	"$SWOOSH" serve --dir "$work/data" --listen 127.0.0.1:0 >"$work/ready" 2>>"$work/log" &
	server=$!
	until read -r -t 1 _ _ address _ <&3; do
		kill -0 "$server" 2>/dev/null || die "the server does not start"
	done
}

# send posts one command. A refusal ends the demo.
send() {
	local body status
	body=$(jq -nc --arg command "$1" --argjson payload "$2" '{command: $command, payload: $payload}')
	status=$(curl -sS -o "$work/answer" -w '%{http_code}' -H 'Content-Type: application/json' -d "$body" "$address/command") ||
		die "$1: no answer"
	[[ $status == 200 ]] || die "$1: $(cat "$work/answer")"
}

phase() { curl -sSf "$address/state?path=/project/$1/demo" | jq -r .phase; }

# stream posts a file of commands, one per line, and writes the answers to a file
# as they come. It passes further arguments to curl.
stream() {
	local commands=$1 answers=$2
	shift 2
	curl -sS -N -X POST -T "$commands" -H 'Content-Type: application/x-ndjson' -H 'Expect:' "$@" "$address/command" >"$answers"
}

say "1. A server on an empty directory."
start
say "   $address"

say "2. One project through its four regions."
send project.create '{"project":"demo","name":"Demo"}'
send ingestion.resolve '{"project":"demo","sources":["oci://registry/app:v1"]}'
send ingestion.fetch '{"project":"demo","content_hash":"sha256:1f2e"}'
send ingestion.validate '{"project":"demo"}'
send ingestion.index '{"project":"demo","index_ref":"index://app/v1"}'
send council.plan '{"project":"demo","roles":[{"name":"lead","seats":1}],"electorate":["n1","n2","n3"],"quorum":2}'
send council.vote '{"project":"demo","role":"lead","candidate":"n1","voter":"n1"}'
send council.vote '{"project":"demo","role":"lead","candidate":"n1","voter":"n2"}'
send council.elect '{"project":"demo"}'
send council.sync '{"project":"demo","member":"n1","tools_hash":"sha256:70015"}'
send environment.allocate '{"project":"demo","provider":"local","resources":[{"name":"cpu","value":"2"}]}'
send environment.provision '{"project":"demo","artifacts":["oci://registry/app:v1"],"probes":["http"]}'
send environment.report '{"project":"demo","probe":"http","healthy":true}'
for region in ingestion council environment; do
	[[ $(phase $region) == READY ]] || die "region $region is $(phase $region), not READY"
done
send execution.start '{"project":"demo"}'
send execution.plan '{"project":"demo","items":["build"]}'
send execution.work '{"project":"demo","item":"build","result":"result://build/1"}'
send execution.review '{"project":"demo","item":"build","approve":true,"reviewer":"n1"}'
send execution.submit '{"project":"demo","artifact":"oci://registry/app:v2"}'
submitted=$(curl -sSf "$address/state?path=/project/execution/demo/last_artifact" | jq -r .)
[[ $submitted == oci://registry/app:v2 ]] || die "the artifact is $submitted"
say "   ingestion, council and environment are READY, $submitted is submitted."

say "3. A stream of $COMMANDS commands, each with its own key."
jq -nc --argjson n "$COMMANDS" 'range($n) | {command: "project.create", payload: {project: "p\(.)", name: "Project \(.)"}, idempotency_key: "demo-\(.)"}' >"$work/commands"
: >"$work/answers"
stream "$work/commands" "$work/answers" --limit-rate "$RATE" 2>/dev/null &
curl=$!
until (($(wc -l <"$work/answers") >= KILL_AFTER)); do
	kill -0 "$curl" 2>/dev/null || die "the stream ended early: $(tail -n 1 "$work/answers")"
	sleep 0.02
done
kill -9 "$server"
wait "$server" 2>/dev/null || true
wait "$curl" 2>/dev/null || true

# A line that the kill cut short is not an answer.
answered=$(wc -l <"$work/answers")
head -n "$answered" "$work/answers" >"$work/acknowledged"
((answered < COMMANDS)) || die "the stream was over before the kill"
bad=$(jq -c 'select(.index == null)' "$work/acknowledged" | head -n 1)
[[ -z $bad ]] || die "a command was refused: $bad"
say "   kill -9 after $answered answers."

say "4. The server starts again and receives the whole stream again, with the same keys."
start
found=$(curl -sSf "$address/health" | jq .index)
stream "$work/commands" "$work/again"
[[ $(wc -l <"$work/again") == "$COMMANDS" ]] || die "$(wc -l <"$work/again") answers came for $COMMANDS commands"
bad=$(jq -c 'select(.index == null)' "$work/again" | head -n 1)
[[ -z $bad ]] || die "a command was refused: $bad"

# Each command acknowledged before the kill gets its first answer, as a duplicate.
jq -c '.duplicate = true' "$work/acknowledged" | jq -Sc . >"$work/want"
head -n "$answered" "$work/again" | jq -Sc . | cmp - "$work/want" >&2 || die "an acknowledged command is missing, or has another answer now"
landed=$(jq -s 'map(select(.duplicate)) | length' "$work/again")
say "   It came back with entry $found: all $answered acknowledged commands are there,"
say "   $((landed - answered)) more had landed without an answer, $((COMMANDS - landed)) were applied now."

say "5. The log holds each of them once."
curl -sSf -H 'Accept: application/x-ndjson' "$address/log" >"$work/entries"
jq -se 'to_entries | all(.key + 1 == .value.index)' "$work/entries" >/dev/null || die "the log's indexes are not contiguous"
jq -c 'select(.idempotency_key != null) | [.idempotency_key, .index, .hlc, .state_hash]' "$work/entries" | sort >"$work/logged"
jq -c '[.index, .hlc, .state_hash]' "$work/again" | jq -nc 'foreach inputs as $a (-1; . + 1; ["demo-\(.)"] + $a)' | sort >"$work/told"
cmp "$work/logged" "$work/told" >&2 || die "log and answers differ"
last=$(tail -n 1 "$work/entries" | jq -r .state_hash)
[[ $(curl -sSf "$address/state" | jq -r .meta.state_hash) == "$last" ]] || die "the state's hash is not the last entry's"
rows=$(curl -sSf "$address/state" | jq '.project.projects | length')
((rows == COMMANDS + 1)) || die "the state has $rows projects, not $((COMMANDS + 1))"
say "   $(wc -l <"$work/entries") entries, $rows projects, state hash ${last:0:16}…"

if command -v python3 >/dev/null; then
	python3 "$root/scripts/verify.py" "$address" >"$work/python" || die "scripts/verify.py disagrees"
	say "   A Python script computes the same state hash, and every link of the chain."
fi

say "6. A clean stop, and swoosh verify."
kill -TERM "$server"
wait "$server" || die "the stop failed with $?"
server=
"$SWOOSH" verify "$work/data" >"$work/report" || die "verify failed with $?"
grep -q "$last" "$work/report" || die "verify reports another state hash"
sed 's/^/   /' "$work/report"
say "Nothing acknowledged is missing."
