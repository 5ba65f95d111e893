/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the programs of bpf/tls.h on functions of a file, for every process that maps it: by one
 * uprobe.multi link (Linux 6.6), else by a perf event for each, which CAP_SYS_ADMIN may be needed
 * for. */
#pragma once
#include "capture/tls_symbols.h"

struct bpf_object;
struct probes;

/* For the programs of an object that is open and not loaded. 0 or -errno. */
int probes_prepare(struct bpf_object *object);

/* Tries to make one that does nothing, on a function of our own. 0, or -errno; ret_how: which way,
 * or what went wrong. From Linux 6.11 on (x86-64) a function with a probe on its return makes a
 * system call when it returns; kernels before 6.14, unless they were mended, let a seccomp filter
 * refuse that, which ends the process. Then -EOPNOTSUPP: no library is to be probed. One thread
 * only: it forks. */
int probes_try(const char **ret_how);

/* Whether the kernel has uprobe.multi. The object is loaded. */
bool probes_multi(struct bpf_object *object);

/* path: of the file, in this process' view; number: of the file, below WEFT_TLS_FILES, that no
 * other one with probes has. 0, or -errno and no probe is left. */
int probes_attach(struct bpf_object *object, const char *path, uint32_t number,
	const struct tls_symbols *symbols, struct probes **ret_probes);
void probes_detach(struct probes *probes); /* takes NULL */
