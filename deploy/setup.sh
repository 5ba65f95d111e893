#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# setup.sh [build] [demo] [test] [bench] [vm] [arm64] [image] [kube] [fetch] [runtime]: installs the packages of
# packages.txt that are missing, those of the first four kinds if none is named. Does nothing, quickly, when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$PATH:/usr/sbin:/sbin" DEBIAN_FRONTEND=noninteractive LC_ALL=C

kinds=" ${*:-build demo test bench} "
wanted=()
arch=$(dpkg --print-architecture)
while read -r kind package command; do
	case "$kind" in '' | '#'*) continue ;; esac
	case "$kinds" in *" $kind "*) ;; *) continue ;; esac
	case "$command" in
	"[$arch]") command= ;;
	"["*) continue ;;
	esac
	[ -n "$command" ] && command -v "$command" >/dev/null && continue
	case " ${wanted[*]} " in *" $package "*) continue ;; esac # it is of several kinds
	wanted+=("$package")
done <packages.txt

missing=()
for package in "${wanted[@]}"; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done

# The sanitizers' runtime for clang (fuzzers) is a package of its own, named after clang's version.
case "$kinds" in
*" test "*)
	version=$(clang -dumpversion 2>/dev/null | cut -d. -f1 || true)
	if [ -z "$(find /usr/lib/llvm-"${version:-0}" -name 'libclang_rt.fuzzer*.a' 2>/dev/null | head -1)" ]; then
		runtime=yes
	fi
	;;
esac

[ ${#missing[@]} -eq 0 ] && [ -z "${runtime:-}" ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "setup.sh: run as root to install: ${missing[*]}" >&2
	exit 1
fi

# The servers are for tests and the demo: none of them is to start by itself.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi

install() {
	apt-get install -y -qq --no-install-recommends "$@" >"$log" 2>&1 </dev/null ||
		{ tail -20 "$log" >&2; echo "setup.sh: could not install: $*" >&2; return 1; }
}

log=$(mktemp)
apt-get update -qq >"$log" 2>&1 </dev/null || { tail -5 "$log" >&2; echo "setup.sh: apt-get update failed" >&2; }

# Ubuntu has bpftool inside its kernel tools.
tools=()
for package in "${missing[@]}"; do
	if [ "$package" = bpftool ] && ! apt-cache show bpftool 2>/dev/null | grep -q '^Filename:'; then
		package=linux-tools-generic
	fi
	tools+=("$package")
done
if [ ${#tools[@]} -gt 0 ]; then
	echo "installing: ${tools[*]}" >&2
	install "${tools[@]}"
fi
if ! bpftool version >/dev/null 2>&1; then
	newest=$(find /usr/lib/linux-tools* -name bpftool 2>/dev/null | sort -V | tail -1)
	if [ -n "$newest" ]; then
		ln -sf "$newest" /usr/local/sbin/bpftool
	fi
fi
if [ -n "${runtime:-}" ]; then
	version=$(clang -dumpversion | cut -d. -f1)
	echo "installing: libclang-rt-$version-dev" >&2
	install "libclang-rt-$version-dev"
fi
rm -f "$log"
