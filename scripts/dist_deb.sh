#!/usr/bin/env bash
# The package's life on a Debian whose systemd runs: scripts/dist_test.sh boots
# one and runs this there, as root. Each step says what it is about to show.
set -euo pipefail
deb=/swoosh.deb
unit=/usr/lib/systemd/system/swoosh.service
socket=/run/swoosh/socket
export SWOOSH_ADDR=unix:$socket

fail() {
	echo "FAILED: $*"
	journalctl --no-pager -o cat -u swoosh -n 20
	exit 1
}
is() { [ "$2" = "$3" ] || fail "$1: want $3, got $2"; }
get() { systemctl show -P "$1" swoosh; }
# until_is waits until a property of the unit has a value, a minute at most.
until_is() {
	for _ in $(seq 600); do
		[ "$(get "$1")" != "$2" ] || return 0
		sleep 0.1
	done
	fail "$1 does not become $2, it is $(get "$1")"
}
# until_said waits until the journal holds a line so often, once if not given.
until_said() {
	for _ in $(seq 600); do
		[ "$(journalctl -o cat -u swoosh | grep -cF "$1")" != "${2-1}" ] || return 0
		sleep 0.1
	done
	fail "the journal does not say: $1"
}
alpha() { swoosh state --path /project/projects/alpha --json; }
answers() { alpha | grep -q '"name":"Alpha"' || fail "the project is not there $1"; }
drop_in() {
	mkdir -p /etc/systemd/system/swoosh.service.d
	printf '[Service]\n%s\n' "$@" >/etc/systemd/system/swoosh.service.d/test.conf
	systemctl daemon-reload
}

echo "== installing starts it, as its own user, in its own directory"
dpkg -i "$deb" >/dev/null
swoosh version | grep -F "$(cat /swoosh.version)" || fail "swoosh version: $(swoosh version)"
is ActiveState "$(get ActiveState)" active
is enabled "$(systemctl is-enabled swoosh)" enabled
is "user of the process" "$(stat -c %U "/proc/$(get MainPID)")" swoosh
is "the directory" "$(stat -Lc '%U %a' /var/lib/swoosh)" "swoosh 700"
is "files that others may read" "$(find /var/lib/swoosh -type f -perm /077)" ""
dpkg --verify swoosh | grep -v '/usr/share/' && fail "files differ from the package's"

echo "== the shells that Debian has complete it"
for script in bash-completion/completions/swoosh zsh/vendor-completions/_swoosh fish/vendor_completions.d/swoosh.fish; do
	grep -q __complete "/usr/share/$script" || fail "the script /usr/share/$script completes nothing"
done

