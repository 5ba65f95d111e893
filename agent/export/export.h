/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exporters. Each has a queue of fixed size and a thread of its own; the pipeline thread offers
 * spans and never waits. A full queue drops the span, counted.
 */
#pragma once
#include "export/options.h"

#include <stdbool.h>
#include <stdint.h>

struct export;
struct resource_table;
struct span;

/* Starts every configured exporter. Borrows resources until export_free. 0, -EINVAL (an option
 * makes no sense: *ret_why says which, a static or thread-local string), -ENOMEM… */
int export_new(const struct export_options *options, const struct resource_table *resources,
	struct export **ret_export, const char **ret_why);

/* Pipeline thread. Copies the span into each exporter's queue. */
void export_offer(struct export *export, const struct span *span);

/* Lets the threads send what is queued, until deadline_ns (CLOCK_MONOTONIC); counts the rest as
 * failed. Returns the number of spans given up. No offer may follow. */
uint64_t export_drain(struct export *export, uint64_t deadline_ns);
void export_free(struct export *export);

struct export_stats {
	const char *name; /* "otlp", "terminal", "json" */
	/* offered = dropped_queue + sent + rejected + failed + queued; the last two: in the queue
	 * now */
	uint64_t offered, dropped_queue, sent, rejected, failed, queued, queued_bytes;
	uint64_t requests, retries, bytes;
	uint64_t last_ok_ns; /* CLOCK_MONOTONIC, 0 never */
	bool able; /* no attempt yet, or the latest one succeeded */
	char last_error[160]; /* empty if able; no secrets */
};

/* What was offered up to a moment, and whether all of that has left the queues. Pipeline thread. */
#define EXPORT_MARKS 3 /* exporters at most */
struct export_mark {
	uint64_t queued[EXPORT_MARKS]; /* by each exporter, in total */
};
void export_mark(const struct export *export, struct export_mark *ret_mark);
bool export_passed(const struct export *export, const struct export_mark *mark);

/* Any thread. */
unsigned export_count(const struct export *export);
void export_stats(const struct export *export, unsigned i, struct export_stats *ret_stats);
