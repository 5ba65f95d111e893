#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kernel.sh VERSION [ARCH]: fetches a kernel of Debian's, or of Ubuntu's for Azure, by apt, once, and prints the folder it was unpacked to:
# vmlinuz, lib/modules and an initramfs that mounts the host's root (guest.sh). Needs no root.
set -euo pipefail

MODULES="virtio_pci virtio_console virtiofs virtio_blk ext4 overlay"

die() {
	echo "kernel.sh: $*" >&2
	exit 1
}

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/vm/debian.sh
. "$here/debian.sh"
# shellcheck source=tests/vm/ubuntu.sh
. "$here/ubuntu.sh"

# suite_of VERSION: the suite that carries the kernel, and how its packages are called there.
suite_of() {
	case $1 in
	5.10) echo "bullseye ^linux-image-5\.10\.[^ ]*-cloud-$arch-unsigned$" ;;
	6.1) echo "bookworm ^linux-image-6\.1\.[^ ]*-cloud-$arch-unsigned$" ;;
	6.12) echo "bookworm ^linux-image-6\.12\.[^ ]*-cloud-$arch-unsigned$" ;;
	7.2) echo "sid ^linux-(base|binary|modules)-7\.2[^ ]*-cloud-$arch$" ;;
	5.15-azure) echo "jammy ^linux-image-5\.15\.0-[0-9]*-azure$" ;; # AKS' Ubuntu 22.04
	6.8-azure) echo "noble ^linux-image-6\.8\.0-[0-9]*-azure$" ;; # its Ubuntu 24.04
	*) die "unknown kernel $1: one of 5.10, 5.15-azure, 6.1, 6.8-azure, 6.12, 7.2" ;;
	esac
}

fetch() { # SUITE PATTERN INTO
	local suite=$1 pattern=$2 into=$3 names name
	mkdir -p "$into"
	apt_update "$suite"
	names=$(apt_of "$suite" apt-cache search -n "$pattern" | cut -d' ' -f1 | sort -V)
	[ -n "$names" ] || die "no package of $suite matches $pattern"
	case $pattern in
	*azure*) # the newest, whose modules are a package of their own
		name=$(tail -n 1 <<<"$names")
		(cd "$into" && apt_of "$suite" apt-get download -qq "$name" "${name/image/modules}" >&2) && return
		;;
	*linux-image*) # the newest that the mirror really has: an old suite's updates may have been moved away
		for name in $(tac <<<"$names"); do
			(cd "$into" && apt_of "$suite" apt-get download -qq "$name" >/dev/null 2>&1) && return
		done
		;;
	*) # one kernel in several packages
		# shellcheck disable=SC2086
		(cd "$into" && apt_of "$suite" apt-get download -qq $names >&2) && return
		;;
	esac
	die "cannot download any of" $names
}

# The few modules that it takes to mount the root, numbered in the order to load them.
put_modules() { # KERNEL RELEASE INTO
	local n=10 module ko
	for module in $MODULES; do
		modprobe -d "$1" -S "$2" --show-depends --ignore-install "$module" 2>/dev/null |
			sed -n 's/^insmod \([^ ]*\).*/\1/p'
	done | awk '!seen[$0]++' | while read -r ko; do
		module=$(basename "${ko%.xz}" .zst)
		case $ko in
		*.xz) xz -dc "$ko" >"$3/$n-$module" ;;
		*.zst) zstd -qdc "$ko" >"$3/$n-$module" ;;
		*) cp "$ko" "$3/$n-$module" ;;
		esac
		n=$((n + 1))
	done
}

make_initramfs() { # KERNEL RELEASE
	local root
	root=$(mktemp -d)
	mkdir -p "$root"/{bin,dev,proc,sys,host,over,root,modules}
	cp "$busybox" "$root/bin/busybox"
	ln -s busybox "$root/bin/sh"
	cp "$here/init" "$root/init"
	put_modules "$1" "$2" "$root/modules"
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$1/initramfs"
	rm -rf "$root"
}

unpack() { # VERSION INTO
	local part=$2.part debs=$CACHE/debs/$1-$arch release deb suite pattern
	if [ ! -e "$debs/complete" ]; then
		read -r suite pattern <<<"$(suite_of "$1")"
		rm -rf "$debs"
		fetch "$suite" "$pattern" "$debs"
		touch "$debs/complete"
	fi
	rm -rf "$part"
	mkdir -p "$part"
	for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$part"; done
	if [ -d "$part/usr/lib/modules" ]; then
		mkdir -p "$part/lib"
		mv "$part/usr/lib/modules" "$part/lib/"
	fi
	release=$(ls "$part/lib/modules")
	if [ -e "$part/boot/vmlinuz-$release" ]; then
		mv "$part/boot/vmlinuz-$release" "$part/vmlinuz"
	else
		cp "$part/lib/modules/$release/vmlinuz" "$part/vmlinuz"
	fi
	depmod -b "$part" "$release"
	rm -rf "$part/usr" "$part/boot"
	mv "$part" "$2"
}

version=${1:?kernel.sh VERSION [ARCH]}
arch=${2:-$(dpkg --print-architecture)}
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C
suite_of "$version" >/dev/null
kernel=$CACHE/kernels/$version-$arch
busybox=$(command -v busybox) || die "busybox is not installed"
[ "$arch" = "$(dpkg --print-architecture)" ] || busybox=$("$here/root.sh" "$arch")/usr/bin/busybox

mkdir -p "$CACHE/kernels"
exec 9>"$CACHE/lock" # two runs at once fetch a kernel once
flock 9
[ -d "$kernel" ] || unpack "$version" "$kernel"
if [ "$here/init" -nt "$kernel/initramfs" ] || [ "$0" -nt "$kernel/initramfs" ]; then
	make_initramfs "$kernel" "$(ls "$kernel/lib/modules")"
fi
echo "$kernel"
