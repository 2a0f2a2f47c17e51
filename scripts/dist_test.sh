#!/usr/bin/env bash
# Builds the release twice, in two places, and tries what came out: the deb on a
# Debian that is made for it and boots its own systemd, the image by buildah, the
# other architecture's program under qemu. It needs root on Debian and leaves
# nothing behind but dist/ and Debian packages.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "dist_test.sh makes a Debian and boots it: run it as root" >&2; exit 1; }

arch=$(dpkg --print-architecture)
declare -A others=([amd64]=arm64 [arm64]=amd64) emulators=([amd64]=qemu-x86_64 [arm64]=qemu-aarch64)
other=${others[$arch]}
declare -A packages=([mmdebstrap]=mmdebstrap [systemd-nspawn]=systemd-container [buildah]=buildah [ip]=iproute2 [${emulators[$other]}]=qemu-user)
need=()
for tool in "${!packages[@]}"; do
	command -v "$tool" >/dev/null || need+=("${packages[$tool]}")
done
if ((${#need[@]})); then
	apt-get update -qq && apt-get install -y -qq --no-install-recommends "${need[@]}"
fi

work=$(mktemp -d)
hierarchies=(/sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified)
group=swoosh-$$
clean() {
	wait # for the Debian that is still being made
	for h in "${hierarchies[@]}"; do
		[ ! -d "$h/$group" ] || find "$h/$group" -depth -type d -exec rmdir {} +
	done
	rmdir /run/systemd/nspawn/propagate/"${root##*/}" 2>/dev/null || true
	rm -rf --one-file-system "$work"
}
trap clean EXIT
root=$work/swoosh-$$

# boot runs a program in the Debian at $root, as root under its own systemd, and
# ends as the program does. Without a systemd here, the container gets a control
# group of its own.
boot() (
	how=()
	if [ ! -d /run/systemd/system ]; then
		for h in "${hierarchies[@]}"; do
			[ ! -e "$h/cgroup.procs" ] || { mkdir -p "$h/$group" && echo $BASHPID >"$h/$group/cgroup.procs"; }
		done
		how=(--register=no --keep-unit)
	fi
	timeout 170 systemd-nspawn -D "$root" "${how[@]}" --private-network --console=read-only -b \
		systemd.run="$1" systemd.show_status=0 </dev/null >"$work/boot.log" 2>&1
)

echo "== two builds of one tree, in two places, are equal"
mmdebstrap --quiet --variant=apt --include=systemd,systemd-sysv,curl bookworm "$root" >"$work/debian.log" 2>&1 &
debian=$!
mkdir "$work/tree"
tar -c --exclude=./dist --exclude=./bin . | tar -x -C "$work/tree"
scripts/dist.sh
"$work/tree/scripts/dist.sh" | cmp - dist/SHA256SUMS
rm -rf "$work/tree"

echo "== the programs are static, and know their version and commit"
commit=$(git rev-parse HEAD)
for program in dist/image/*/swoosh; do
	go version -m "$program" | grep -q 'CGO_ENABLED=0' || { echo "FAILED: $program is linked with C"; exit 1; }
	go version -m "$program" | grep -q "vcs.revision=$commit" || { echo "FAILED: $program has no commit"; exit 1; }
done

echo "== a bill of materials names each module, and SHA256SUMS each file"
for program in dist/image/*/swoosh; do
	arch_of=${program%/swoosh} arch_of=${arch_of##*/}
	bill=$(cat dist/swoosh_*_linux_"$arch_of".cdx.json)
	modules=$(go version -m "$program" | awk '$1 == "dep" {print $2 "@" $3}')
	[[ $modules == *github.com/dgraph-io/badger/v4@v4.* ]] || { echo "FAILED: $program has no Badger"; exit 1; }
	for m in $modules "std@$(go env GOVERSION)"; do
		[[ $bill == *"\"purl\": \"pkg:golang/$m\""* ]] || { echo "FAILED: the bill of $program lacks $m"; exit 1; }
	done
done
(cd dist && sha256sum --quiet -c SHA256SUMS)
[ "$(wc -l <dist/SHA256SUMS)" = "$(find dist -maxdepth 1 -type f ! -name SHA256SUMS | wc -l)" ] || { echo "FAILED: SHA256SUMS lacks a file"; exit 1; }

echo "== the $other program, emulated, finds the same hashes"
timeout 120 scripts/dist_emulated.sh "$other" "${emulators[$other]}"

wait "$debian" || { cat "$work/debian.log"; exit 1; }
cp dist/swoosh_*_"$arch".deb "$root/swoosh.deb"
cp scripts/dist_deb.sh "$root"
dist/image/"$arch"/swoosh version >"$root/swoosh.version"
grep -q "$commit" "$root/swoosh.version"
if ! boot /dist_deb.sh; then
	cat "$work/boot.log"
	exit 1
fi
sed -n 's/^.*dist_deb.sh\[[0-9]*\]: == /== /p' "$work/boot.log"

mkdir "$work/image"
timeout --signal=KILL 120 unshare --net --mount --pid --fork --mount-proc --kill-child scripts/dist_image.sh "$work/image"
echo "the release is good"
