#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the agent's image with buildah, by default on a Debian made of packages, so that no registry is needed; see
# deploy/image.sh --help. Needs root.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

usage() {
	cat <<END
Usage: sudo deploy/image.sh [OPTION]...

Builds deploy/Dockerfile with buildah (the packages: deploy/setup.sh image) and prints what came of it, a word and a
value a line: image, id, digest, compressed and unpacked (bytes).

  --output TO    where it goes as well; may be given several times:
                 oci-archive:FILE, docker-archive:FILE, oci:DIR, docker://NAME, or rootfs:DIR for its plain files
  --tag NAME     its name (default localhost/weft:VERSION)
  --arch ARCH    amd64 or arm64 (default: this machine's; the other one needs binfmt_misc, with the packages
                 qemu-user-static and arch-test, and a quarter of an hour)
  --base IMAGE   what it is built on, best by digest (default: a Debian 12 that is made here, once, of packages)
  --source URL   where its source can be seen (default: this clone's remote, if that is https)
  --fresh        forgets what earlier builds left: the Debian, its packages, their updates

What builds have in common is kept in WEFT_IMAGE_CACHE (default ~/.cache/weft-image).
END
}

die() {
	echo "image.sh: $*" >&2
	exit 1
}

git_says() { git -c safe.directory='*' "$@" 2>/dev/null; }

arch=$(dpkg --print-architecture) base='' tag='' source='' fresh='' outputs=()
while [ $# -gt 0 ]; do
	case "$1" in
	--arch | --base | --tag | --source | --output)
		[ -n "${2:-}" ] || die "$1 wants a value"
		case "$1" in --output) outputs+=("$2") ;; *) printf -v "${1#--}" %s "$2" ;; esac
		shift
		;;
	--fresh) fresh=yes ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
case $arch in amd64 | arm64) ;; *) die "no such architecture: $arch" ;; esac
for output in "${outputs[@]}"; do
	case $output in
	oci-archive:?* | docker-archive:?* | oci:?* | docker://?* | rootfs:?*) ;;
	*) die "cannot write to $output: see --help" ;;
	esac
done
[ "$(id -u)" -eq 0 ] || die "needs root"
command -v buildah >/dev/null || die "buildah is not installed: deploy/setup.sh image"

cache=${WEFT_IMAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weft-image}
mkdir -p "$cache"
exec 9>"$cache/lock" # two builds at once would make the base twice
flock 9
work=$(mktemp -d "$cache/work.XXXXXX")
container=
trap '[ -z "$container" ] || store rm "$container" >/dev/null; rm -rf "$work"' EXIT

# An overlay does not lie on another one.
driver=overlay
case $(stat -f -c %T "$cache") in overlay*) driver=vfs ;; esac

store() { # buildah, with storage of its own
	local command=$1
	shift
	buildah --root "$cache/storage" --runroot "$cache/run" --storage-driver "$driver" "$command" "$@" 9>&-
}

if [ -n "$fresh" ]; then
	store rmi --all --force >/dev/null 2>&1 || :
fi

made=$({ grep -E '^(build|runtime) ' deploy/packages.txt; cat deploy/image/base.sh; } | sha256sum | cut -c1-12)
digest=
if [ -z "$base" ]; then
	base=localhost/weft-base:bookworm-$arch-$made
	store images --noheading --format '{{.Name}}:{{.Tag}}' | while read -r old; do
		case $old in
		"$base") ;;
		"localhost/weft-base:bookworm-$arch-"*) store rmi --force "$old" >/dev/null ;;
		esac
	done
	if ! store inspect --type image "$base" >/dev/null 2>&1; then
		echo "image.sh: making $base of Debian's packages" >&2
		deploy/image/base.sh "$arch" "$work/base.tar"
		container=$(store from --arch "$arch" scratch)
		store add --quiet "$container" "$work/base.tar" / >/dev/null
		store config --cmd /bin/bash "$container"
		store commit --quiet "$container" "$base" >/dev/null
		store rm "$container" >/dev/null
		container=
		rm "$work/base.tar"
	fi
	digest=$(store inspect --type image --format '{{.FromImageDigest}}' "$base")
else
	case $base in *@sha256:*) digest=${base##*@} ;; esac
fi

version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" meson.build)
revision=$(git_says rev-parse HEAD || echo unknown)
[ -z "$(git_says status --porcelain --untracked-files=no)" ] || revision=$revision-dirty
epoch=$(git_says log -1 --format=%ct || echo 0)
if [ -z "$source" ]; then
	source=$(git_says remote get-url origin || :)
	case $source in https://*@* | [!h]* | http:*) source= ;; esac
fi
tag=${tag:-localhost/weft:$version}

# No cache of layers: buildah 1.28 takes a stage for the same whatever the values of its arguments.
store bud --quiet --layers=false --timestamp "$epoch" --isolation chroot --arch "$arch" --file deploy/Dockerfile --tag "$tag" \
	--build-arg BASE="$base" --build-arg BASE_DIGEST="$digest" --build-arg VERSION="$version" \
	--build-arg REVISION="$revision" --build-arg SOURCE="$source" --build-arg SOURCE_DATE_EPOCH="$epoch" \
	--build-arg CREATED="$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)" . >"$work/log" 2>&1 ||
	{ tail -n 40 "$work/log" >&2; die "the build failed"; }

store rmi --prune --force >/dev/null 2>&1 || :

store push --quiet --format oci "$tag" "oci:$work/oci:image" >/dev/null 2>"$work/log" ||
	{ cat "$work/log" >&2; die "cannot write the image"; }
for output in "${outputs[@]}"; do
	case $output in
	rootfs:*)
		into=${output#rootfs:}
		rm -rf "$into"
		mkdir -p "$into"
		container=$(store from --pull-never "$tag")
		cp -a "$(store mount "$container")/." "$into"
		store rm "$container" >/dev/null
		container=
		;;
	*)
		case $output in
		docker-archive:*) format=docker ;;
		*) format=oci ;;
		esac
		case $output in *-archive:*) rm -f "${output#*:}" ;; esac # neither kind of archive is added to
		store push --quiet --format "$format" "$tag" "$output" >/dev/null
		;;
	esac
done

/usr/bin/python3 - "$work/oci" "$tag" "$(store inspect --type image --format '{{.FromImageID}}' "$tag")" <<'END'
import gzip
import json
import pathlib
import sys

layout, tag, image = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]


def blob(digest):
    return layout / "blobs" / digest.replace(":", "/")


digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
layers = json.loads(blob(digest).read_text())["layers"]
unpacked = 0
for layer in layers:
    with gzip.open(blob(layer["digest"])) as tar:
        while some := tar.read(1 << 20):
            unpacked += len(some)
print(f"image {tag}\nid {image}\ndigest {digest}")
print(f"compressed {sum(layer['size'] for layer in layers)}\nunpacked {unpacked}")
END
