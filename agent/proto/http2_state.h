/* SPDX-License-Identifier: Apache-2.0 */
/* Inside http2.c, http2_message.c and http2_detect.c: the state of a connection's parser. */
#pragma once
#include "proto/http2_frame.h"
#include "proto/http2_hpack.h"
#include "proto/http2_streams.h"
#include "proto/protocol.h"

/* What the next byte of a direction belongs to. */
enum http2_at {
	HTTP2_AT_START, /* the client's preface, or a frame of the server */
	HTTP2_AT_FRAME, /* a frame's header */
	HTTP2_IN_SKIP, /* a payload that the stream skips */
	HTTP2_IN_MESSAGES, /* the DATA of a gRPC stream: `left` bytes of it */
	HTTP2_IN_REST, /* the same, where a message's beginning fell into a hole */
	HTTP2_LOST, /* unknown: a frame is believed only at the start of a call */
};

struct http2_half {
	uint8_t at;
	bool begun; /* a frame has started */
	bool lost; /* once at least: what makes no sense is no fault of the peer's */
	struct http2_frame frame; /* whose payload is under way */
	uint32_t left;
	uint32_t highest; /* stream that had a header block */
	uint32_t max_frame; /* payload that the other side allows; 0: not said */
	uint64_t start_ns, start_pos; /* of the frame that has started */
	struct http2_hpack hpack;
};

struct http2 {
	struct http2_half half[2];
	struct http2_streams streams;
	bool told; /* how much is wanted */
	bool dead;
	bool ended; /* the reply side's FIN was seen */
	bool unsure; /* there may be streams that are not known */
	uint16_t losses;
	uint64_t strange_ns; /* when one of those was last heard of */
};

/* See struct protocol: the client's preface, the server's first SETTINGS; or, in the middle of a
 * connection, a HEADERS frame whose block decodes to a request's or a reply's. */
enum detect http2_detect(struct slice in);

/* Ends an exchange, and all of them. */
void http2_finish(struct http2 *h, struct sink *sink, struct exchange *ex, enum exchange_end end,
	uint64_t time_ns);
void http2_finish_all(struct http2 *h, struct sink *sink, enum exchange_end end, uint64_t time_ns);

/* A stream's DATA or header block was the last one of that side. */
void http2_side_over(struct http2 *h, struct sink *sink, struct exchange *ex, enum side side,
	const struct feed *in);

/* A header block of a request or a reply is whole; end: so is that side of the stream. False: it is
 * malformed. */
bool http2_request_block(struct http2 *h, struct sink *sink, const struct feed *in,
	const struct http2_block *block, uint32_t stream, bool end);
void http2_reply_block(struct http2 *h, struct sink *sink, const struct feed *in,
	const struct http2_block *block, uint32_t stream, bool end);

/* Something was heard of a stream that is not known. */
void http2_strange(struct http2 *h, uint64_t time_ns);

/* Counts gRPC's messages in n bytes of DATA at bytes, and takes what it needs: *ret_used of them,
 * and *ret_skip after those may be passed over, both within n. */
void http2_messages(struct http_messages *m, struct slice bytes, uint32_t n, size_t *ret_used,
	uint32_t *ret_skip);
