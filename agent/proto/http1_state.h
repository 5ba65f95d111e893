/* SPDX-License-Identifier: Apache-2.0 */
/* Inside http1.c: the state of a connection's parser, and how its messages and exchanges end. */
#pragma once
#include "proto/http1_chunk.h"
#include "proto/http1_join.h"
#include "proto/http1_queue.h"

/* What the next byte of a direction belongs to. */
enum state {
	AT_HEAD, /* a head, or the empty lines before one */
	IN_LENGTH, /* a body that the stream skips */
	IN_COUNTED, /* the body of an unpaired reply: there may be none, had it been a HEAD's */
	IN_CHUNKS,
	IN_LOST, /* a chunked body whose framing fell into a hole */
	IN_REST, /* a body that ends with the connection */
	PASSED_OVER, /* what is left of a request that was answered before it was whole, or is
			malformed: until the replies that are due have come */
	DEAF, /* nothing that comes is understood */
};

#define LINE_KEPT 160
#define HEAD_LONG 8192u /* a head of which so much was seen may be too long to be copied whole */

/* What to make of bytes that are no head where one is due. */
enum trust {
	FRESH, /* the first bytes seen: the middle of something */
	SYNCED, /* malformed */
	BLIND, /* something unknown: a head is believed only at the start of a call */
};

struct half {
	uint8_t state;
	uint8_t trust;
	bool begun; /* a head has started */
	bool cut; /* and its side ended before it was whole */
	bool start_call; /* at the start of a call */
	uint32_t scanned; /* bytes of it that were searched for its end */
	uint64_t start_ns, start_pos;
	uint64_t body_pos;
	uint64_t left; /* IN_COUNTED */
	struct http1_chunk chunk;
	/* of the last byte seen of a message whose end may not be seen */
	uint64_t last_ns, last_pos;
	uint32_t last_tid;
};

struct http1 {
	struct half half[2];
	struct http1_queue queue;
	struct http1_join join;
	uint8_t line_len;
	char line[LINE_KEPT]; /* how the request's head begins, while it is not whole */
	struct exchange *asking; /* its request is still coming; also in the queue */
	bool answering; /* the reply that is coming is that of the queue's front */
	bool dead; /* the connection is no longer HTTP/1 */
	bool ended; /* the reply side's FIN was seen */
	bool unsure; /* where the request under way ends was not seen: after its reply start over */

	/* What is known about replies to come that have no request in the queue. */
	bool lost; /* there may be some: nothing is paired */
	bool pipelined; /* requests did not wait for the reply before */
	bool orphaned; /* since the last request there was a reply without one */
	bool hidden; /* since the last request there may have been one that was not seen */
	bool suspect; /* the queue's front came right after that: it may have been its request */
	uint64_t orphan_ns; /* latest start of such a reply, or bytes that may have been one */
	uint64_t request_ns; /* when the last request started */
	uint64_t replied_ns; /* when the last reply ended */
};

/* NULL: the front has no exchange. */
struct exchange *http1_pop(struct http1 *h);
void http1_finish(struct sink *sink, struct exchange *ex, enum exchange_end end, uint64_t time_ns);
void http1_finish_all(struct http1 *h, struct sink *sink, enum exchange_end end, uint64_t time_ns);
/* Which reply belongs to which request is no longer known. */
void http1_lose(struct http1 *h, struct sink *sink, uint64_t time_ns);
void http1_next(struct half *half);
void http1_lose_place(struct half *half);
/* A request may have been missed, and its body may be anything: as if the connection were joined
 * here. Nothing is open. */
void http1_start_over(struct http1 *h, struct sink *sink);
void http1_note_seen(struct half *half, const struct feed *in, uint64_t n);
/* The request's body ended with the last byte seen. */
void http1_request_over(struct http1 *h);
/* The reply ended with the last byte seen. */
void http1_reply_over(struct http1 *h, struct sink *sink);
void http1_body_over(struct http1 *h, struct sink *sink, enum side side);

/* RFC 9110, 7.8 and 9.3.6: what follows is another protocol. */
enum parse http1_leave(
	struct http1 *h, struct sink *sink, const struct feed *in, struct parsed *ret);
/* RFC 7540, 3.2: so it is, and the request's reply comes as HTTP/2, on its first stream; then
 * nothing of h is left. */
bool http1_offers_http2(const struct http1_head *head);
enum parse http1_become_http2(struct http1 *h, struct sink *sink, const struct feed *in);
