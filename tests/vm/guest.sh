#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command under another kernel, in QEMU without KVM.
#
#   guest.sh [--kernel VERSION] [--arch ARCH] [--cpus N] [--mem MIB] [--writable DIR]... [--timeout S]
#            [--clock instructions|host] -- COMMAND [ARG]...
#
# The guest sees this machine's files below an empty disk: what it writes is gone at its end, but for what lies below
# the folders named with --writable. The command runs as root, in this directory, with this PATH and HOME;
# WEFT_GUEST=1 tells it where it is. Its output and exit status are ours; 124: it took too long; 125: it never ran.
# --clock: how the guest's time goes on. instructions: by those it runs, so that a tick comes as seldom in between as on
# a machine; Linux 7, whose threads preempt programs, is run so, and what is before 6.8 does not start so. host: as this
# machine's, beside which all that it runs takes far longer.
# A guest of another architecture (arm64) sees a Debian of its own (root.sh) instead, and of this machine only this
# tree, the folder that WEFT_BUILD names and those that are writable.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")

die() {
	echo "guest.sh: $*" >&2
	exit 125
}

native=$(dpkg --print-architecture)
version=6.12 arch=$native cpus=2 mem=3072 timeout=600 clock='' writable=()
while [ $# -gt 0 ]; do
	case $1 in
	--kernel) version=$2 ;;
	--arch) arch=$2 ;;
	--cpus) cpus=$2 ;;
	--mem) mem=$2 ;;
	--writable) writable+=("$(readlink -f "$2")") ;;
	--timeout) timeout=$2 ;;
	--clock) clock=$2 ;;
	--) shift && break ;;
	*) sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2 && exit 125 ;;
	esac
	shift 2
done
[ $# -gt 0 ] || die "no command: see --help"

# With cmpxchg16b QEMU 7.2 makes the allocator of Linux 6.12 and before fault now and then; without it that of
# later kernels has no memory for socket storage.
x86=qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+fsgsbase,+rdrand,-svm # what -cpu max has more takes a sixth more time
# Azure's machines announce CPUs that they do not have. Linux 6.8 and later ignore them.
smp=$cpus
[ "$arch" = amd64 ] && smp+=,maxcpus=128
case $arch:$version in
amd64:[56].*) machine=(qemu-system-x86_64 -cpu "$x86,-cx16") console=ttyS0 ;;
amd64:*) machine=(qemu-system-x86_64 -cpu "$x86,+cx16") console=ttyS0 ;;
arm64:*) machine=(qemu-system-aarch64 -M virt -cpu neoverse-n1) console=ttyAMA0 ;;
*) die "unknown architecture $arch: amd64 or arm64" ;;
esac
if [ -z "$clock" ]; then
	[ "${version%%.*}" -ge 7 ] && clock=instructions || clock=host
fi
case $clock in
instructions) machine+=(-icount shift=0,sleep=on) ;; # 1 ns each; it sleeps no faster than this machine
host) ;;
*) die "unknown clock $clock: instructions or host" ;;
esac
command -v "${machine[0]}" >/dev/null || die "${machine[0]} is not installed"

virtiofsd=$(PATH="$PATH:/usr/libexec:/usr/lib/qemu" command -v virtiofsd) || die "virtiofsd is not installed"
kernel=$("$here/kernel.sh" "$version" "$arch") || die "no kernel $version"
root='' readable=()
if [ "$arch" != "$native" ]; then
	root=$("$here/root.sh" "$arch") || die "no Debian for $arch"
	readable=("$kernel" "$(readlink -f "$here/../..")" ${WEFT_BUILD:+"$(readlink -f "$WEFT_BUILD")"})
fi
run=$(mktemp -d "$kernel/../../run.XXXXXX")
run=$(readlink -f "$run")
pids=()
clean() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || :; done
	rm -rf "$run"
}
trap clean EXIT
trap 'exit 130' INT TERM

printf '%s\n' "$root" >"$run/root"
printf '%s\n' "${readable[@]}" >"$run/readable"
printf '%s\n' "${writable[@]}" >"$run/writable"
printf '%q ' exec "$@" >"$run/command"
{
	printf 'kernel=%q run=%q directory=%q\n' "$kernel" "$run" "$PWD"
	printf 'export PATH=%q HOME=%q\n' "$PATH" "${HOME:-/root}"
	env | sed -n 's/^\(WEFT_[A-Z_]*\|[AU][A-Z]*SAN_OPTIONS\|PYTEST_ADDOPTS\)=.*/\1/p' | while read -r name; do
		printf 'export %s=%q\n' "$name" "${!name}"
	done
	cat "$here/guest-main"
} >"$run/main"

# One boot. The status of the command, 124, or 125.
boot() {
	local files printer guest status=0
	rm -f "$run"/{files,out,disk,status,console}
	"$virtiofsd" --socket-path="$run/files" -f -o source=/ -o sandbox=chroot -o cache=always -o log_level=err \
		-o xattr --thread-pool-size=0 2>"$run/virtiofsd.log" &
	files=$!
	truncate -s 16G "$run/disk"
	PATH="$PATH:/usr/sbin:/sbin" mkfs.ext4 -q -F -O ^has_journal "$run/disk"
	mkfifo "$run/out"
	cat "$run/out" &
	printer=$!
	pids=("$files" "$printer")
	for _ in $(seq 100); do
		[ -S "$run/files" ] && break
		sleep 0.05
	done
	[ -S "$run/files" ] || die "virtiofsd did not start: $(cat "$run/virtiofsd.log")"

	# no_timer_check: on a busy machine a guest's timer is late.
	# thread=single: with a host thread for each CPU the guest's kernel now and then dies in code that the
	# other CPU is patching, as attaching to a tracepoint does.
	timeout -k 5 "$timeout" "${machine[@]}" -accel tcg,thread=single \
		-smp "$smp" -m "$mem" -nodefaults -display none -no-reboot -serial "file:$run/console" \
		-kernel "$kernel/vmlinuz" -initrd "$kernel/initramfs" \
		-append "console=$console quiet panic=-1 no_timer_check weft.run=$run" \
		-object "memory-backend-memfd,id=mem,size=${mem}M,share=on" -numa node,memdev=mem \
		-chardev "socket,id=files,path=$run/files" -device vhost-user-fs-pci,chardev=files,tag=host \
		-drive "file=$run/disk,format=raw,if=virtio,cache=unsafe" -device virtio-serial-pci -chardev "file,id=out,path=$run/out" \
		-device virtserialport,chardev=out,name=out </dev/null 2>"$run/qemu.log" &
	guest=$!
	pids+=("$guest") # in the background, so that a signal to us ends it
	wait "$guest" || status=$?
	wait "$printer" "$files" || :
	if [ "$status" = 124 ]; then
		echo "guest.sh: ended after $timeout s" >&2
		return 124
	fi
	if [ ! -s "$run/status" ]; then
		tail -n 30 "$run/console" "$run/qemu.log" >&2 || :
		return 125
	fi
	return "$(cat "$run/status")"
}

# Emulation is not perfect: some boots die in the kernel's own code patching. Then nothing of the command has run.
for _ in 1 2 3; do
	status=0
	boot || status=$?
	[ "$status" = 125 ] && [ ! -e "$run/started" ] || exit "$status"
done
die "the guest does not start"
