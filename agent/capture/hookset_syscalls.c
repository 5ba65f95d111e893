/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/hookset.h"

#include "syscalls.skel.h"

#include <errno.h>

static int syscalls_open(
	const struct hookset_knobs *knobs, void **ret_skeleton, struct bpf_object **ret_object)
{
	struct syscalls_bpf *skel = syscalls_bpf__open();

	if (!skel)
		return -errno;
	HOOKSET_SET_KNOBS(skel->rodata, knobs);
	*ret_skeleton = skel;
	*ret_object = skel->obj;
	return 0;
}

static void syscalls_close(void *skeleton)
{
	syscalls_bpf__destroy(skeleton);
}

const struct hookset HOOKSET_SYSCALLS = {
	.name = "syscalls",
	.conns_by_address = true,
	.open = syscalls_open,
	.close = syscalls_close,
};
