/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http1_queue.h"

void http1_queue_push(struct http1_queue *q, struct exchange *ex, struct slice method)
{
	uint8_t flags = 0;

	if (slice_eq(method, SLICE("HEAD")))
		flags = HTTP1_IS_HEAD;
	else if (slice_eq(method, SLICE("CONNECT")))
		flags = HTTP1_IS_CONNECT;
	if (ex) {
		flags |= HTTP1_HAS_EXCHANGE;
		ex->next = NULL;
		if (q->first)
			q->last->next = ex;
		else
			q->first = ex;
		q->last = ex;
	}
	q->flags[(q->front + q->count) % HTTP1_QUEUE_MAX] = flags;
	q->count++;
}

uint8_t http1_queue_flags(const struct http1_queue *q)
{
	return q->flags[q->front];
}

struct exchange *http1_queue_front(const struct http1_queue *q)
{
	return http1_queue_flags(q) & HTTP1_HAS_EXCHANGE ? q->first : NULL;
}

struct exchange *http1_queue_pop(struct http1_queue *q)
{
	struct exchange *ex = http1_queue_front(q);

	if (ex) {
		q->first = ex->next;
		ex->next = NULL;
	}
	q->count--;
	q->front = (q->front + 1) % HTTP1_QUEUE_MAX;
	return ex;
}