echo "== its door is a socket, for root and the group swoosh alone"
is "the socket's directory" "$(stat -c '%U %G %a' /run/swoosh)" "swoosh swoosh 750"
is "the socket" "$(stat -c '%U %G %a' $socket)" "swoosh swoosh 660"
is "TCP listeners" "$(cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == "0A"')" ""
useradd guest
useradd -G swoosh member
# as asks for the state as a user, by curl.
as() { runuser -u "$1" -- curl -sSf --max-time 60 --unix-socket $socket http://localhost/state; }
as guest 2>/guest && fail "a user outside the group is let in"
as member | grep -q '"project"' || fail "a member of the group is not let in"
code=0
runuser -u guest -- swoosh state 2>/guest || code=$?
is "the exit code of one outside the group" "$code" 4
grep -q "refuses this user.*join the group" /guest || fail "one outside the group reads: $(cat /guest)"
runuser -u member -- swoosh health >/dev/null || fail "swoosh health fails for a member of the group"

echo "== the unit is well-formed and closed"
systemd-analyze verify --man=no $unit
systemd-analyze security --no-pager --offline=true --threshold=15 $unit | tail -1

echo "== commands are taken and kept, over a reload and a restart"
swoosh command project.create '{"project":"alpha","name":"Alpha"}' >/dev/null
pid=$(get MainPID)
systemctl reload swoosh
until_said "tokens, certificates and rules were reloaded"
is "the process after a reload" "$(get MainPID)" "$pid"
answers "after a reload"
systemctl restart swoosh
answers "after a restart"

echo "== it takes a token file, and a new token by a reload"
# status asks with a token, and gives the status of the answer.
status() {
	curl -s -o /dev/null -w '%{http_code}' --unix-socket $socket -H "Authorization: Bearer $1" http://localhost/log
}
cp -a /etc/swoosh/config.json /config.json
first=$(swoosh token ops admin --token-file /etc/swoosh/tokens)
chown swoosh: /etc/swoosh/tokens
sed -i 's#^{#{ "token-file": "/etc/swoosh/tokens",#' /etc/swoosh/config.json
systemctl restart swoosh
is "status without a token" "$(status none)" 401
is "status with one" "$(status "$first")" 200
second=$(swoosh token ingest read --token-file /etc/swoosh/tokens)
systemctl reload swoosh
until_said "tokens, certificates and rules were reloaded" 2
is "status with the new token" "$(status "$second")" 200
cp -a /config.json /etc/swoosh/config.json
systemctl restart swoosh

echo "== a node joins as its own user, and its unit, which is not enabled, runs it"
is disabled "$(systemctl is-enabled swoosh-node || true)" disabled
systemctl start swoosh-node
is "the unit before it has joined" "$(systemctl is-active swoosh-node || true)" inactive
usermod -aG swoosh swoosh-node
home=/var/lib/swoosh-node
runuser -u swoosh-node -- swoosh node join unix:$socket --owner acme --dir $home | grep -F " as n1" || fail "it does not join"
swoosh node leave --dir $home 2>/root-says && fail "root leaves files that the node cannot open"
grep -F "belongs to swoosh-node" /root-says
systemctl enable --now swoosh-node
for _ in $(seq 600); do ! swoosh node status 2>/dev/null | grep -q ACTIVE || break; sleep 0.1; done
swoosh node status
is "user of the node" "$(stat -c %U "/proc/$(systemctl show -P MainPID swoosh-node)")" swoosh-node
is "the node's directory" "$(stat -Lc '%U %a' $home)" "swoosh-node 700"
is "TCP listeners of others" "$(cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == "0A" && $2 !~ /^0100007F:20E5/')" ""
systemd-analyze verify --man=no /usr/lib/systemd/system/swoosh-node.service
systemd-analyze security --no-pager --offline=true --threshold=15 /usr/lib/systemd/system/swoosh-node.service | tail -1
systemctl restart swoosh-node
systemctl disable --now swoosh-node

echo "== a crash and a hang are mended"
kill -9 "$(get MainPID)"
until_is NRestarts 1
until_is ActiveState active
answers "after a kill"
drop_in WatchdogSec=1s
systemctl restart swoosh
pid=$(get MainPID)
sleep 3
is "the process after three watchdog periods" "$(get MainPID)" "$pid"
kill -STOP "$pid"
until_is NRestarts 1
until_is ActiveState active
answers "after a hang"
drop_in

echo "== a wrong setting and damage are not tried again"
systemctl stop swoosh
echo '{"dri": "/var/lib/swoosh"}' >/etc/swoosh/config.json
systemctl start swoosh 2>/dev/null && fail "it starts on a wrong setting"
is "after a wrong setting" "$(get ActiveState) $(get ExecMainStatus) $(get NRestarts)" "failed 2 0"
cp -a /config.json /etc/swoosh/config.json
mkdir /kept
mv /var/lib/swoosh/journal /var/lib/swoosh/log /var/lib/swoosh/newest /kept
systemctl reset-failed swoosh
systemctl start swoosh 2>/dev/null && fail "it starts without its log"
is "after damage" "$(get ActiveState) $(get ExecMainStatus) $(get NRestarts)" "failed 3 0"
mv /kept/* /var/lib/swoosh
systemctl reset-failed swoosh
systemctl start swoosh
answers "after the log is back"

echo "== an upgrade restarts it"
pid=$(get MainPID)
dpkg -i "$deb" >/dev/null
is ActiveState "$(get ActiveState)" active
[ "$(get MainPID)" != "$pid" ] || fail "an upgrade leaves the old program running"
answers "after an upgrade"

echo "== removing keeps the data, purging too, and says so"
dpkg -r swoosh >/dev/null
is "the unit after removing" "$(systemctl is-active swoosh)" inactive
[ -e /etc/swoosh/config.json ] || fail "removing takes the settings away"
rm /etc/swoosh/tokens
dpkg -P swoosh | grep -F /var/lib/swoosh || fail "purging does not say that the data is kept"
is "what is left in /etc" "$(find /etc -path '*swoosh*' ! -path '*.service.d*')" ""
[ -e /var/lib/swoosh/journal ] || fail "purging takes the data away"
dpkg -i "$deb" >/dev/null
answers "after a new installation"

echo "== the log is good, and checking it as its owner changes nothing for the server"
systemctl stop swoosh
runuser -u swoosh -- swoosh verify /var/lib/swoosh >/verify || fail "swoosh verify: $(cat /verify)"
systemctl start swoosh
answers "after swoosh verify"
