/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One exchange -> one span, by the stable HTTP semantic conventions.
 *
 * How an exchange ended shows so:
 *
 *   whole reply            5xx is an error; 4xx only for the client; error.type is the status
 *   CLOSED                 error, error.type=connection_closed (the peer closed it)
 *   ABORTED                error, error.type=aborted           (this end gave up)
 *   RESET                  error, error.type=connection_reset
 *   STREAM_RESET           error, error.type=stream_reset      (HTTP/2: the peer gave up)
 *   REFUSED                error, error.type=connection_refused
 *   TIMEOUT                error, error.type=timeout
 *   UNREACHABLE            error, error.type=unreachable
 *   BAD                    error, error.type=bad_reply
 *   HOLE                   weft.incomplete=lost: the reply was not seen whole
 *   EVICTED, SHUTDOWN      weft.incomplete=evicted, shutdown
 *
 * What is incomplete is weft's own loss, so no error is claimed; a status that was seen still
 * counts. A status that is an error names error.type, however the exchange ended.
 *
 * A connect() that failed is a client span named "connect".
 */
#pragma once
#include "proto/exchange.h"
#include "span/options.h"
#include "span/span.h"

struct span_builder;

int span_builder_new(const struct span_options *options, struct span_builder **ret_builder);
void span_builder_free(struct span_builder *builder);

/* Takes new options, but for max_routes. No span built before may be in use. */
void span_builder_reload(struct span_builder *builder, const struct span_options *options);

/* Copies the configured header fields into the exchange; true if text was cut or a field left out.
 */
bool span_keep_headers(const struct span_builder *builder, struct exchange *ex,
	const struct field *fields, unsigned n, bool is_reply);

/* To be counted by the caller. */
enum span_note {
	SPAN_NOTE_ROUTES_FULL = 1 << 0, /* named without a route, there was no room for one */
	SPAN_NOTE_TEXT_CUT = 1 << 1, /* text was shortened */
};

/* Fills *ret_span but for its ids, flags, link and resource, which are zero. Its slices point into
 * the exchange and the builder: good until either changes. Packed it takes at most SPAN_PACK_MAX,
 * with room for a trace state of 512 bytes. Returns a set of enum span_note. unix_offset_ns: see
 * clock_unix_offset(). shed_percent: of the connections that are left out; if not 0, the span says
 * so (weft.shed_percent). */
unsigned span_build(struct span_builder *builder, const struct exchange *ex,
	uint64_t unix_offset_ns, unsigned shed_percent, struct span *ret_span);
