#!/usr/bin/env bash
# A client for swoosh: client.sh command NAME [PAYLOAD [KEY]] | get PATH | watch [FROM]
# It needs curl and jq. SWOOSH_ADDR is the server's address, SWOOSH_TOKEN a token.
set -euo pipefail
server() { # The token is not on a command line, where other users could read it.
	curl -sS -K <(echo ${SWOOSH_TOKEN:+"header = \"Authorization: Bearer $SWOOSH_TOKEN\""}) "${@:2}" "${SWOOSH_ADDR:-http://127.0.0.1:8420}$1"
}
again() { # Retries until there is a final answer: one that is neither 429 nor 5xx.
	for pause in 0.1 0.2 0.5 1 2 5 10 0; do
		answer=$(server "$@" --max-time 60 -w '\n%{http_code} %header{swoosh-hlc}') || answer=$'\n000'
		read -r status hlc <<<"${answer##*$'\n'}" || true
		answer=${answer%$'\n'*}
		case $status in
		200) return ;;
		000 | 429 | 5*) sleep $pause ;;
		*) echo "$answer" >&2 && exit 1 ;; # a problem: branch on its "code"
		esac
	done
	echo 'no answer: to learn whether it happened, send it again with the same key' >&2 && exit 5
}
case ${1:-} in
command)
	again /health
	body=$(jq -cn --arg command "$2" --argjson payload "${3:-"{}"}" --arg idempotency_key "${4:-$(od -An -N16 -tx1 /dev/urandom | tr -d " \n")}" \
		--arg key_since "$hlc" '$ARGS.named')
	again /command -H 'Content-Type: application/json' -d "$body" && echo "${answer%$'\n'}" ;;
get) again "$2" && echo "${answer%$'\n'}" ;;
watch)
	for ((from = ${2:-1}; ; )); do
		again "/log?limit=1&from=$from${chain:+&after=$chain}"
		while read -r field value; do case $field$value in
			id:*) id=$value ;;
			data:*'"chain":'*) echo "$value" && from=$((id + 1)) chain=${value#*'"chain":"'} chain=${chain%%'"'*} ;;
		esac done < <(server "/watch?from=$from${chain:+&after=$chain}" -N) || true
	done ;;
*) sed -n 2,3p "$0" >&2 && exit 2 ;;
esac
