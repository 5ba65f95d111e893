#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# To be sourced: packages of Debian and Ubuntu by apt, of any suite and architecture ($arch), touching nothing of this
# machine's own lists. The caller has die() and ubuntu.sh. Needs no root.
CACHE=${WEFT_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weft-vm}

# The mirror that this machine's own apt uses, if it is Debian's.
mirror() {
	local found
	found=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' \
		/etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
		grep '/debian/*$' | head -n 1)
	[ -n "$found" ] || die "apt's sources name no mirror of Debian"
	echo "${found%/}"
}

# apt, seeing nothing but the suite.
apt_of() { # SUITE COMMAND [ARG]...
	local suite=$1 own=$CACHE/apt/$1-$arch command=$2
	shift 2
	"$command" -oDir::Etc::sourcelist="$own/sources.list" -oDir::Etc::sourceparts=/dev/null \
		-oDir::State::Lists="$own/lists" -oDir::Cache="$own/cache" -oDir::State::status=/dev/null \
		-oAPT::Architecture="$arch" -oAPT::Architectures="$arch" -oAPT::Sandbox::User= \
		-oDebug::NoLocking=true "$@"
}

apt_update() { # SUITE
	local suite=$1 own=$CACHE/apt/$1-$arch
	local by="[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
	mkdir -p "$own"/{lists/partial,cache/archives/partial}
	case $suite in
	jammy | noble)
		[ -s "$own/key.gpg" ] || ubuntu_keyring "$own/key.gpg"
		printf "deb [signed-by=$own/key.gpg] $UBUNTU %s main\n" "$suite-updates" "$suite-security"
		;;
	sid) echo "deb $by $(mirror) sid main" ;;
	*) printf "deb $by %s main\n" "$(mirror) $suite" "$(mirror)-security $suite-security" ;;
	esac >"$own/sources.list"
	apt_of "$suite" apt-get update -qq >&2 || die "apt cannot reach $suite"
}
