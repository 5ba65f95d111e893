/* SPDX-License-Identifier: Apache-2.0 */
/*
 * empty_hooks fentry|sock|syscalls [LIBRARY]: attaches the hooks that weft would, and the probes if
 * a TLS library is named, with programs that do nothing, says "ready" and keeps them until its
 * standard input ends. The bench compares weft with this.
 */
#include "capture/probes.h"
#include "empty_fentry.skel.h"
#include "empty_life.skel.h"
#include "empty_sock.skel.h"
#include "empty_syscalls.skel.h"
#include "empty_tls.skel.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool attach_fentry(struct empty_fentry **ret_skel)
{
	struct empty_fentry *skel = *ret_skel = empty_fentry__open();
	struct bpf_program *prog;

	if (!skel)
		return false;
	/* not every kernel has all of the functions */
	bpf_object__for_each_program(prog, skel->obj)
	{
		const char *function = strchr(bpf_program__section_name(prog), '/') + 1;

		if (libbpf_find_vmlinux_btf_id(function, BPF_TRACE_FEXIT) < 0)
			bpf_program__set_autoload(prog, false);
	}
	return !empty_fentry__load(skel) && !empty_fentry__attach(skel);
}

static bool attach_sock(struct empty_sock **ret_skel)
{
	*ret_skel = empty_sock__open_and_load();
	return *ret_skel && !empty_sock__attach(*ret_skel);
}

static bool attach_syscalls(struct empty_syscalls **ret_skel)
{
	*ret_skel = empty_syscalls__open_and_load();
	return *ret_skel && !empty_syscalls__attach(*ret_skel);
}

static bool attach_tls(const char *library, struct empty_tls **ret_skel, struct probes **ret_probes)
{
	struct empty_tls *skel = *ret_skel = empty_tls__open();
	int fd = open(library, O_RDONLY | O_CLOEXEC);
	struct tls_symbols symbols;
	bool attached;

	attached = skel && fd >= 0 && !tls_symbols_find(fd, &symbols) && symbols.n &&
		   !probes_prepare(skel->obj) && !empty_tls__load(skel) &&
		   !probes_attach(skel->obj, library, 0, &symbols, ret_probes);
	if (fd >= 0)
		close(fd);
	return attached;
}

int main(int argc, char **argv)
{
	const char *set = argc >= 2 && argc <= 3 ? argv[1] : "";
	struct probes *probes = NULL;
	struct empty_tls *tls = NULL;
	struct empty_life *life = NULL;
	struct empty_fentry *fentry = NULL;
	struct empty_sock *sock = NULL;
	struct empty_syscalls *syscalls = NULL;
	bool attached;
	char c;

	if (strcmp(set, "fentry") && strcmp(set, "sock") && strcmp(set, "syscalls")) {
		fprintf(stderr, "usage: empty_hooks fentry|sock|syscalls [LIBRARY]\n");
		return 2;
	}
	life = empty_life__open_and_load();
	attached = life && !empty_life__attach(life) &&
		   (!strcmp(set, "fentry")        ? attach_fentry(&fentry)
			   : !strcmp(set, "sock") ? attach_sock(&sock)
						  : attach_syscalls(&syscalls)) &&
		   (argc == 2 || attach_tls(argv[2], &tls, &probes));
	if (attached) {
		puts("ready");
		fflush(stdout);
		while (read(STDIN_FILENO, &c, 1) > 0)
			;
	}
	probes_detach(probes);
	empty_tls__destroy(tls);
	empty_syscalls__destroy(syscalls);
	empty_sock__destroy(sock);
	empty_fentry__destroy(fentry);
	empty_life__destroy(life);
	if (!attached)
		fprintf(stderr, "empty_hooks: could not attach\n");
	return attached ? 0 : 1;
}
