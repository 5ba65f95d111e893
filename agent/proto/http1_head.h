/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an HTTP/1.x message (RFC 9112, 2 to 5): start line and header fields. Stateless but
 * for how far the caller's bytes were searched; allocates nothing; every slice points into the
 * input, but for folded values, which point into the head itself.
 */
#pragma once
#include "core/slice.h"
#include "proto/http_fields.h"
#include "proto/protocol.h"

#include <stdbool.h>
#include <stdint.h>

#define HTTP1_HEAD_MAX PARSE_KEEP /* bytes of start line, fields and the empty line */

/* How the message's body ends, as far as the head alone tells (RFC 9112, 6). */
enum http1_framing {
	HTTP1_UNSAID, /* neither field: no body in a request, all that comes in a reply */
	HTTP1_LENGTH,
	HTTP1_CHUNKED,
	HTTP1_CODED, /* a transfer coding whose last one is not chunked: ends with the connection */
};

struct http1_start {
	struct slice method, target; /* of a request */
	uint16_t status; /* of a reply */
	uint8_t minor; /* HTTP/1.minor */
};

struct http1_head {
	struct http1_start start;
	enum http1_framing framing;
	uint64_t length;
	struct http_fields fields; /* those beyond HTTP_FIELDS count for framing only */
	char folds[HTTP1_HEAD_MAX]; /* unfolded values */
};

/* Leading empty lines are passed over (RFC 9112, 2.2). */
struct slice http1_skip_empty(struct slice in);

/* Judge the first bytes of a message: DETECT_MORE, DETECT_NO, or DETECT_REQUEST or DETECT_REPLY. */
enum detect http1_detect_request(struct slice in);
enum detect http1_detect_reply(struct slice in);
enum detect http1_detect(struct slice in); /* either, or a request whose line has no end yet */

/* What the beginning of a request's head tells that will not be whole, or is malformed further on:
 * its method, and its target if the line, or at least the path, is whole. False: not even that. */
bool http1_head_begun(struct slice in, struct http1_start *ret_start);

/*
 * Parses the head at the start of in, which has no leading empty line. *scanned is 0 for a new
 * message and is kept by the caller between calls with ever more of the same bytes.
 * PARSE_CONSUMED: *ret_head and *ret_used are set. PARSE_MORE. PARSE_BAD.
 */
enum parse http1_head_parse(struct slice in, bool reply, uint32_t *scanned,
	struct http1_head *ret_head, size_t *ret_used);

/* What an exchange keeps of a request's head; true if a string had to be cut. */
bool http1_fill(struct exchange *ex, const struct http1_head *head);
