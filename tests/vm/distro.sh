#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# distro.sh [--again] [trixie|noble]...: builds this tree, warnings as errors, on a fresh Debian 13 or Ubuntu 24.04 (both
# without an argument), made by debootstrap in a folder, and runs the unit tests there. With the systems' own
# compilers and libraries; the kernel is this machine's. Needs root and debootstrap. --again takes the system of an
# earlier run; WEFT_VM_CACHE names the place.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/../..")
CACHE=${WEFT_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weft-vm}
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C

die() {
	echo "distro.sh: $*" >&2
	exit 1
}

mirror_of() {
	case $1 in
	trixie) sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list \
		/etc/apt/sources.list.d/*.sources 2>/dev/null | grep '/debian/*$' | grep . ||
		die "apt's sources name no mirror of Debian" ;;
	noble) echo "$UBUNTU" ;;
	*) die "unknown distribution $1: trixie or noble" ;;
	esac | head -n 1
}

# shellcheck source=tests/vm/ubuntu.sh
. "$root/tests/vm/ubuntu.sh"

# The system, made once.
make_system() { # SUITE INTO
	local components=main keyring=/usr/share/keyrings/debian-archive-keyring.gpg script=
	if [ "$1" = noble ]; then
		components=main,universe
		keyring=$CACHE/ubuntu.gpg
		ubuntu_keyring "$keyring"
		script=/usr/share/debootstrap/scripts/gutsy # every Ubuntu's; Debian 12 has no name for newer ones
	fi
	[ -e "$keyring" ] || die "$keyring is not installed"
	rm -rf "$2.part"
	debootstrap --variant=minbase --keyring="$keyring" --components="$components" "$1" "$2.part" \
		"$(mirror_of "$1")" ${script:+"$script"} >"$2.log" 2>&1 || { tail -n 5 "$2.log" >&2 && die "debootstrap $1 failed"; }
	rm -rf "$2"
	mv "$2.part" "$2"
}

put_sources() { # SYSTEM
	rm -rf "$1/weft"
	mkdir -p "$1/weft"
	git -C "$root" ls-files -z --cached --others --exclude-standard |
		tar -C "$root" --null -T - --ignore-failed-read -cf - | tar -C "$1/weft" -xf -
	cp -L /etc/resolv.conf "$1/etc/resolv.conf"
}

again=
suites=()
for arg in "$@"; do
	case $arg in
	--again) again=yes ;;
	-*) sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 1 ;;
	*) suites+=("$arg") ;;
	esac
done
[ "$(id -u)" = 0 ] || die "needs root"
command -v debootstrap >/dev/null || die "debootstrap is not installed"
for suite in "${suites[@]:-trixie noble}"; do
	for one in $suite; do
		system=$CACHE/systems/$one
		mkdir -p "$CACHE/systems"
		if [ -z "$again" ] || [ ! -d "$system" ]; then make_system "$one" "$system"; fi
		put_sources "$system"
		echo "== $one"
		# The mounts are in a namespace of their own and go with it.
		unshare -m --propagation private /bin/bash -euo pipefail -s "$system" <<-'MAKE'
			mount -t proc proc "$1/proc"
			mount --rbind /sys "$1/sys"
			mount --rbind /dev "$1/dev"
			exec chroot "$1" /bin/bash -euo pipefail -c '
				export DEBIAN_FRONTEND=noninteractive
				cd /weft
				deploy/setup.sh build
				gcc --version | head -n 1
				clang --version | head -n 1
				meson setup /weft/build -Dwerror=true >/tmp/setup.log || { tail -n 30 /tmp/setup.log; exit 1; }
				ninja -C /weft/build >/tmp/build.log || { grep -E -A6 "error:|FAILED" /tmp/build.log | head -n 60; exit 1; }
				meson test -C /weft/build --print-errorlogs | tail -n 30
				build/agent/weft doctor' || exit 1
		MAKE
	done
done
