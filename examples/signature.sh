#!/usr/bin/env bash
# Checks who signed an entry, with openssl alone: signature.sh INDEX
# It needs curl, jq and openssl. It does not check entries of batches, nor expect.
set -euo pipefail
index=$1
get() { "$(dirname "$0")/client.sh" get "$1"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
get "/log/$index" >"$work/entry"
# The first entry was signed before the log had an identity.
hub=$(((index == 1)) && printf %064d 0 || get /health | jq -r .hub)
{
	echo "swoosh signed command 1"
	jq -cSj --arg hub "$hub" '. + {$hub} |
		with_entries(select(.key | IN("command", "payload", "signer", "hub", "idempotency_key", "key_since", "window_id", "inputs_hash", "evidence")))' "$work/entry"
} >"$work/content"
jq -r '.signature // empty' "$work/entry" | base64 -d >"$work/signature"
# The key as SubjectPublicKeyInfo (RFC 8410): a fixed head, and its 32 bytes.
printf 302a300506032b6570032100%s "$(jq -r .signer_key "$work/entry")" | tr a-f A-F | basenc --base16 -d >"$work/key"
openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/key" -rawin -in "$work/content" -sigfile "$work/signature"
