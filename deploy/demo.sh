#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Starts a sample bank of services that know nothing of tracing, sends customers through it, and shows
# what weft sees: sudo deploy/demo.sh [--keep] [--seconds N]
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"

seconds=20
usage() {
	cat <<EOF
Usage: sudo deploy/demo.sh [--keep] [--seconds N]

Installs what is missing, builds weft, starts the sample bank (deploy/bank), drives traffic
through it and shows the traces, live. Ends by itself and leaves nothing running.

  --keep       goes on until Ctrl-C
  --seconds N  how long to show traces (default $seconds)
EOF
}
while [ $# -gt 0 ]; do
	case "$1" in
	--keep) seconds=86400 ;;
	--seconds)
		[[ "${2:-}" =~ ^[1-9][0-9]{0,4}$ ]] || { echo "demo.sh: --seconds wants a number" >&2; exit 2; }
		seconds=$2
		shift
		;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done

die() {
	echo "demo.sh: $*" >&2
	exit 1
}

[ "$(id -u)" -eq 0 ] || die "needs root, to attach eBPF programs: sudo deploy/demo.sh"
cgroups=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
[ -n "$cgroups" ] || die "cgroup v2 is not mounted"

bold='' dim='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

run=$(mktemp -d /tmp/weft-demo.XXXXXX)
chmod 755 "$run" # nginx's worker gives up root
group=/weft-bank-$$
pids=()
weft=

cleanup() {
	trap - EXIT INT TERM
	local pid name
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	for pid in "${pids[@]}"; do
		wait "$pid" 2>/dev/null || true
	done
	for name in ingress payments accounts notifications .; do
		[ -d "$cgroups$group/$name" ] || continue
		for _ in 1 2 3 4 5 6 7 8 9 10; do
			rmdir "$cgroups$group/$name" 2>/dev/null && break
			rmdir "$cgroups$group" 2>/dev/null && break
			sleep 0.1
		done
	done
	rm -rf "$run"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# quiet WHAT COMMAND...: its output only if it fails.
quiet() {
	local what=$1
	shift
	echo "${dim}$what …${plain}"
	"$@" >"$run/step.log" 2>&1 || { tail -30 "$run/step.log" >&2; die "$what: failed"; }
}

quiet "installing what is missing" deploy/setup.sh build demo
[ -f build/build.ninja ] || quiet "configuring" meson setup build
quiet "building weft" ninja -C build agent/weft

port() {
	/usr/bin/python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
INGRESS=$(port) PAYMENTS=$(port) ACCOUNTS=$(port) NOTIFICATIONS=$(port) LISTEN=$(port)
export PAYMENTS ACCOUNTS NOTIFICATIONS

listens() {
	local hex
	hex=$(printf ':%04X 00000000:0000 0A' "$1")
	grep -q "$hex" /proc/net/tcp
}

# service NAME PORT COMMAND...: starts it in a cgroup of its own and waits until it listens.
service() {
	local name=$1 port=$2
	shift 2
	mkdir -p "$cgroups$group/$name"
	(
		echo "$BASHPID" >"$cgroups$group/$name/cgroup.procs"
		export OTEL_SERVICE_NAME=$name PORT=$port
		exec setsid "$@" </dev/null >"$run/$name.log" 2>&1
	) &
	local pid=$!
	pids+=("$pid")
	for _ in $(seq 200); do
		listens "$port" && return
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	cat "$run/$name.log" >&2
	die "$name does not start"
}

sed -e "s|@DIR@|$run|" -e "s|@INGRESS@|$INGRESS|" -e "s|@PAYMENTS@|$PAYMENTS|" -e "s|@ACCOUNTS@|$ACCOUNTS|" \
	deploy/bank/nginx.conf >"$run/nginx.conf"
mkdir -p "$cgroups$group"
build/agent/weft run --exporters terminal --include "cgroup=$group" --listen "127.0.0.1:$LISTEN" \
	2>"$run/weft.log" &
weft=$!
pids+=("$weft")
for _ in $(seq 100); do
	curl -fs -o /dev/null "http://127.0.0.1:$LISTEN/readyz" && break
	kill -0 "$weft" 2>/dev/null || { cat "$run/weft.log" >&2; die "weft does not start; ask: build/agent/weft doctor"; }
	sleep 0.1
done
curl -fs -o /dev/null "http://127.0.0.1:$LISTEN/readyz" || { cat "$run/weft.log" >&2; die "weft is not ready"; }

# nginx writes its title over its environment, and so over its name: weft must be there first.
service ingress "$INGRESS" nginx -e "$run/nginx.log" -p "$run" -c "$run/nginx.conf"
service notifications "$NOTIFICATIONS" puma -C deploy/bank/puma.rb deploy/bank/notifications.ru
service accounts "$ACCOUNTS" node deploy/bank/accounts.js
service payments "$PAYMENTS" /usr/bin/python3 deploy/bank/payments.py

cat <<EOF

${bold}The sample bank is open.${plain}

  customers ──▶ ingress (nginx) ──▶ payments (Python) ──▶ accounts (Node.js)
                      │                     └───────────▶ notifications (Ruby)
                      └────────────▶ accounts

None of these programs is instrumented. weft watches their socket calls from outside and puts
together, for each customer's request, the tree of what happened. Watch for payments without
enough money (402), a blocked account (409), a slow mail server, and one bug (500).

  ${dim}▸ a request as its server saw it   ⇢▸ a call and the request it led to   ⇢ a call alone${plain}
  ${dim}200  5.4 ms (+3.7 ms)   how it ended, how long it took (of that not spent in the server)${plain}
  ${dim}thread+socket           the evidence: who made the call, which request it became${plain}

EOF

/usr/bin/python3 deploy/bank/customers.py "$INGRESS" "$seconds" 1.5 &
pids+=("$!")
wait "$!" || true
sleep 1

spans=$(curl -fs "http://127.0.0.1:$LISTEN/metrics" | awk '/^weft_spans_released_total/ {print $2}')
kill "$weft"
wait "$weft" || { cat "$run/weft.log" >&2; die "weft ended badly"; }

cat <<EOF

${bold}${spans:-0} spans, no line of any program changed.${plain}
Next: ${bold}sudo build/agent/weft run${plain} traces every server of this machine; with
OTEL_EXPORTER_OTLP_ENDPOINT set to your collector's URL the traces go there (see README.md).
EOF
