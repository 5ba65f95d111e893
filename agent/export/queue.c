/* SPDX-License-Identifier: Apache-2.0 */
#include "export/queue.h"

#include "core/clock.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NONE   UINT32_MAX
#define HEADER 8u /* a record's length, and alignment */

/* queue.sleeper: the number of records that the consumer sleeps for, or one of these */
#define AWAKE 0u
#define WOKEN UINT32_MAX

struct chunk {
	_Atomic uint32_t used; /* bytes that the consumer may read; producer */
	uint32_t next_free; /* written before the chunk enters the free list, read after it left */
};

struct queue {
	char *memory;
	struct chunk *chunks;
	uint32_t *order; /* numbers of the chunks in use, oldest at head % count */
	uint32_t count;

	/* Emptied chunks, the latest first. The consumer pushes and only the producer pops, so that
	 * a head that compares equal is the same list. */
	_Alignas(64) _Atomic uint32_t free_list;

	/* producer */
	_Alignas(64) _Atomic uint64_t tail; /* chunks ever taken into use */
	_Atomic uint64_t pushed;
	_Atomic uint64_t pushed_bytes;

	/* consumer */
	_Alignas(64) uint64_t head; /* chunks ever emptied */
	uint32_t offset; /* first byte not yet popped of chunk head */
	_Atomic uint64_t popped;
	_Atomic uint64_t popped_bytes;

	_Alignas(64) _Atomic uint32_t sleeper;
};

