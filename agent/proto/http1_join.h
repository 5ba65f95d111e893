/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that was joined in its middle, or on which a request may have been missed. A message
 * may be under way in either direction, and its body may be anything, messages of HTTP included:
 * nothing that looks like a head is believed. Until an exchange was seen that fits without a gap:
 * the request began where its side stood when the other made its last call; nothing followed it;
 * and the reply began where its own side stood then. A body is not answered piece by piece, so that
 * none of its pieces fits. All this is told by positions alone.
 */
#pragma once
#include "proto/http1_chunk.h"
#include "proto/http1_head.h"
#include "proto/protocol.h"

#define HTTP1_METHOD_KEPT 8 /* the methods that matter are shorter */

enum http1_join_state {
	HTTP1_JOIN_OFF, /* everything is believed */
	HTTP1_JOIN_LOOK, /* for a request in its place */
	HTTP1_JOIN_LENGTH, /* there is one: its body. Not skipped, for it may be none */
	HTTP1_JOIN_CHUNKS,
	HTTP1_JOIN_WAIT, /* it is whole: the next bytes must be its reply */
};

struct http1_join {
	struct exchange
		*ex; /* the request; NULL: not to be told of. Its text is the head as sent */
	uint8_t state;
	uint8_t method_len;
	bool asking, answering; /* a head in its place has begun, on that side */
	char method[HTTP1_METHOD_KEPT];
	uint32_t head_len;
	uint32_t scanned[2];
	uint64_t start_ns, start_pos; /* of the head that has begun */
	uint32_t reply_due; /* where the reply must begin: its side stood there at the request */
	uint32_t request_end; /* and where its own side must stand then */
	uint64_t body_pos, left; /* of the request's body */
	struct http1_chunk chunk;
};

/* As feed of struct protocol, for requests. */
enum parse http1_join_request(
	struct http1_join *join, struct sink *sink, const struct feed *in, struct parsed *ret);

/* The same for replies. *ret_fits: they start with a whole reply head that fits, as of which
 * everything is believed; nothing was used. http1_join_take is to follow. */
enum parse http1_join_reply(struct http1_join *join, struct sink *sink, const struct feed *in,
	struct parsed *ret, bool *ret_fits);

/* The request that the reply fits, asked now; NULL if it is not to be told of. *ret_method lives
 * as long as join. */
struct exchange *http1_join_take(
	struct http1_join *join, struct sink *sink, struct slice *ret_method);

/* n bytes of a side are missing: inside the request's body they are just not known. */
void http1_join_hole(struct http1_join *join, struct sink *sink, enum side side,
	const struct feed *in, uint64_t n);

/* What is on trial is not believed. */
void http1_join_drop(struct http1_join *join, struct sink *sink);
