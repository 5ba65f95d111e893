/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of byte records between one producer and one consumer thread, of fixed size, without
 * locks. It is made of chunks that are filled one after the other; an emptied one is the next to be
 * filled, so that a queue that is kept short stays in few pages, however large it may grow.
 */
#pragma once
#include "core/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue;

#define QUEUE_CHUNK  (64u * 1024)
#define QUEUE_RECORD 8192u /* most bytes of a record */

/* bytes is rounded up to whole chunks, at least two. 0 or -ENOMEM. */
int queue_new(size_t bytes, struct queue **ret_queue);
void queue_free(struct queue *queue);

/* Producer. Copies the record; false if there is no room. Never waits, and enters the kernel only
 * where the consumer asked to be woken at this number of records. */
bool queue_push(struct queue *queue, const void *data, size_t len);

/* Consumer. The first records, oldest first, 8-byte aligned, up to max; they stay where they are
 * until they are popped. */
unsigned queue_peek(struct queue *queue, struct slice *ret_records, unsigned max);
void queue_pop(struct queue *queue, unsigned n);

/* Consumer. Sleeps until at least n records are there, queue_wake is called, or timeout_ns passed
 * (UINT64_MAX: no limit). Whoever waits looks again: it may return early. */
void queue_wait(struct queue *queue, unsigned n, uint64_t timeout_ns);

/* Any thread. A queue_wait that runs, or the next one, returns. */
void queue_wake(struct queue *queue);

/* Any thread. */
uint64_t queue_count(const struct queue *queue);
uint64_t queue_bytes(const struct queue *queue);
