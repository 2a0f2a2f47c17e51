#!/usr/bin/env bash
# Loads the alert rules and the dashboard's queries in the programs that they are
# for: promtool tests every rule, and a prometheus that scrapes a working server
# is asked all that rules and panels ask. It needs bin/swoosh, curl, jq and
# Debian's prometheus, and leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."
rules=$PWD/docs/operations/alerts.yml
tests=$PWD/docs/operations/alerts_test.yml
board=$PWD/docs/operations/dashboard.json

work=$(mktemp -d)
programs=()
clean() {
	[ ${#programs[@]} = 0 ] || kill -9 "${programs[@]}" 2>/dev/null || true
	wait 2>/dev/null
	rm -rf "$work"
}
trap clean EXIT

fail() {
	echo "FAILED: $*" >&2
	exit 1
}
for tool in promtool prometheus; do
	command -v $tool >/dev/null || fail "$tool is missing: apt-get install --no-install-recommends prometheus"
done

# told runs a program until it prints nothing, half a minute at most: what it
# prints is what is not yet as it should be.
told() {
	local left
	for _ in $(seq 150); do
		left=$("$@") || fail "$1: $left"
		[ -n "$left" ] || return 0
		sleep 0.2
	done
	fail "$1: $left"
}

echo "== each rule is lawful, and is tested quiet and firing"
promtool check rules "$rules" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
promtool test rules "$tests" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
alerts=$(grep -oP '^ *- alert: \K\w+' "$rules")
for alert in $alerts; do
	tested="alertname: $alert\n +eval_time: \S+\n +exp_alerts:"
	grep -Pzq "$tested \[\]\n" "$tests" || fail "${tests##*/} does not show when $alert is quiet"
	grep -Pzq "$tested\n +- exp_labels:" "$tests" || fail "${tests##*/} does not show when $alert fires"
done

echo "== the dashboard has what Grafana's import needs"
wrong=$(jq -r '
	def need(ok; what): if ok then empty else what end;
	{type: "prometheus", uid: "${datasource}"} as $source |
	need(.id == null; "id: Grafana gives it"),
	need(.uid | test("^[A-Za-z0-9_-]{1,40}$"); "uid: 1 to 40 of A-Z, a-z, 0-9, _ and -"),
	need(.title | test("."); "title: is missing"),
	need(.schemaVersion | type == "number" and . >= 36; "schemaVersion: 36 is the first with a type and uid as the data source"),
	need(.time.from and .time.to; "time: from and to are missing"),
	need(.__inputs == null; "__inputs: only an import by hand fills them in, a variable works everywhere"),
	need(.templating.list[0] | [.name, .type, .query] == ["datasource", "datasource", "prometheus"]; "the first variable is not the data source"),
	(.templating.list[1:][] | need(.datasource == $source; "variable \(.name): has no data source"),
		need([.refresh] | inside([1, 2]); "variable \(.name): without refresh Grafana never asks for its values")),
	need([.panels[].id] | length > 0 and all(type == "number") and length == (unique | length); "panels: an id is missing or there twice"),
	need([.panels[].gridPos | range(.x; .x + .w) as $x | range(.y; .y + .h) as $y | [$x, $y]] | length == (unique | length); "panels: two overlap"),
	(.panels[] | "panel \(.title)" as $panel | need(.title and .type; "\($panel): has no title or type"),
		need(.datasource == $source and all(.targets[]; .datasource == $source); "\($panel): has no data source"),
		need(.gridPos | .w > 0 and .h > 0 and .x >= 0 and .y >= 0 and .x + .w <= 24; "\($panel): gridPos is outside of the 24 columns"),
		need([.targets[].refId] | length > 0 and all(test("^[A-Z]$")) and length == (unique | length); "\($panel): refId is missing or there twice"),
		need(all(.targets[]; .expr | test(".")); "\($panel): has no expr"))
' "$board") || fail "${board##*/} cannot be read"
[ -z "$wrong" ] || fail "${board##*/}: $wrong"

mkfifo "$work/ready"
bin/swoosh serve --dir "$work/data" --listen 127.0.0.1:0 --max-recovery 1ms >"$work/ready" 2>"$work/swoosh.log" &
programs+=($!)
read -r -t 30 _ _ swoosh _ <"$work/ready" || fail "the server does not start: $(tail -n 5 "$work/swoosh.log")"

# work_on posts some commands; one is refused.
work_on() {
	jq -nc 'range(50) | {command: "project.create", payload: {project: "p\(now * 1000 | floor)-\(.)", name: "P"}}, {command: "no.such"}' |
		curl -sSf -X POST -T - -H 'Content-Type: application/x-ndjson' -H 'Expect:' -o "$work/answers" "$swoosh/command"
}

echo "== what a server shows is as Prometheus wants it"
work_on
curl -sSf "$swoosh/metrics" >"$work/metrics"
promtool check metrics <"$work/metrics" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
[ ! -s "$work/out" ] || fail "$(cat "$work/out")"

cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}
rule_files: ["$rules"]
scrape_configs:
  - job_name: swoosh
    static_configs: [{targets: ["${swoosh#http://}"]}]
END
promtool check config "$work/prometheus.yml" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" \
	--web.listen-address=127.0.0.1:0 >"$work/prometheus.log" 2>&1 &
programs+=($!)
listens() {
	kill -0 "${programs[1]}" || { tail -n 5 "$work/prometheus.log"; return 1; }
	grep -qsP 'msg="Listening on".* address=' "$work/prometheus.log" || echo "prometheus does not listen yet"
}
told listens
prometheus=http://$(grep -oP 'msg="Listening on".* address=\K\S+' "$work/prometheus.log")/api/v1

# ask prints the answer of Prometheus to a path and a parameter. Whatever goes
# wrong is in its member error.
ask() {
	curl -sS -G --data-urlencode "${2-}" "$prometheus/$1" || echo '{"error": "prometheus does not answer"}'
}

echo "== every query of the dashboard is answered with numbers"
instance=${swoosh#http://}
variable=$(jq -r '.templating.list[] | select(.name == "instance").query' "$board")
[[ $variable =~ ^label_values\(([a-z_]+),\ ([a-z]+)\)$ ]] || fail "variable instance: $variable is no query that this test knows"
label=${BASH_REMATCH[2]} metric=${BASH_REMATCH[1]}
lost_instance() {
	ask "label/$label/values" "match[]=$metric" | jq -r --arg instance "$instance" '
		.error // if .data == [$instance] then empty else "the variable instance has \(.data)" end'
}
told lost_instance
jq -c --arg instance "${instance//./\\\\.}" '.panels[] | {title} + .targets[] |
	{title, expr: .expr | gsub("\\$instance\\b"; $instance)}' "$board" >"$work/queries"

# A selector with a misspelt metric, mode or code is lawful, and finds nothing.
# What only a server with TLS shows is left to the tests in Go.
{ ask rules | jq -r '.data.groups[].rules[].query'; jq -r .expr "$work/queries"; } |
	grep -oP '\bswoosh_(?!tls_)\w+(\{[^}]*\})?' | sort -u >"$work/selectors"
lost_selectors() {
	local selector
	while read -r selector; do
		ask query "query=$selector" | jq -r --arg selector "$selector" '
			.error // if .data.result == [] then "\($selector) is not in /metrics" else empty end'
	done <"$work/selectors"
}
told lost_selectors

empty_panels() {
	local query
	work_on || echo "the server takes no commands"
	while read -r query; do
		ask query "query=$(jq -r .expr <<<"$query")" | jq -r --argjson of "$query" '
			if .error then "\($of.title): \(.error)"
			elif any(.data.result[]; .value[1] | test("^-?[0-9]")) then empty
			else "\($of.title) has no number: \($of.expr)" end'
	done <"$work/queries"
}
told empty_panels

echo "== a prometheus has the rules, and a healthy server raises none"
sick_rules() {
	ask rules | jq -r '.error // empty, ([.data.groups[]?.rules[]] as $rules |
		"\($ARGS.positional - [$rules[].name] | .[]) is not loaded",
		($rules[] | select(.health != "ok" or .state == "firing") | "\(.name) is \(.health) and \(.state) \(.lastError // "")"))
	' --args $alerts
}
told sick_rules
echo "the rules and the dashboard are good"
