#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the chart with an image, or upgrades to it, tries it on every node, and goes back if it is not well.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

release=${WEFT_RELEASE:-weft} namespace=${WEFT_NAMESPACE:-weft} port=${WEFT_PORT:-9464}
usage() {
	cat <<END
Usage: deploy/rollout.sh REGISTRY/NAME@sha256:DIGEST [HELM OPTION]...

Installs the chart helm/weft in the cluster that kubectl talks to, or upgrades it, with that image and the values that the
options name (--values FILE, --set KEY=VALUE). Then it runs helm test and asks weft on every node whether it is ready. If
anything is wrong the release goes back to the revision before, or away if there was none, and this ends with 1.

WEFT_NAMESPACE (weft), WEFT_RELEASE (weft) and WEFT_PORT (9464, weft's own endpoints) say where.
END
}

die() {
	echo "rollout.sh: $*" >&2
	exit 1
}

case "${1:-}" in
-h | --help) usage; exit 0 ;;
'') usage >&2; exit 2 ;;
esac
image=$1
shift
# A tag can be moved after the scan; a digest cannot.
[[ "$image" =~ ^([a-z0-9.-]+(:[0-9]+)?)/([a-z0-9._/-]+)@(sha256:[0-9a-f]{64})$ ]] ||
	die "not an image by digest, such as ghcr.io/you/weft@sha256:…: $image"
registry=${BASH_REMATCH[1]} repository=${BASH_REMATCH[3]} digest=${BASH_REMATCH[4]}

helm_() { helm --namespace "$namespace" "$@"; }
kubectl_() { kubectl --namespace "$namespace" "$@"; }

revision() {
	helm_ list --deployed --filter "^$release\$" --output json | sed -n 's/.*"revision":"\([0-9]*\)".*/\1/p'
}

pods() { # NAME IMAGE of each pod of the DaemonSet: helm test's have the same labels
	kubectl_ get pods --selector "app.kubernetes.io/instance=$release" --output \
		'jsonpath={range .items[?(@.metadata.ownerReferences[0].kind=="DaemonSet")]}{.metadata.name} {.spec.containers[0].image}{"\n"}{end}'
}

is_ready() { # POD: asked by a port of this machine, which no network policy is in the way of
	local forward answer='' local=${WEFT_LOCAL_PORT:-19464}
	kubectl --namespace "$namespace" port-forward "pod/$1" "$local:$port" >/dev/null 2>&1 &
	forward=$!
	for _ in $(seq 50); do
		# where the port is taken kubectl is gone, and the answer somebody else's
		answer=$(curl --silent --max-time 5 --output /dev/null --write-out '%{http_code}' \
			"http://127.0.0.1:$local/readyz") && kill -0 "$forward" 2>/dev/null && break
		answer=
		sleep 0.2
	done
	kill "$forward" 2>/dev/null || :
	wait "$forward" 2>/dev/null || :
	[ "$answer" = 200 ] || { echo "rollout.sh: $1 is not ready: /readyz answers ${answer:-nothing}" >&2; return 1; }
}

is_well() {
	local found=0 pod runs
	kubectl_ rollout status daemonset --selector "app.kubernetes.io/instance=$release" --timeout 5m || return 1
	helm_ test "$release" --timeout 5m --logs || return 1
	while read -r pod runs; do
		case $runs in *"@$digest") ;; *) echo "rollout.sh: $pod runs $runs" >&2; return 1 ;; esac
		is_ready "$pod" || return 1
		found=$((found + 1))
	done < <(pods)
	[ "$found" -gt 0 ] || { echo "rollout.sh: no node runs weft" >&2; return 1; }
	echo "weft is well on $found nodes: $image"
}

before=$(revision)
# --atomic brings an upgrade back that does not get ready; what comes after it is for the rest.
helm_ upgrade "$release" helm/weft --install --create-namespace --atomic --timeout 10m --history-max 10 "$@" \
	--set-string "image.registry=$registry,image.repository=$repository,image.digest=$digest" ||
	die "the upgrade failed; the release is as it was${before:+, at revision $before}"

is_well && exit 0
kubectl_ get pods --output wide >&2 || :
kubectl_ logs --selector "app.kubernetes.io/instance=$release" --tail 40 --prefix >&2 || :
if [ -n "$before" ]; then
	helm_ rollback "$release" "$before" --wait --timeout 10m || die "it is not well, and the rollback failed"
	die "it is not well: back at revision $before"
fi
helm_ uninstall "$release" --wait --timeout 10m || die "it is not well, and could not be removed"
die "it is not well: removed again"
