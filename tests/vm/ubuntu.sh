#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# To be sourced: Ubuntu's archive, and its key, which Debian does not carry: from Ubuntu's own package, and only the one
# that is known. The caller has die().
UBUNTU=http://archive.ubuntu.com/ubuntu
UBUNTU_KEY=F6ECB3762474EDA9D21B7022871920D1991BC93C # Ubuntu Archive Automatic Signing Key (2018)
UBUNTU_KEYRING=pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb

ubuntu_keyring() { # INTO
	local part
	part=$(mktemp -d)
	curl -sSf -o "$part/keyring.deb" "$UBUNTU/$UBUNTU_KEYRING"
	dpkg-deb -x "$part/keyring.deb" "$part"
	mkdir -m 700 "$part/gpg"
	gpg --homedir "$part/gpg" --quiet --import "$part/usr/share/keyrings/ubuntu-archive-keyring.gpg"
	gpg --homedir "$part/gpg" --quiet --export "$UBUNTU_KEY" >"$1"
	rm -rf "$part"
	[ -s "$1" ] || die "Ubuntu's key is not in its keyring"
}
