/* SPDX-License-Identifier: Apache-2.0 */
/* A finished span, neutral of any backend. Slices are borrowed; see span_pack for keeping one. */
#pragma once
#include "core/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define TRACE_ID_LEN   16
#define SPAN_ID_LEN    8
#define SPAN_MAX_ATTRS 48
#define SPAN_PACK_MAX  8192 /* most bytes a packed span takes; longer text is cut at build */
#define SPAN_PACK_HEAD 72 /* of which the span takes these, */
#define SPAN_PACK_ATTR 16 /* and each attribute these, besides their text */

enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER = 2, SPAN_CLIENT = 3 }; /* OTLP's numbers */
enum span_status { SPAN_UNSET = 0, SPAN_OK = 1, SPAN_ERROR = 2 };

/* The evidence for a span's parent; exported as `weft.link` on every span that has one. */
enum link { LINK_NONE, LINK_HEADER, LINK_SOCKET, LINK_THREAD, LINK_FORWARD, LINK_MAX };
const char *link_name(enum link link);

enum attr_type { ATTR_STRING, ATTR_INT, ATTR_STRINGS };

struct attr {
	struct slice key;
	struct slice str; /* STRING; STRINGS: an array of one string */
	int64_t num; /* INT */
	enum attr_type type;
};

struct span {
	uint8_t trace_id[TRACE_ID_LEN];
	uint8_t span_id[SPAN_ID_LEN];
	uint8_t parent_id[SPAN_ID_LEN];
	bool has_parent;
	bool parent_remote; /* known from a header of a caller that this node does not trace */
	uint8_t trace_flags; /* W3C: bit 0 sampled */
	enum link link;
	enum span_kind kind;
	enum span_status status;
	uint32_t resource; /* index in the resource table */
	uint32_t pid;
	uint64_t start_ns; /* Unix time */
	uint64_t end_ns; /* never before start_ns */
	struct slice trace_state;
	struct slice name;
	unsigned attr_count;
	struct attr attrs[SPAN_MAX_ATTRS];
};

/* Adds an attribute; counts nothing and does nothing when all SPAN_MAX_ATTRS are taken. */
void span_add_str(struct span *span, struct slice key, struct slice value);
void span_add_strs(struct span *span, struct slice key, struct slice value); /* an array of one */
void span_add_int(struct span *span, struct slice key, int64_t value);

/* Writes the span and its text into buf, position-independent, 8-byte aligned size. The bytes used,
 * or -ENOSPC. */
int span_pack(const struct span *span, void *buf, size_t cap);

/* Reads what span_pack wrote; ret_span's slices point into buf. buf must be 8-byte aligned. Trusted
 * input (the process' own memory). */
void span_unpack(const void *buf, size_t len, struct span *ret_span);

/* Sets the identity of a packed span in place, before it is handed on. */
void span_packed_identify(void *buf, const uint8_t trace_id[static TRACE_ID_LEN],
	const uint8_t parent_id[static SPAN_ID_LEN], bool has_parent, bool parent_remote,
	uint8_t trace_flags, enum link link);
