/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/hookset.h"

#include "fentry.skel.h"
#include "fentry_plain.skel.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>

/* The same programs, with casts (a kfunc, Linux 6.2) or without: Linux 5.15 refuses a call of a
   function that it does not have also where it is never made. */
struct either {
	struct fentry_bpf *casts;
	struct fentry_plain_bpf *plain;
};

static bool has_function(const struct btf *btf, const char *name)
{
	return btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;
}

static void leave_out(struct bpf_object *object, const char *program)
{
	bpf_program__set_autoload(bpf_object__find_program_by_name(object, program), false);
}

/* Leaves out the programs on functions that this kernel does not have. */
static void adapt(struct bpf_object *object, struct btf *btf)
{
	struct btf *ipv6 = NULL;

	if (!has_function(btf, "inet6_sendmsg")) /* IPv6 as a module, or none */
		ipv6 = btf__load_module_btf("ipv6", btf);
	if (!has_function(ipv6 ? ipv6 : btf, "inet6_sendmsg")) {
		leave_out(object, "sent6");
		leave_out(object, "received6");
	}
	if (!has_function(btf, "inet_sendpage"))
		leave_out(object, "sent_page");
	if (!has_function(btf, "unix_stream_sendpage"))
		leave_out(object, "unix_sent_page");
	if (!has_function(btf, "unix_stream_sendmsg")) { /* Unix sockets as a module */
		leave_out(object, "unix_sent");
		leave_out(object, "unix_received");
		leave_out(object, "unix_spliced");
		leave_out(object, "unix_shut");
		leave_out(object, "unix_released");
	}
	if (!has_function(btf, "mptcp_splice_read"))
		leave_out(object, "spliced_mptcp");
	btf__free(ipv6);
}

static void fentry_close(void *skeleton)
{
	struct either *e = skeleton;

	if (!e)
		return;
	fentry_bpf__destroy(e->casts);
	fentry_plain_bpf__destroy(e->plain);
	free(e);
}

static int fentry_open(
	const struct hookset_knobs *knobs, void **ret_skeleton, struct bpf_object **ret_object)
{
	struct btf *btf = btf__load_vmlinux_btf();
	struct either *e;
	int err = 0;

	if (!btf)
		return -errno;
	e = calloc(1, sizeof(*e));
	if (!e) {
		err = -ENOMEM;
	} else if (has_function(btf, "bpf_rdonly_cast")) {
		e->casts = fentry_bpf__open();
		if (e->casts) {
			HOOKSET_SET_KNOBS(e->casts->rodata, knobs);
			e->casts->rodata->max_conns = knobs->max_conns;
			*ret_object = e->casts->obj;
		}
	} else {
		e->plain = fentry_plain_bpf__open();
		if (e->plain) {
			HOOKSET_SET_KNOBS(e->plain->rodata, knobs);
			e->plain->rodata->max_conns = knobs->max_conns;
			*ret_object = e->plain->obj;
		}
	}
	if (!err && !e->casts && !e->plain)
		err = -errno;
	if (err)
		fentry_close(e);
	else
		adapt(*ret_object, btf);
	btf__free(btf);
	*ret_skeleton = err ? NULL : e;
	return err;
}

const struct hookset HOOKSET_FENTRY = {
	.name = "fentry",
	.conns_by_address = false,
	.open = fentry_open,
	.close = fentry_close,
};
