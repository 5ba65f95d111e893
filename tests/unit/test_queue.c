/* SPDX-License-Identifier: Apache-2.0 */
#include "export/queue.h"

#include "core/clock.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A record that says which it is and how long, and can be checked. */
static size_t record_make(uint64_t n, char buf[static QUEUE_RECORD])
{
	size_t len = 8 + (n * 7919) % 1500;

	memset(buf, (int)(n & 0xff), len);
	memcpy(buf, &n, sizeof(n));
	return len;
}

static bool record_is(struct slice record, uint64_t n)
{
	char buf[QUEUE_RECORD];
	size_t len = record_make(n, buf);

	return record.len == len && !memcmp(record.ptr, buf, len);
}

Test(queue, gives_back_in_order)
{
	struct slice out[8];
	struct queue *q;

	cr_assert_eq(queue_new(1, &q), 0);
	cr_assert_eq(queue_peek(q, out, 8), 0);
	cr_assert(queue_push(q, "one", 3));
	cr_assert(queue_push(q, "", 0));
	cr_assert(queue_push(q, "three", 5));
	cr_assert_eq(queue_count(q), 3);
	cr_assert_eq(queue_peek(q, out, 2), 2);
	cr_assert_eq(queue_peek(q, out, 8), 3);
	cr_assert(slice_eq(out[0], SLICE("one")));
	cr_assert_eq(out[1].len, 0);
	cr_assert(slice_eq(out[2], SLICE("three")));
	cr_assert_eq((uintptr_t)out[2].ptr % 8, 0);
	queue_pop(q, 2);
	cr_assert_eq(queue_peek(q, out, 8), 1);
	cr_assert(slice_eq(out[0], SLICE("three")));
	queue_pop(q, 1);
	cr_assert_eq(queue_count(q), 0);
	cr_assert_eq(queue_bytes(q), 0);
	queue_free(q);
}

Test(queue, is_full_at_its_size_and_usable_after)
{
	char buf[QUEUE_RECORD] = {0};
	struct slice out[1];
	struct queue *q;
	unsigned pushed = 0;

	cr_assert_eq(queue_new(1024 * 1024, &q), 0);
	while (queue_push(q, buf, 1000))
		pushed++;
	/* 16 chunks of 65 records of 1008 bytes */
	cr_assert_eq(pushed, 16 * 65);
	cr_assert_eq(queue_count(q), pushed);
	cr_assert_eq(queue_bytes(q), pushed * 1008);
	for (unsigned i = 0; i < 66; i++) {
		cr_assert_eq(queue_peek(q, out, 1), 1);
		queue_pop(q, 1);
	}
	for (unsigned i = 0; i < 65; i++)
		cr_assert(queue_push(q, buf, 1000));
	cr_assert_not(queue_push(q, buf, 1000));
	queue_free(q);
}

Test(queue, takes_the_largest_record)
{
	char buf[QUEUE_RECORD];
	struct slice out[1];
	struct queue *q;

	memset(buf, 'x', sizeof(buf));
	cr_assert_eq(queue_new(1, &q), 0);
	for (unsigned i = 0; i < 100; i++) {
		cr_assert(queue_push(q, buf, sizeof(buf)));
		cr_assert_eq(queue_peek(q, out, 1), 1);
		cr_assert_eq(out[0].len, sizeof(buf));
		queue_pop(q, 1);
	}
	queue_free(q);
}

/* Pages of the queue's memory that are resident, by where its records lie. */
static unsigned chunks_touched(struct queue *q, unsigned rounds)
{
	const char *seen[64] = {0};
	unsigned n = 0;
	struct slice out[1];

	for (unsigned i = 0; i < rounds; i++) {
		const char *chunk;
		unsigned j;

		cr_assert(queue_push(q, "0123456789abcdef", 16));
		cr_assert_eq(queue_peek(q, out, 1), 1);
		chunk = (const char *)((uintptr_t)out[0].ptr / QUEUE_CHUNK);
		queue_pop(q, 1);
		for (j = 0; j < n && seen[j] != chunk; j++)
			;
		if (j == n && n < 64)
			seen[n++] = chunk;
	}
	return n;
}

Test(queue, that_is_kept_short_stays_in_few_pages)
{
	struct queue *q;

	cr_assert_eq(queue_new((size_t)64 * 1024 * 1024, &q), 0);
	/* chunks need not be aligned to their size: each may span two */
	cr_assert_leq(chunks_touched(q, 100000), 4);
	queue_free(q);
}

#define THREADED 400000

struct pair {
	struct queue *q;
	uint64_t pushed, dropped;
};

static void *produce(void *arg)
{
	struct pair *pair = arg;
	char buf[QUEUE_RECORD];

	for (uint64_t n = 0; n < THREADED; n++) {
		size_t len = record_make(pair->pushed, buf);

		if (queue_push(pair->q, buf, len))
			pair->pushed++;
		else
			pair->dropped++;
	}
	return NULL;
}

Test(queue, keeps_exact_books_between_threads)
{
	struct pair pair = {0};
	struct slice out[64];
	uint64_t got = 0;
	pthread_t thread;
	bool done = false;

	cr_assert_eq(queue_new(256 * 1024, &pair.q), 0);
	cr_assert_eq(pthread_create(&thread, NULL, produce, &pair), 0);
	while (!done) {
		unsigned n = queue_peek(pair.q, out, 64);

		if (!n) {
			queue_wait(pair.q, 32, 20 * NS_PER_MS);
			/* quiet for 20 ms, and still nothing: the producer is done */
			done = queue_count(pair.q) == 0 && got > 0;
			continue;
		}
		for (unsigned i = 0; i < n; i++)
			cr_assert(record_is(out[i], got + i), "record %lu", (unsigned long)got + i);
		queue_pop(pair.q, n);
		got += n;
	}
	pthread_join(thread, NULL);
	while (queue_peek(pair.q, out, 1)) {
		cr_assert(record_is(out[0], got));
		queue_pop(pair.q, 1);
		got++;
	}
	cr_assert_eq(pair.pushed + pair.dropped, THREADED);
	cr_assert_eq(got, pair.pushed);
	cr_assert_eq(queue_count(pair.q), 0);
	cr_assert_eq(queue_bytes(pair.q), 0);
	queue_free(pair.q);
}

Test(queue, wait_ends_with_its_timeout_a_wake_or_enough)
{
	struct queue *q;
	uint64_t start = clock_monotonic();

	cr_assert_eq(queue_new(1, &q), 0);
	queue_wait(q, 1, 30 * NS_PER_MS);
	cr_assert_geq(clock_monotonic() - start, 30 * NS_PER_MS);
	queue_wake(q);
	queue_wait(q, 1, UINT64_MAX);
	cr_assert(queue_push(q, "x", 1));
	queue_wait(q, 1, UINT64_MAX);
	queue_free(q);
}

static void *push_three(void *arg)
{
	struct timespec pause = {.tv_nsec = 5 * NS_PER_MS};

	for (unsigned i = 0; i < 3; i++) {
		nanosleep(&pause, NULL);
		queue_push(arg, "x", 1);
	}
	return NULL;
}

Test(queue, wakes_at_the_number_asked_for, .timeout = 30)
{
	struct queue *q;
	pthread_t thread;

	cr_assert_eq(queue_new(1, &q), 0);
	cr_assert_eq(pthread_create(&thread, NULL, push_three, q), 0);
	while (queue_count(q) < 3)
		queue_wait(q, 3, UINT64_MAX);
	pthread_join(thread, NULL);
	queue_free(q);
}
