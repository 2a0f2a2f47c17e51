#!/usr/bin/env bash
# Builds the Open Policy Agent that the tests of package guard ask, into bin/opa. It is
# no part of this module: its dependencies would become ours.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v1.18.2
out=$PWD/bin/opa
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
${GO:-go} mod init opa
GOFLAGS=-mod=mod ${GO:-go} get "github.com/open-policy-agent/opa@$version"
GOFLAGS=-mod=mod ${GO:-go} build -v -o "$out" github.com/open-policy-agent/opa
