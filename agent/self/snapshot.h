/* SPDX-License-Identifier: Apache-2.0 */
/* All that weft shows of itself, at one moment: metrics, status line, health and books read this.
 */
#pragma once
#include "capture/options.h"
#include "core/counters.h"
#include "export/export.h"
#include "weft/counters.h"

#include <stdbool.h>
#include <stdint.h>

#define SNAPSHOT_EXPORTERS 8

/* What is known of Kubernetes, and how the API server does. */
struct snapshot_kube {
	bool on;
	bool pods_synced, peers_synced; /* there was a whole list */
	uint64_t pods, services, endpoints; /* known now */
	uint64_t full, cut; /* objects left out for want of room; shortened */
	uint64_t requests, lists, watches, events, errors, bytes;
	char problem[200]; /* what fails now; empty: nothing */
};

struct snapshot {
	const char *version;
	uint64_t start_unix_ns;
	uint64_t taken_ns; /* CLOCK_MONOTONIC */

	enum hooks hooks; /* the ones in use */
	char hooks_reason[256]; /* why these */
	enum transport transport;
	bool attached; /* the hooks are on */
	uint64_t ring_read_ns; /* when the ring was last polled, CLOCK_MONOTONIC; 0 never */

	uint64_t kernel[WEFT_COUNT_MAX];
	uint64_t kernel_missed; /* runs of our programs that the kernel skipped, and no twin made up
				   for */
	uint64_t counters[COUNT_MAX];

	uint64_t connections, exchanges_open, processes_traced, spans_held;
	uint64_t spans_waiting; /* for the name of their pod */
	uint64_t ring_used_bytes, ring_bytes;
	uint64_t resources, resource_overflows;
	uint64_t map_bytes; /* locked in BPF maps */
	uint64_t tls_libraries; /* files with a TLS library that are probed */
	uint64_t tls_refused; /* of them: that could not be, so far */
	uint64_t tls_dropped; /* processes whose libraries were not looked for */

	struct snapshot_kube kube;

	unsigned exporter_count;
	struct export_stats exporters[SNAPSHOT_EXPORTERS];
};

/* Where snapshots come from, for any thread. take fills all of *ret. */
struct snapshot_source {
	void (*take)(void *ctx, struct snapshot *ret);
	void *ctx;
	/* What is traced, as a table, to be freed; NULL: no answer. filter: see roster_print. */
	char *(*roster)(void *ctx, const char *filter);
};

static inline const char *hooks_name(enum hooks hooks)
{
	return hooks == HOOKS_FENTRY     ? "fentry"
	       : hooks == HOOKS_SOCK     ? "sock"
	       : hooks == HOOKS_SYSCALLS ? "syscalls"
					 : "auto";
}

static inline const char *transport_name(enum transport transport)
{
	return transport == TRANSPORT_PERF ? "perf" : "ringbuf";
}
