/* SPDX-License-Identifier: Apache-2.0 */
#include "self/books.h"

#include <criterion/criterion.h>
#include <string.h>

/* A run that balances in every equation. */
static struct snapshot balanced(void)
{
	struct snapshot s = {.exchanges_open = 3, .spans_held = 2, .exporter_count = 2};

	s.kernel[WEFT_COUNT_SEEN] = 110;
	s.kernel[WEFT_COUNT_FILTERED] = 20;
	s.kernel[WEFT_COUNT_UNWANTED] = 10;
	s.kernel[WEFT_COUNT_COALESCED] = 8;
	s.kernel[WEFT_COUNT_SHED] = 2;
	s.kernel[WEFT_COUNT_EMITTED] = 50;
	s.kernel[WEFT_COUNT_LOST_FULL] = 7;
	s.kernel[WEFT_COUNT_LOST_MAP] = 3;
	s.kernel[WEFT_COUNT_LOST_CPU] = 4;
	s.kernel[WEFT_COUNT_ENCRYPTED] = 6;
	s.kernel[WEFT_COUNT_LIFE_EMITTED] = 5;
	s.counters[COUNT_RECORDS_READ] = 55;
	s.counters[COUNT_REQUESTS] = 30;
	s.counters[COUNT_PAIRED] = 20;
	s.counters[COUNT_UNPAIRED_HOLE] = 3;
	s.counters[COUNT_REQUESTS_FULL] = 4;
	s.counters[COUNT_SPANS_MADE] = 23;
	s.counters[COUNT_SPANS_RELEASED] = 20;
	s.counters[COUNT_SPANS_HELD_DROPPED] = 1;
	s.counters[COUNT_SPANS_SAMPLED_OUT] = 5;
	s.exporters[0] = (struct export_stats){.name = "otlp",
		.offered = 15,
		.dropped_queue = 1,
		.sent = 8,
		.rejected = 1,
		.failed = 2,
		.queued = 3};
	s.exporters[1] = (struct export_stats){.name = "json", .offered = 15, .sent = 15};
	return s;
}

Test(books, balanced)
{
	struct books_fault faults[BOOKS_FAULTS_MAX];
	struct snapshot s = balanced(), empty = {0};

	cr_expect_eq(books_check(&s, faults), 0, "%s", faults[0].what);
	cr_expect_eq(books_check(&empty, faults), 0);
}

Test(books, each_fault_shows)
{
	struct snapshot good = balanced(), s;
	struct books_fault faults[BOOKS_FAULTS_MAX];

#define WITH(field, value, text)                                                                   \
	s = good;                                                                                  \
	s.field = (value);                                                                         \
	cr_expect_eq(books_check(&s, faults), 1);                                                  \
	cr_expect_not_null(strstr(faults[0].what, text), "%s", faults[0].what)

	WITH(kernel[WEFT_COUNT_SEEN], 101,
		"kernel: seen = filtered + unwanted + coalesced + shed + emitted + "
		"lost_full + lost_map + lost_cpu + encrypted");
	cr_expect_eq(faults[0].left, 101);
	cr_expect_eq(faults[0].right, 110);
	WITH(kernel[WEFT_COUNT_LOST_FULL], 8, "kernel: seen");
	WITH(counters[COUNT_RECORDS_READ], 64, "records: emitted");
	WITH(counters[COUNT_PAIRED], 19, "requests: seen");
	WITH(exchanges_open, 4, "requests: seen");
	WITH(spans_held, 0, "spans: made");
	WITH(counters[COUNT_SPANS_SAMPLED_OUT], 4, "spans: released");
	WITH(exporters[1].sent, 14, "json: offered");
	WITH(exporters[0].queued, 0, "otlp: offered");
#undef WITH
}

Test(books, records_in_the_ring_are_not_missing)
{
	struct books_fault faults[BOOKS_FAULTS_MAX];
	struct snapshot s = balanced();

	s.counters[COUNT_RECORDS_READ] = 50;
	s.ring_used_bytes = 400;
	cr_expect_eq(books_check(&s, faults), 0);
}

Test(books, all_at_once_fit)
{
	struct books_fault faults[BOOKS_FAULTS_MAX];
	struct snapshot s = {
		.exporter_count = SNAPSHOT_EXPORTERS, .spans_held = 1, .exchanges_open = 1};

	s.kernel[WEFT_COUNT_SEEN] = 1;
	s.kernel[WEFT_COUNT_LIFE_EMITTED] = 1;
	for (unsigned i = 0; i < SNAPSHOT_EXPORTERS; i++)
		s.exporters[i] = (struct export_stats){.name = "otlp", .offered = 1};
	cr_expect_eq(books_check(&s, faults), BOOKS_FAULTS_MAX);
}
