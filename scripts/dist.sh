#!/usr/bin/env bash
# Builds what is released into dist/: for each architecture a static program in
# a .tar.gz and a .deb, its bill of materials in CycloneDX's JSON, what
# packaging/Containerfile needs, and SHA256SUMS. One commit and one Go release give
# the same bytes wherever the checkout stands. It needs Go, git and dpkg-deb.
#
# The version is the one that Go stamps: the tag of the commit, v1.2.3, or what
# lies between the last tag and it, v1.2.4-0.20261121061028-e4c3f1c8f36e.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022
export CGO_ENABLED=0 GOFLAGS='' GOOS=linux GOAMD64=v1 GOARM64=v8.0
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
arches=(amd64 arm64)
maintainer=$(sed -n 's/^Maintainer: //p' packaging/deb/control)

main() {
	rm -rf dist
	mkdir -p dist/image/data
	for arch in "${arches[@]}"; do
		GOARCH=$arch go build -trimpath -buildvcs=true -ldflags='-s -w' -o "dist/image/$arch/swoosh" ./cmd/swoosh
	done
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	program=dist/image/$(go env GOHOSTARCH)/swoosh
	version=$(go version -m "$program" | awk '$1 == "mod" {print substr($3, 2)}')
	notices >"$work/NOTICES"
	manual >"$work/swoosh.1"
	for arch in "${arches[@]}"; do
		archive
		package
		materials
	done
	(cd dist && sha256sum -- *.tar.gz *.deb *.cdx.json >SHA256SUMS && cat SHA256SUMS)
}

# The licences of what is linked. A module without one stops the build.
notices() {
	echo "The program swoosh is linked with these."
	printf '\n==== Go, %s\n\n' "$(go env GOVERSION)"
	cat "$(go env GOROOT)/LICENSE"
	for arch in "${arches[@]}"; do
		GOARCH=$arch go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/swoosh
	done | sort -u | while read -r path v dir; do
		printf '\n==== %s %s\n\n' "$path" "$v"
		find "$dir" -maxdepth 1 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' \) | sort >"$work/found"
		[ -s "$work/found" ] || { echo "dist.sh: $path has no licence file: find out what its licence is" >&2; exit 1; }
		xargs -d '\n' cat <"$work/found"
	done
}

# What the program says of itself, as a manual page.
manual() {
	printf '.TH SWOOSH 1 %s "swoosh %s"\n' "$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)" "$version"
	printf '.SH NAME\nswoosh \\- small durable control plane\n'
	printf '.SH SYNOPSIS\n.B swoosh\n.I COMMAND\n.RI [ flags ]\n.SH DESCRIPTION\n'
	"$program" help | verbatim
	"$program" help | sed -n 's/^  \([a-z]\{1,\}\)  *[A-Z].*/\1/p' | while read -r command; do
		printf '.SH "%s"\n' "swoosh $command"
		"$program" help "$command" | verbatim
	done
}

verbatim() {
	echo .nf
	sed 's/\\/\\e/g; s/-/\\-/g; s/^[.'\'']/\\\&&/'
	echo .fi
}

archive() {
	local top="swoosh_${version}_linux_$arch"
	mkdir -p "$work/$top"
	cp "dist/image/$arch/swoosh" "$work/NOTICES" "$work/swoosh.1" LICENSE README.md CHANGELOG.md packaging/swoosh.service packaging/swoosh-node.service packaging/config.json "$work/$top"
	tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$work" -c "$top" | gzip -9n >"dist/$top.tar.gz"
}

package() {
	local tree=$work/deb-$arch doc=$work/deb-$arch/usr/share/doc/swoosh
	local debian=${version/-/\~} # a tilde sorts before the release
	debian=${debian//-/.}-1
	install -Dm755 "dist/image/$arch/swoosh" "$tree/usr/bin/swoosh"
	install -Dm644 packaging/swoosh.service packaging/swoosh-node.service -t "$tree/usr/lib/systemd/system"
	install -Dm644 packaging/sysusers.conf "$tree/usr/lib/sysusers.d/swoosh.conf"
	install -Dm644 packaging/config.json -t "$tree/etc/swoosh"
	install -Dm644 "$work/NOTICES" docs/OPERATIONS.md docs/NODE.md docs/GUARDS.md docs/GLOSSARY.md DURABILITY.md packaging/deb/copyright -t "$doc"
	install -Dm644 docs/operations/* -t "$doc/operations"
	install -Dm644 "$work/swoosh.1" -t "$tree/usr/share/man/man1"
	completion bash usr/share/bash-completion/completions/swoosh
	completion zsh usr/share/zsh/vendor-completions/_swoosh
	completion fish usr/share/fish/vendor_completions.d/swoosh.fish
	install -m644 CHANGELOG.md "$doc/changelog"
	printf 'swoosh (%s) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$debian" "$maintainer" \
		"$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" >"$doc/changelog.Debian"
	gzip -9n "$doc/changelog" "$doc/changelog.Debian" "$tree/usr/share/man/man1/swoosh.1"

	install -d "$tree/DEBIAN"
	install -m755 packaging/deb/{postinst,prerm,postrm} "$tree/DEBIAN"
	echo /etc/swoosh/config.json >"$tree/DEBIAN/conffiles"
	sed "s/@VERSION@/$debian/; s/@ARCH@/$arch/; s/@SIZE@/$(kibibytes "$tree")/" packaging/deb/control >"$tree/DEBIAN/control"
	(cd "$tree" && find etc usr -type f | sort | xargs md5sum >DEBIAN/md5sums)
	dpkg-deb --root-owner-group -Zxz --threads-max=1 --build "$tree" "dist/swoosh_${debian}_$arch.deb" >"$work/log"
}

# completion SHELL FILE writes the shell's script into the package.
completion() {
	install -d "$tree/$(dirname "$2")"
	"$program" completion "$1" >"$tree/$2"
}

# materials lists the modules in the program. The hash of the tool that lists them is
# left out: it differs between architectures that build.
materials() {
	go tool -modfile=internal/tools/go.mod cyclonedx-gomod bin -json -noserial -notimestamp -std -short-purls "dist/image/$arch/swoosh" 2>"$work/log" |
		sed '/"tools": \[/,/^    \]/{/"hashes": \[/,/\],/d}' >"dist/swoosh_${version}_linux_$arch.cdx.json" || { cat "$work/log" >&2; exit 1; }
}

kibibytes() { find "$1" -type f -printf '%s\n' | awk '{n += int(($1 + 1023) / 1024)} END {print n}'; }

main
