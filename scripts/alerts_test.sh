#!/usr/bin/env bash
# Holds the alert rules and the dashboard against Prometheus: each alert fires for
# what it is for, a real server's metrics are as they should be, and a Prometheus
# that scrapes it takes every rule and has figures for every panel. It needs
# bin/swoosh, curl, jq, python3, promtool and prometheus (Debian's package
# prometheus).
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$work"' EXIT
rules=$PWD/docs/operations/alerts.yml tests=docs/operations/alerts_test.yml dashboard=docs/operations/dashboard.json

fail() { echo "FAILED: $1" >&2; exit 1; }
until_true() { # WHAT COMMAND...
	for ((i = 0; i < 300; i++)); do
		if "${@:2}" >/dev/null 2>&1; then return; fi
		sleep 0.1
	done
	cat "$work"/*.log >&2
	fail "$1"
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

echo "== each alert fires for what it is for"
promtool check rules "$rules"
promtool test rules "$tests"
for alert in $(sed -n 's/^ *- alert: //p' "$rules"); do
	grep -q "alertname: $alert,.*exp_alerts: \[{" "$tests" || fail "$alert has no case in $tests"
done

echo "== a server's metrics"
bin/swoosh serve --dir "$work/data" --listen 127.0.0.1:0 >"$work/greeting" 2>"$work/swoosh.log" &
until_true "the server does not start" grep -q listening "$work/greeting"
server=$(awk '{print $3}' "$work/greeting")
export SWOOSH_ADDR=$server
busy() {
	local n
	for n in 1 2 1; do bin/swoosh command project.create '{"project":"p'"$n$1"'","name":"P"}' >/dev/null 2>&1 || true; done
	bin/swoosh snapshot >/dev/null
}
busy 0
curl -sf "$server/metrics" | promtool check metrics

echo "== a Prometheus that scrapes it"
port=$(free_port)
cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 200ms, evaluation_interval: 200ms}
rule_files: [$rules]
scrape_configs: [{job_name: swoosh, static_configs: [{targets: [${server#http://}]}]}]
END
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" \
	--web.listen-address="127.0.0.1:$port" --log.level=warn >"$work/prometheus.log" 2>&1 &
ask() { curl -sfG "http://127.0.0.1:$port/api/v1/$1" "${@:2}"; }
value() { ask query --data-urlencode "query=$1" | jq -e '.data.result | length > 0'; }
until_true "Prometheus does not scrape the server" value 'up == 1 and on() swoosh_index'
busy 1 # What grows is seen to grow.
until_true "Prometheus does not see what is new" value 'increase(swoosh_commands_total[1m]) > 0'
until_true "not every rule was evaluated" eval 'ask rules | jq -e "[.data.groups[].rules[].health] | length > 0 and all(. == \"ok\")"'
ask rules | jq -e '[.data.groups[].rules[] | select(.lastError != null or .state == "firing")] == []' >/dev/null || fail "a rule has an error, or fires: $(ask rules)"

count=0
while IFS= read -r expr; do
	count=$((count + 1))
	filled=${expr//'$instance'/.*}
	filled=${filled//5m/1m}
	until_true "the dashboard's expression gives nothing: $expr" value "$filled"
done < <(jq -r '.panels[].targets[].expr' "$dashboard")
((count > 15)) || fail "only $count expressions were found in $dashboard"
jq -e '[.panels[] | select(.title and .datasource.uid and .gridPos.w and (.targets | length > 0))] | length == ($n | tonumber)' \
	--arg n "$(jq '.panels | length' "$dashboard")" "$dashboard" >/dev/null || fail "a panel of $dashboard has no title, place, datasource or target"
jq -e '.panels | [.[].id] == ([.[].id] | unique)' "$dashboard" >/dev/null || fail "two panels of $dashboard have one id"
echo "the rules and $count expressions of the dashboard are good"
