/* SPDX-License-Identifier: Apache-2.0 */
#include "self/books.h"

#include "core/cleanup.h"

#include <stdio.h>
#include <string.h>

struct books {
	unsigned n;
	struct books_fault *faults;
};

static const char *const counter_names[] = {
#define X(id, name, label, help) name,
	COUNTERS(X)
#undef X
};

/* All the rows of one metric. */
static uint64_t sum_of(const struct snapshot *s, const char *name)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(counter_names); i++)
		if (strcmp(counter_names[i], name) == 0)
			sum += s->counters[i];
	return sum;
}

static void equal(struct books *books, const char *what, uint64_t left, uint64_t right)
{
	struct books_fault *fault;

	if (left == right)
		return;
	fault = &books->faults[books->n++];
	snprintf(fault->what, sizeof(fault->what), "%s", what);
	fault->left = left;
	fault->right = right;
}

static void check_kernel(struct books *books, const struct snapshot *s)
{
	const uint64_t *k = s->kernel;

	equal(books,
		"kernel: seen = filtered + unwanted + coalesced + shed + emitted + lost_full + "
		"lost_map + lost_cpu + encrypted",
		k[WEFT_COUNT_SEEN],
		k[WEFT_COUNT_FILTERED] + k[WEFT_COUNT_UNWANTED] + k[WEFT_COUNT_COALESCED] +
			k[WEFT_COUNT_SHED] + k[WEFT_COUNT_EMITTED] + k[WEFT_COUNT_LOST_FULL] +
			k[WEFT_COUNT_LOST_MAP] + k[WEFT_COUNT_LOST_CPU] + k[WEFT_COUNT_ENCRYPTED]);
	/* What still lies in the ring is not counted anywhere. */
	if (!s->ring_used_bytes)
		equal(books, "records: emitted + life_emitted = read",
			k[WEFT_COUNT_EMITTED] + k[WEFT_COUNT_LIFE_EMITTED],
			s->counters[COUNT_RECORDS_READ]);
}

static void check_agent(struct books *books, const struct snapshot *s)
{
	const uint64_t *c = s->counters;

	equal(books, "requests: seen = done + open", c[COUNT_REQUESTS],
		sum_of(s, "requests_done") + s->exchanges_open);
	equal(books, "spans: made = released + held + dropped", c[COUNT_SPANS_MADE],
		c[COUNT_SPANS_RELEASED] + s->spans_held + sum_of(s, "spans_dropped"));
}

static void check_exporters(struct books *books, const struct snapshot *s)
{
	uint64_t offered = s->counters[COUNT_SPANS_RELEASED] -
			   s->counters[COUNT_SPANS_SAMPLED_OUT] - sum_of(s, "spans_left_out") -
			   s->spans_waiting;

	for (unsigned i = 0; i < s->exporter_count; i++) {
		const struct export_stats *e = &s->exporters[i];
		char what[96];

		snprintf(what, sizeof(what),
			"%.16s: offered = dropped + sent + rejected + failed + queued", e->name);
		equal(books, what, e->offered,
			e->dropped_queue + e->sent + e->rejected + e->failed + e->queued);
	}
	/* Each exporter is offered the same spans: one that is not shows which. */
	for (unsigned i = 0; i < s->exporter_count; i++)
		if (s->exporters[i].offered != offered) {
			equal(books, "spans: released = sampled_out + left_out + waiting + offered",
				offered, s->exporters[i].offered);
			break;
		}
}

unsigned books_check(
	const struct snapshot *snapshot, struct books_fault ret_faults[static BOOKS_FAULTS_MAX])
{
	struct books books = {.faults = ret_faults};

	check_kernel(&books, snapshot);
	check_agent(&books, snapshot);
	check_exporters(&books, snapshot);
	return books.n;
}
