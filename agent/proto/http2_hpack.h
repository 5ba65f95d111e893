/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header blocks of one direction of an HTTP/2 connection (RFC 7541), decoded by libnghttp2.
 *
 * Of a connection that is older than weft, or after a block that was missed, the dynamic table's
 * entries are not known. The table is then filled with entries that stand for those, each no larger
 * than any real one can be. An index counts from the latest entry on, and the oldest are dropped
 * first, so whatever comes from then on has its right index, and an index beyond it names one that
 * is not known: never another's. Real entries take their places as they come.
 */
#pragma once
#include "proto/http_fields.h"

#include <stdbool.h>
#include <stdint.h>

#define HTTP2_TEXT (24u * 1024) /* of the names and values of one block */

struct nghttp2_hd_inflater;

struct http2_hpack {
	struct nghttp2_hd_inflater *inflater; /* NULL: none yet */
	bool unknown; /* what is in the table at the start */
};

/* One decoded block; its slices point into itself. */
struct http2_block {
	struct slice method, scheme, authority, path, protocol; /* RFC 9113, 8.3.1; RFC 8441, 4 */
	uint16_t status; /* 0: none, or no number */
	bool unknown; /* there were fields that are not known */
	bool malformed; /* a pseudo-header field twice, after others, or of no known name */
	struct http_fields fields; /* the others */
	uint32_t text_used;
	char text[HTTP2_TEXT];
};

/* From now on nothing of the table is known; frees what there was. */
void http2_hpack_forget(struct http2_hpack *hpack);
void http2_hpack_release(struct http2_hpack *hpack);

/* What the other side allows the table to take, SETTINGS_HEADER_TABLE_SIZE; 4096 at the start. 0 or
 * -ENOMEM. */
int http2_hpack_allow(struct http2_hpack *hpack, uint32_t bytes);

void http2_block_init(struct http2_block *block);
/* One fragment of a block after the other; last: it ends with this one. 0; -EBADMSG: it makes no
 * sense; -ENOMEM. After an error the table is to be forgotten. */
int http2_hpack_decode(
	struct http2_hpack *hpack, struct slice fragment, bool last, struct http2_block *block);
