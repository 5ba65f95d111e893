#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# rootfs.sh WEFT INTO: makes the folder that is the image: the program, the libraries that it is linked with, CA
# certificates, the few files of /etc that the C library reads, and of each Debian package of which something is here its
# record, check sums and licence, where scanners look for them. Runs in the image's builder.
set -euo pipefail
export LC_ALL=C

weft=${1:?rootfs.sh WEFT INTO} into=${2:?rootfs.sh WEFT INTO}
here=$(dirname "$(readlink -f "$0")")
umask 022

die() {
	echo "rootfs.sh: $*" >&2
	exit 1
}

# The name under which dpkg knows a file: on a merged /usr a library is found below /lib as well as /usr/lib.
known() { # FILE: package and the path in it
	local path=$1 found
	for path in "$1" "${1#/usr}" "/usr$1"; do
		found=$(dpkg -S "$path" 2>/dev/null | head -n 1) || continue
		[ -n "$found" ] && echo "${found%%: *} $path" && return
	done
	die "$1 is of no package"
}

# keep FILE: copies it, and the links that lead to it, and remembers its package.
keep() {
	local at=$1 real package path
	while :; do
		mkdir -p "$into$(dirname "$at")"
		cp -a --no-dereference "$at" "$into$at"
		[ -L "$at" ] || break
		real=$(readlink "$at")
		case $real in /*) at=$real ;; *) at=$(dirname "$at")/$real ;; esac
	done
	read -r package path < <(known "$(readlink -f "$1")")
	echo "$package ${path#/}" >>"$kept"
}

libraries() {
	local lines
	lines=$(ldd "$weft")
	case $lines in *"not found"*) die "a library is missing: $lines" ;; esac
	awk '$2 == "=>" {print $3} $1 ~ /^\// {print $1}' <<<"$lines"
}

# As distroless images have it: a record a package, without the machinery of dpkg.
record() { # PACKAGE
	local name=${1%%:*} info=/var/lib/dpkg/info sums
	mkdir -p "$into/var/lib/dpkg/status.d" "$into/usr/share/doc/$name"
	dpkg-query -s "$1" >"$into/var/lib/dpkg/status.d/$name"
	for sums in "$info/$1.md5sums" "$info/$name.md5sums"; do
		[ -e "$sums" ] || continue
		awk -v package="$1" 'NR == FNR {if ($1 == package) here[$2]; next} $2 in here' "$kept" "$sums" \
			>"$into/var/lib/dpkg/status.d/$name.md5sums"
		break
	done
	cp -L "/usr/share/doc/$name/copyright" "$into/usr/share/doc/$name/copyright"
}

rm -rf "$into"
mkdir -p "$into"/usr/{bin,lib,lib64,sbin} "$into"/{etc/weft,etc/ssl/certs,dev,proc,sys,run,root,tmp,var/tmp}
ln -s usr/bin usr/lib usr/lib64 usr/sbin "$into"
ln -s /run "$into/var/run"
chmod 1777 "$into/tmp" "$into/var/tmp"
chmod 700 "$into/root"
kept=$(mktemp)
trap 'rm -f "$kept"' EXIT

strip -o "$into/usr/bin/weft" "$weft"
chmod 755 "$into/usr/bin/weft"
libraries | sort -u | while read -r library; do keep "$library"; done
cp "$here/weft.yaml" "$into/etc/weft/weft.yaml"
cp /etc/ssl/certs/ca-certificates.crt "$into/etc/ssl/certs/"
[ -s "$into/etc/ssl/certs/ca-certificates.crt" ] || die "no CA certificates"
for licences in /usr/share/common-licenses/*; do keep "$licences"; done
keep /etc/os-release
keep /etc/debian_version
mkdir -p "$into/usr/share/doc/weft"
cp "$here/../../LICENSE" "$into/usr/share/doc/weft/copyright"

cat >"$into/etc/passwd" <<-'END'
	root:x:0:0:root:/root:/usr/sbin/nologin
	nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
	weft:x:65532:65532:weft:/nonexistent:/usr/sbin/nologin
END
cat >"$into/etc/group" <<-'END'
	root:x:0:
	nogroup:x:65534:
	weft:x:65532:
END
echo 'hosts: files dns' >"$into/etc/nsswitch.conf"

for package in $(cut -d' ' -f1 "$kept" | sort -u) ca-certificates; do record "$package"; done
find "$into" -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
