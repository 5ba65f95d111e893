/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of one connection that wait for their replies, oldest first. */
#pragma once
#include "core/slice.h"
#include "proto/exchange.h"

#include <stdbool.h>
#include <stdint.h>

#define HTTP1_QUEUE_MAX 128u /* a power of two, below 256 */

/* What a request's method says about its reply. */
enum {
	HTTP1_IS_HEAD = 1,
	HTTP1_IS_CONNECT = 2,
	HTTP1_HAS_EXCHANGE = 4, /* else there was no room for one */
};

/* Zeroed is empty. */
struct http1_queue {
	struct exchange *first, *last; /* those that have one, linked by next */
	uint8_t flags[HTTP1_QUEUE_MAX];
	uint8_t front, count;
};

/* There must be room. ex: NULL if the request has no exchange. */
void http1_queue_push(struct http1_queue *q, struct exchange *ex, struct slice method);

/* Of the oldest; there must be one. */
uint8_t http1_queue_flags(const struct http1_queue *q);
struct exchange *http1_queue_front(const struct http1_queue *q); /* NULL: it has none */
struct exchange *http1_queue_pop(struct http1_queue *q); /* the same, removed */
