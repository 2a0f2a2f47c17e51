#!/usr/bin/env bash
# The image of packaging/Containerfile, built and run: scripts/dist_image.sh DIR
# with an empty directory for what it makes. scripts/dist_test.sh runs it as root
# in namespaces of its own, with a network that nobody else is in.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$1
images=(buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs)

fail() {
	echo "FAILED: $*"
	cat "$work"/log
	exit 1
}
# inside runs the program as a container would, with settings before the words.
inside() {
	local settings=()
	while [[ ${1-} == *=* ]]; do
		settings+=(--env "$1")
		shift
	done
	"${images[@]}" run --isolation chroot "${settings[@]}" "$container" -- /swoosh "$@"
}
start() {
	: >"$work/log"
	inside SWOOSH_INSECURE=true serve >>"$work/log" 2>&1 &
	job=$!
	for _ in $(seq 300); do
		! grep -q '^listening on' "$work/log" || return 0
		sleep 0.1
	done
	fail "the server does not start"
}
stop() {
	kill "$(pidof swoosh)"
	wait "$job" || fail "the server ends with $?, want 0"
}

ip link set lo up
"${images[@]}" build --isolation chroot -f packaging/Containerfile -t swoosh dist >"$work/log" 2>&1 || fail "the image is not built"
container=$("${images[@]}" from swoosh)

echo "== the image runs as nobody, and nothing but the program is in it"
config=$("${images[@]}" inspect --type image --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}}' swoosh)
[ "$config" = "65532:65532 [/swoosh] [serve]" ] || fail "the image is set up as $config"
files=$(cd "$("${images[@]}" mount "$container")" && find . -type f)
[ "$files" = ./swoosh ] || fail "the image holds: $files"

echo "== it refuses to listen to everybody until it is told who may do what"
code=0
inside serve >"$work/log" 2>&1 || code=$?
[ "$code" = 2 ] && grep -q -- --token-file "$work/log" || fail "it ends with $code, want 2 and a refusal that names --token-file"

echo "== it takes commands, stops in order and keeps what it took"
start
inside command project.create '{"project":"alpha","name":"Alpha"}' >/dev/null
stop
start
inside state --path /project/projects/alpha --json | grep -q '"name":"Alpha"' || fail "the project is gone after a restart"
stop
