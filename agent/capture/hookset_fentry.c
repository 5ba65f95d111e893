/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/hookset.h"

#include "fentry.skel.h"

#include <bpf/btf.h>
#include <errno.h>

static bool has_function(const struct btf *btf, const char *name)
{
	return btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;
}

/* A weak function that the kernel does not have libbpf looks for in its modules as well, which
   takes CAP_SYS_ADMIN; a refusal ends the load in older versions (Debian 12's 1.1). It looks once
   an object, so let it, before the load. */
static void have_modules_looked_at(struct bpf_program *any)
{
	libbpf_print_fn_t printer = libbpf_set_print(NULL);

	bpf_program__set_attach_target(any, 0, "a function of no kernel");
	libbpf_set_print(printer);
}

/* Leaves out the programs on functions that this kernel does not have. */
static int adapt(struct fentry_bpf *skel)
{
	struct btf *btf = btf__load_vmlinux_btf(), *ipv6 = NULL;

	if (!btf)
		return -errno;
	if (!has_function(btf, "inet6_sendmsg")) /* IPv6 as a module, or none */
		ipv6 = btf__load_module_btf("ipv6", btf);
	if (!has_function(ipv6 ? ipv6 : btf, "inet6_sendmsg")) {
		bpf_program__set_autoload(skel->progs.sent6, false);
		bpf_program__set_autoload(skel->progs.received6, false);
	}
	if (!has_function(btf, "inet_sendpage"))
		bpf_program__set_autoload(skel->progs.sent_page, false);
	if (!has_function(btf, "unix_stream_sendpage"))
		bpf_program__set_autoload(skel->progs.unix_sent_page, false);
	if (!has_function(btf, "unix_stream_sendmsg")) { /* Unix sockets as a module */
		bpf_program__set_autoload(skel->progs.unix_sent, false);
		bpf_program__set_autoload(skel->progs.unix_received, false);
		bpf_program__set_autoload(skel->progs.unix_spliced, false);
		bpf_program__set_autoload(skel->progs.unix_shut, false);
		bpf_program__set_autoload(skel->progs.unix_released, false);
	}
	if (!has_function(btf, "mptcp_splice_read"))
		bpf_program__set_autoload(skel->progs.spliced_mptcp, false);
	skel->rodata->can_cast = has_function(btf, "bpf_rdonly_cast");
	if (!skel->rodata->can_cast)
		have_modules_looked_at(skel->progs.sent6);
	btf__free(ipv6);
	btf__free(btf);
	return 0;
}

static int fentry_open(
	const struct hookset_knobs *knobs, void **ret_skeleton, struct bpf_object **ret_object)
{
	struct fentry_bpf *skel = fentry_bpf__open();
	int err;

	if (!skel)
		return -errno;
	skel->rodata->self_tgid = knobs->self_tgid;
	skel->rodata->wake_bytes = knobs->wake_bytes;
	skel->rodata->max_conns = knobs->max_conns;
	skel->rodata->use_perf = knobs->use_perf;
	err = adapt(skel);
	if (err) {
		fentry_bpf__destroy(skel);
		return err;
	}
	*ret_skeleton = skel;
	*ret_object = skel->obj;
	return 0;
}

static void fentry_close(void *skeleton)
{
	fentry_bpf__destroy(skeleton);
}

const struct hookset HOOKSET_FENTRY = {
	.name = "fentry",
	.conns_by_address = false,
	.open = fentry_open,
	.close = fentry_close,
};
