/* SPDX-License-Identifier: Apache-2.0 */
/* What this kernel and our capabilities allow: tried, never guessed from a version. */
#pragma once
#include "capture/options.h"

#include <stdbool.h>
#include <stdint.h>

enum feature {
	FEATURE_BPF, /* bpf(2) loads a program and makes a map */
	FEATURE_BTF, /* the kernel describes its types */
	FEATURE_READ, /* programs may read kernel and user memory (lockdown) */
	FEATURE_CALL, /* a program sees the arguments of the system call that it runs in */
	FEATURE_LIFE, /* tracepoints of sockets and processes */
	FEATURE_FENTRY, /* programs at the return of kernel functions: the `fentry` hooks */
	FEATURE_SOCK, /* sock_send_length and sock_recv_length: the `sock` hooks */
	FEATURE_SYSCALLS, /* per-syscall tracepoints: the `syscalls` hooks */
	FEATURE_RINGBUF,
	FEATURE_PERFBUF,
	FEATURE_PROCESSES, /* other users' processes can be looked at */
	FEATURE_PIDNS, /* we are in the first pid namespace */
	FEATURE_CGROUP2,
	FEATURE_PROBES, /* programs on functions of TLS libraries */
	FEATURE_TLS, /* no process is known to use TLS that cannot be read */
	FEATURE_MAX,
};

struct feature_state {
	bool ok;
	int error; /* errno of what was refused, 0: it is not there */
	char detail[96]; /* what was tried or found */
};

struct features {
	struct feature_state v[FEATURE_MAX];
	char release[65];
	char arch[65];
	uint32_t uid;
	uint64_t caps; /* effective */
	int perf_paranoid; /* kernel.perf_event_paranoid; -1: unknown, as below */
	int unprivileged_bpf_disabled;
	uint64_t memlock; /* RLIMIT_MEMLOCK, UINT64_MAX: none */
	char preemption[12]; /* the kernel's own: "none", "voluntary", "full", "lazy", "rt",
				"dynamic": not known which */
	bool preempts; /* fexit programs can be preempted, and tracepoints' can not */
	bool may_preempt; /* they can, or could from one moment to the next */
	bool preempts_tracepoints; /* both can, as since Linux 7 */
	char lockdown[24]; /* "none", "integrity", "confidentiality", "" unknown */
	char apparmor[64]; /* the profile that weft is held by, "" none */
	char tracefs[64]; /* where it is mounted, "" nowhere */
	char cgroup2[128];
};

/* Loads small programs and lets them go again; takes some milliseconds. options: how large perf
 * buffers are to be, if they are asked for. */
void features_probe(struct features *ret_features, const struct capture_options *options);

/* FEATURE_TLS, which takes a look at every process: for who asks (weft doctor). */
void features_look_for_tls(struct features *features);

/* How the kernel preempts itself. version: as uname(2) gives it; chosen: what a dynamic one was set
 * to, "" unknown. features->release must be known. */
void features_preemption(struct features *features, const char *version, const char *chosen);

bool features_has_cap(const struct features *features, int cap);

#define FEATURES_WHY_BYTES 256

/* The hooks to use. 0, or -ENOTSUP: not with these features. ret_why says why either way. */
int features_choose(const struct features *features, enum hooks wanted, enum hooks *ret_hooks,
	char ret_why[static FEATURES_WHY_BYTES]);

/* Notes that the programs of these hooks could not be loaded or attached after all. */
void features_refuse(struct features *features, enum hooks hooks, int error);

/* The same for the way records take; falls back to perf where there is no ring buffer. */
int features_choose_transport(const struct features *features, enum transport wanted,
	enum transport *ret_transport, char ret_why[static FEATURES_WHY_BYTES]);
