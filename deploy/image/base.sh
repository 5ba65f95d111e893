#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# base.sh ARCH TAR: a Debian 12 as a tar archive, made of packages from the mirror that this machine's own apt uses: what
# stands in for debian:bookworm-slim where no registry can be reached. What the Dockerfile installs is in it already, so
# that a build has only to compile. Needs root.
set -euo pipefail
export LC_ALL=C

die() {
	echo "base.sh: $*" >&2
	exit 1
}

arch=${1:?base.sh ARCH TAR} tar=${2:?base.sh ARCH TAR}
# shellcheck source=tests/vm/debian.sh
. "$(dirname "$(readlink -f "$0")")/../../tests/vm/debian.sh"
from=$(mirror)
packages=$(awk '$1 == "build" || $1 == "runtime" {print $2}' "$(dirname "$(readlink -f "$0")")/../packages.txt" | paste -sd,)
# dpkg's fsyncs are for machines that can lose power in the middle; what nobody reads in a builder stays out.
mmdebstrap --quiet --variant=minbase --arch="$arch" --include="$packages" --format=tar --skip=output/dev \
	--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--aptopt='Acquire::Languages "none"' bookworm "$tar" \
	"deb $from bookworm main" "deb $from bookworm-updates main" "deb $from-security bookworm-security main"
