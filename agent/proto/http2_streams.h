/* SPDX-License-Identifier: Apache-2.0 */
/* The open exchanges of one HTTP/2 connection, by the number of their stream. */
#pragma once
#include "proto/exchange.h"

#define HTTP2_BUCKETS                                                                              \
	16 /* a power of two: a client's streams have odd numbers, one after the other */

struct http2_streams {
	struct exchange *bucket[HTTP2_BUCKETS]; /* chained by next */
	uint32_t count;
};

void http2_streams_add(struct http2_streams *streams, struct exchange *ex);
struct exchange *http2_streams_find(const struct http2_streams *streams, uint32_t stream);
void http2_streams_remove(struct http2_streams *streams, struct exchange *ex);
/* Any one whose number is above `after`, NULL: none is. */
struct exchange *http2_streams_above(const struct http2_streams *streams, uint32_t after);
