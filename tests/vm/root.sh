#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# root.sh ARCH: makes, once, a Debian 12 of another architecture in a folder, which it prints: what a cross build takes
# its headers and libraries from (ARCH.ini beside it tells meson where), and a guest runs on. It is packages unpacked,
# none of whose scripts ever ran: the essential ones, those of the kind "guest" of deploy/packages.txt, and the libraries
# that weft is built with. Nothing of it is installed here.
set -euo pipefail

die() {
	echo "root.sh: $*" >&2
	exit 1
}

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/vm/debian.sh
. "$here/debian.sh"
packages=$here/../../deploy/packages.txt
suite=bookworm

wanted() {
	while read -r kind package _; do
		case $kind:$package in
		guest:* | build:*-dev | test:*-dev) echo "$package" ;;
		esac
	done <"$packages"
}

# tar, where dpkg-deb would replace the links to /usr by folders.
unpack() { # DEBS INTO
	local deb
	mkdir -p "$2"/usr/{bin,sbin,lib} "$2"/{dev,proc,run,sys,tmp}
	ln -s usr/bin usr/sbin usr/lib "$2"
	for deb in "$1"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$2" --exclude=./usr/share/{doc,man,locale}
	done
}

# What scripts of the packages would have done, as far as it matters.
settle() { # ROOT
	local link target
	cp "$1/usr/share/base-passwd/passwd.master" "$1/etc/passwd"
	cp "$1/usr/share/base-passwd/group.master" "$1/etc/group"
	printf '127.0.0.1 localhost\n::1 localhost\n' >"$1/etc/hosts"
	chmod 1777 "$1/tmp"
	# a linker follows links on this machine
	find "$1/usr/lib" -type l -lname '/*' -name '*.so*' | while read -r link; do
		target=$(readlink "$link")
		ln -sfr "$1$target" "$link"
	done
}

make_root() { # INTO
	local debs=$CACHE/debs/root-$arch names
	mapfile -t names < <(wanted)
	apt_update "$suite"
	rm -rf "$debs" "$1.part"
	mkdir -p "$debs"
	apt_of "$suite" apt-get install -qq -y --download-only --no-install-recommends \
		-oDir::Cache::archives="$debs" '?essential' "${names[@]}" >"$1.log" 2>&1 || { tail -n 5 "$1.log" >&2 && die "cannot download"; }
	unpack "$debs" "$1.part"
	settle "$1.part"
	wanted >"$1.part/packages"
	rm -rf "$debs" "$1"
	printf "[constants]\nsysroot = '%s'\n" "$1" >"$1.ini"
	mv "$1.part" "$1"
}

arch=${1:?root.sh ARCH}
export LC_ALL=C
root=$CACHE/systems/$arch
mkdir -p "$CACHE/systems"
exec 8>"$CACHE/systems/lock" # two runs at once make it once
flock 8
cmp -s <(wanted) "$root/packages" || make_root "$root"
echo "$root"
