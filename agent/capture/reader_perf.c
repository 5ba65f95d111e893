/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One perf buffer a CPU. Records of different CPUs are put in order by their times: what is newer
 * than the beginning of a read, less a margin for records still being written, waits for the next
 * read.
 */
#include "capture/reader.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "weft/record.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>

#define ARENA_BYTES (1u << 20)
#define ARENA_SLOTS 8192u
#define WAKE_BYTES  (64u * 1024) /* more in one CPU's buffer wakes us before the next look */
#define MARGIN_NS   (200u * 1000) /* from a record's time to its commit */

struct slot {
	uint64_t time_ns;
	uint32_t at;
	uint32_t size;
};

struct reader {
	struct perf_buffer *perf;
	reader_handler handler;
	void *ctx;
	uint32_t used;
	uint32_t count;
	int handed;
	struct slot slots[ARENA_SLOTS];
	char arena[ARENA_BYTES];
};

static int by_time(const void *pa, const void *pb)
{
	const struct slot *a = pa, *b = pb;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	return a->at < b->at ? -1 : a->at > b->at; /* as they came */
}

/* Hands over all that is older than before, and moves the rest to the front. */
static void arena_flush(struct reader *r, uint64_t before)
{
	uint32_t i = 0, used = 0, kept = 0;

	qsort(r->slots, r->count, sizeof(r->slots[0]), by_time);
	for (; i < r->count && r->slots[i].time_ns < before; i++) {
		r->handler(r->ctx, r->arena + r->slots[i].at, r->slots[i].size);
		r->handed++;
	}
	if (i < r->count) {
		/* the newest few: moved through a copy, since time order is not arena order */
		uint32_t total = 0;
		_free_ char *copy = NULL;

		for (uint32_t k = i; k < r->count; k++)
			total += (r->slots[k].size + 7u) & ~7u;
		copy = malloc(total);
		if (!copy) { /* order is worth less than the records */
			for (; i < r->count; i++) {
				r->handler(r->ctx, r->arena + r->slots[i].at, r->slots[i].size);
				r->handed++;
			}
		}
		for (; i < r->count; i++) {
			struct slot s = r->slots[i];

			memcpy(copy + used, r->arena + s.at, s.size);
			s.at = used;
			used += (s.size + 7u) & ~7u;
			r->slots[kept++] = s;
		}
		if (used)
			memcpy(r->arena, copy, used);
	}
	r->used = used;
	r->count = kept;
}

static void on_sample(void *ctx, int cpu, void *data, uint32_t size)
{
	struct reader *r = ctx;
	struct weft_record record = {0};
	uint32_t room;

	(void)cpu;
	/* perf pads its samples; records carry their own size */
	if (size >= sizeof(record))
		memcpy(&record, data, sizeof(record)); /* perf aligns to 4 only */
	if (size < sizeof(record) || record.size > size) {
		r->handler(r->ctx, data, size);
		return;
	}
	room = (record.size + 7u) & ~7u;
	if (r->count == ARENA_SLOTS || r->used + room > ARENA_BYTES)
		arena_flush(r, UINT64_MAX);
	memcpy(r->arena + r->used, data, record.size);
	r->slots[r->count++] = (struct slot){record.time_ns, r->used, record.size};
	r->used += room;
}

static void perf_close(struct reader *r)
{
	if (!r)
		return;
	perf_buffer__free(r->perf);
	free(r);
}

static enum bpf_perf_event_ret on_event(void *ctx, int cpu, struct perf_event_header *event)
{
	struct sample {
		struct perf_event_header header;
		uint32_t size;
		char data[];
	} *sample = (struct sample *)event;

	/* PERF_RECORD_LOST: the programs saw the same failure and counted it */
	if (event->type == PERF_RECORD_SAMPLE)
		on_sample(ctx, cpu, sample->data, sample->size);
	return LIBBPF_PERF_EVENT_CONT;
}

static int perf_open(
	int map_fd, unsigned bytes, reader_handler handler, void *ctx, struct reader **ret_reader)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_BPF_OUTPUT,
		.sample_type = PERF_SAMPLE_RAW,
		.sample_period = 1,
		.watermark = 1,
		.wakeup_watermark = WAKE_BYTES,
	};
	size_t pages = bytes / (size_t)sysconf(_SC_PAGESIZE);
	struct reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->handler = handler;
	r->ctx = ctx;
	r->perf = perf_buffer__new_raw(map_fd, pages ? pages : 1, &attr, on_event, r, NULL);
	if (!r->perf) {
		int err = -errno;

		perf_close(r);
		return err;
	}
	*ret_reader = r;
	return 0;
}

static int perf_read(struct reader *r, bool all, bool *ret_halted)
{
	uint64_t begun = clock_monotonic();
	int err;

	r->handed = 0;
	err = perf_buffer__consume(r->perf);
	arena_flush(r, all ? UINT64_MAX : begun - MARGIN_NS);
	*ret_halted = false;
	return err < 0 ? err : r->handed + (int)r->count;
}

static int perf_epoll_fd(const struct reader *r)
{
	return perf_buffer__epoll_fd(r->perf);
}

static uint64_t perf_used(const struct reader *r)
{
	(void)r; /* libbpf does not tell */
	return 0;
}

const struct reader_ops READER_PERF = {
	.open = perf_open,
	.close = perf_close,
	.read = perf_read,
	.epoll_fd = perf_epoll_fd,
	.used = perf_used,
	.wakes_at_first = false,
};
