/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hooks { HOOKS_AUTO, HOOKS_FENTRY, HOOKS_SOCK, HOOKS_SYSCALLS };
enum transport { TRANSPORT_RINGBUF, TRANSPORT_PERF };

/* What is traced: see choose.h. */
enum rule_kind {
	RULE_EXE,
	RULE_PID,
	RULE_PORT,
	RULE_CGROUP,
	RULE_NAMESPACE, /* these and what follows: of its pod */
	RULE_POD,
	RULE_CONTAINER,
	RULE_OWNER,
	RULE_LABEL,
	RULE_ANNOTATION,
};

#define RULE_TEXT 256
#define RULES_MAX 64

struct rule {
	bool exclude;
	enum rule_kind kind;
	uint32_t number; /* PID, PORT */
	char text[RULE_TEXT]; /* EXE: glob over the executable's path, or over its base name if it
				 has no slash; CGROUP: glob over the v2 path from the mount point,
				 "/a/b"; also matches all below it; OWNER: KIND/GLOB; LABEL,
				 ANNOTATION: KEY=GLOB; NAMESPACE, POD, CONTAINER: glob */
};

struct rules {
	unsigned n;
	struct rule v[RULES_MAX];
};

/* What weft may take; 0: as much as it needs. */
struct budget_options {
	double cpus; /* of one core: the agent's threads and the programs in the kernel */
	unsigned records_per_second; /* of socket calls */
};

struct capture_options {
	enum hooks hooks;
	enum transport transport;
	unsigned ring_bytes; /* of the ring buffer, or of each CPU's perf buffer: a power of two */
	unsigned max_connections; /* known to the kernel and to the agent */
	unsigned max_processes;
	bool tls; /* what goes through TLS libraries is read, by probes on them */
	struct budget_options budget;
	struct rules rules; /* reloadable */
};
