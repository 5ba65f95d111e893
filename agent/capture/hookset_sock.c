/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/hookset.h"

#include "sock.skel.h"

#include <errno.h>

static int sock_open(
	const struct hookset_knobs *knobs, void **ret_skeleton, struct bpf_object **ret_object)
{
	struct sock_bpf *skel = sock_bpf__open();

	if (!skel)
		return -errno;
	HOOKSET_SET_KNOBS(skel->rodata, knobs);
	skel->rodata->max_conns = knobs->max_conns;
	*ret_skeleton = skel;
	*ret_object = skel->obj;
	return 0;
}

static void sock_close(void *skeleton)
{
	sock_bpf__destroy(skeleton);
}

const struct hookset HOOKSET_SOCK = {
	.name = "sock",
	.conns_by_address = false,
	.open = sock_open,
	.close = sock_close,
};