int queue_new(size_t bytes, struct queue **ret_queue)
{
	size_t count = (bytes + QUEUE_CHUNK - 1) / QUEUE_CHUNK;
	struct queue *q = aligned_alloc(_Alignof(struct queue), sizeof(*q));

	if (!q)
		return -ENOMEM;
	if (count < 2)
		count = 2;
	memset(q, 0, sizeof(*q));
	q->count = (uint32_t)count;
	q->chunks = calloc(count, sizeof(*q->chunks));
	q->order = calloc(count, sizeof(*q->order));
	q->memory = mmap(NULL, count * QUEUE_CHUNK, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (q->memory == MAP_FAILED)
		q->memory = NULL;
	if (!q->chunks || !q->order || !q->memory) {
		queue_free(q);
		return -ENOMEM;
	}
	/* chunk 0 is in use from the start */
	for (uint32_t i = 1; i < q->count; i++)
		q->chunks[i].next_free = i + 1 < q->count ? i + 1 : NONE;
	atomic_store(&q->free_list, 1);
	atomic_store(&q->tail, 1);
	*ret_queue = q;
	return 0;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	if (q->memory)
		munmap(q->memory, (size_t)q->count * QUEUE_CHUNK);
	free(q->order);
	free(q->chunks);
	free(q);
}

static uint32_t free_list_pop(struct queue *q)
{
	uint32_t first = atomic_load_explicit(&q->free_list, memory_order_acquire);

	while (first != NONE &&
		!atomic_compare_exchange_weak_explicit(&q->free_list, &first,
			q->chunks[first].next_free, memory_order_acquire, memory_order_acquire))
		;
	return first;
}

static void free_list_push(struct queue *q, uint32_t chunk)
{
	uint32_t first = atomic_load_explicit(&q->free_list, memory_order_relaxed);

	do
		q->chunks[chunk].next_free = first;
	while (!atomic_compare_exchange_weak_explicit(
		&q->free_list, &first, chunk, memory_order_release, memory_order_relaxed));
}

static void futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

static size_t record_size(size_t len)
{
	return HEADER + ((len + 7) & ~(size_t)7);
}

bool queue_push(struct queue *q, const void *data, size_t len)
{
	uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
	uint32_t at = q->order[(tail - 1) % q->count];
	uint32_t used = atomic_load_explicit(&q->chunks[at].used, memory_order_relaxed);
	uint64_t pushed = atomic_load_explicit(&q->pushed, memory_order_relaxed) + 1;
	uint64_t bytes = atomic_load_explicit(&q->pushed_bytes, memory_order_relaxed);
	uint32_t length = (uint32_t)len, sleeper;
	size_t size = record_size(len);
	char *record;

	assert(len <= QUEUE_RECORD);
	if (size > QUEUE_CHUNK - used) {
		at = free_list_pop(q);
		if (at == NONE)
			return false;
		used = 0;
		atomic_store_explicit(&q->chunks[at].used, 0, memory_order_relaxed);
		q->order[tail % q->count] = at;
		atomic_store_explicit(&q->tail, tail + 1, memory_order_release);
	}
	record = q->memory + (size_t)at * QUEUE_CHUNK + used;
	memcpy(record, &length, sizeof(length));
	memcpy(record + HEADER, data, len);
	atomic_store_explicit(&q->chunks[at].used, used + (uint32_t)size, memory_order_release);
	atomic_store_explicit(&q->pushed_bytes, bytes + size, memory_order_release);

	/* Against queue_wait's store and load: either it sees this record or this sees it asleep.
	 */
	atomic_store_explicit(&q->pushed, pushed, memory_order_seq_cst);
	sleeper = atomic_load_explicit(&q->sleeper, memory_order_seq_cst);
	if (sleeper != AWAKE && sleeper != WOKEN &&
		pushed - atomic_load_explicit(&q->popped, memory_order_relaxed) >= sleeper &&
		atomic_compare_exchange_strong(&q->sleeper, &sleeper, AWAKE))
		futex(&q->sleeper, FUTEX_WAKE, 1, NULL);
	return true;
}

/* Where the consumer stands, for a walk over the records. */
struct cursor {
	uint64_t chunk;
	uint32_t offset;
};

/* The record at the cursor, which moves behind it. */
static bool cursor_next(const struct queue *q, struct cursor *c, struct slice *ret_record)
{
	for (;;) {
		uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
		uint32_t at = q->order[c->chunk % q->count];
		/* after tail: a chunk that is not the last one is complete */
		uint32_t used = atomic_load_explicit(&q->chunks[at].used, memory_order_acquire);

		if (c->offset < used) {
			const char *record = q->memory + (size_t)at * QUEUE_CHUNK + c->offset;
			uint32_t length;

			memcpy(&length, record, sizeof(length));
			*ret_record = slice_of(record + HEADER, length);
			c->offset += (uint32_t)record_size(length);
			return true;
		}
		if (c->chunk + 1 == tail)
			return false;
		c->chunk++;
		c->offset = 0;
	}
}

unsigned queue_peek(struct queue *q, struct slice *ret_records, unsigned max)
{
	struct cursor c = {q->head, q->offset};
	unsigned n = 0;

	while (n < max && cursor_next(q, &c, &ret_records[n]))
		n++;
	return n;
}

void queue_pop(struct queue *q, unsigned n)
{
	struct cursor c = {q->head, q->offset};
	uint64_t bytes = atomic_load_explicit(&q->popped_bytes, memory_order_relaxed);
	struct slice record;

	for (unsigned i = 0; i < n && cursor_next(q, &c, &record); i++)
		bytes += record_size(record.len);
	for (; q->head < c.chunk; q->head++)
		free_list_push(q, q->order[q->head % q->count]);
	q->offset = c.offset;
	atomic_store_explicit(&q->popped_bytes, bytes, memory_order_release);
	atomic_store_explicit(&q->popped,
		atomic_load_explicit(&q->popped, memory_order_relaxed) + n, memory_order_release);
}

void queue_wait(struct queue *q, unsigned n, uint64_t timeout_ns)
{
	struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / NS_PER_SEC),
		.tv_nsec = (long)(timeout_ns % NS_PER_SEC)};
	uint32_t awake = AWAKE;

	assert(n != AWAKE && n != WOKEN);
	if (atomic_compare_exchange_strong(&q->sleeper, &awake, n) && queue_count(q) < n)
		futex(&q->sleeper, FUTEX_WAIT, n, timeout_ns == UINT64_MAX ? NULL : &timeout);
	atomic_store(&q->sleeper, AWAKE);
}

void queue_wake(struct queue *q)
{
	atomic_store(&q->sleeper, WOKEN);
	futex(&q->sleeper, FUTEX_WAKE, INT_MAX, NULL);
}

uint64_t queue_count(const struct queue *q)
{
	uint64_t popped = atomic_load_explicit(&q->popped, memory_order_acquire);

	return atomic_load_explicit(&q->pushed, memory_order_seq_cst) - popped;
}

uint64_t queue_bytes(const struct queue *q)
{
	uint64_t popped = atomic_load_explicit(&q->popped_bytes, memory_order_acquire);

	return atomic_load_explicit(&q->pushed_bytes, memory_order_acquire) - popped;
}
