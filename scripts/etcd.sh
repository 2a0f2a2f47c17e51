#!/usr/bin/env bash
# Builds the etcd that bench compares with, into bin/etcd. It is no part of this
# module: its dependencies would become ours.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v3.7.3
out=$PWD/bin/etcd
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
${GO:-go} mod init etcd
GOFLAGS=-mod=mod ${GO:-go} get "go.etcd.io/etcd/server/v3@$version"
${GO:-go} build -v -o "$out" go.etcd.io/etcd/server/v3
