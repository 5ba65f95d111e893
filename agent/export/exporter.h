/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exporter is: one file that defines one const struct exporter, listed in export.c. It
 * turns a batch of spans into output; queue, thread, retries, counting and logging are export.c's.
 */
#pragma once
#include "core/slice.h"
#include "export/options.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resource_table;

/* What every exporter gets. */
struct exporter_env {
	const struct export_options *options; /* only during new */
	const struct resource_table *resources;
	/* CLOCK_MONOTONIC; UINT64_MAX until the agent stops: whatever waits gives up then */
	const _Atomic uint64_t *deadline_ns;
};

enum verdict {
	VERDICT_SENT,
	VERDICT_RETRY, /* not now: the same spans are offered again */
	VERDICT_FAIL, /* never */
};

struct outcome {
	enum verdict verdict;
	unsigned taken; /* what this speaks for: the first spans of the batch, at least one */
	unsigned rejected; /* of those, if sent: what the backend refused */
	uint64_t
		retry_after_ns; /* if to be retried: what the backend asked to wait, 0 if nothing */
	uint64_t bytes; /* handed to the backend */
	char error[160]; /* why not sent or rejected; for the log, so without secrets */
};

struct exporter {
	const char *name;
	const char *thread; /* at most 15 characters */
	unsigned max_delay_ms; /* shortens options.batch_delay_ms, 0 if not */

	/* 0, or -EINVAL with *ret_why, or -ENOMEM… */
	int (*new)(const struct exporter_env *env, void **ret_self, const char **ret_why);

	/* Sends the first packed spans (see span_unpack) of a batch, n > 0, or all of them. */
	void (*send)(
		void *self, const struct slice *spans, unsigned n, struct outcome *ret_outcome);

	/* Optional: what is due at this time, and at the end (now_ns = UINT64_MAX) everything.
	 * Returns when to be called again, UINT64_MAX if there is nothing to wait for. */
	uint64_t (*tick)(void *self, uint64_t now_ns);

	/* For the log: where it goes to, without userinfo. */
	const char *(*target)(const void *self);

	void (*free)(void *self);
};

extern const struct exporter exporter_otlp_http;
extern const struct exporter exporter_otlp_grpc;
extern const struct exporter exporter_terminal;
extern const struct exporter exporter_json;
