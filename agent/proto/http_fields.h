/* SPDX-License-Identifier: Apache-2.0 */
/* The header fields of one message, of any version of HTTP, and those of them that weft knows.
 * Every slice is borrowed. */
#pragma once
#include "core/slice.h"
#include "proto/exchange.h"

#define HTTP_FIELDS 128

struct http_fields {
	/* the first field of each name; empty slices where there is none */
	struct slice host, user_agent, traceparent, tracestate, forwarded, x_forwarded_for;
	struct slice content_type, grpc_status;
	unsigned traceparents, tracestates; /* number of such fields */
	unsigned n;
	bool cut; /* there were more than HTTP_FIELDS */
	struct field v[HTTP_FIELDS];
};

static inline void http_fields_first(struct slice *to, struct slice value)
{
	if (!to->ptr)
		*to = value;
}

/* Most names leave at the switch, by length and first letter. */
static inline void http_fields_add(struct http_fields *f, struct field field)
{
	struct slice name = field.name;

	switch (name.len << 8 | (unsigned char)(*name.ptr | 0x20)) {
	case 4 << 8 | 'h':
		if (slice_eq_nocase(name, SLICE("Host")))
			http_fields_first(&f->host, field.value);
		break;
	case 9 << 8 | 'f':
		if (slice_eq_nocase(name, SLICE("Forwarded")))
			http_fields_first(&f->forwarded, field.value);
		break;
	case 10 << 8 | 'u':
		if (slice_eq_nocase(name, SLICE("User-Agent")))
			http_fields_first(&f->user_agent, field.value);
		break;
	case 10 << 8 | 't':
		if (slice_eq_nocase(name, SLICE("tracestate"))) {
			http_fields_first(&f->tracestate, field.value);
			f->tracestates++;
		}
		break;
	case 11 << 8 | 'g':
		if (slice_eq_nocase(name, SLICE("grpc-status")))
			http_fields_first(&f->grpc_status, field.value);
		break;
	case 11 << 8 | 't':
		if (slice_eq_nocase(name, SLICE("traceparent"))) {
			http_fields_first(&f->traceparent, field.value);
			f->traceparents++;
		}
		break;
	case 12 << 8 | 'c':
		if (slice_eq_nocase(name, SLICE("Content-Type")))
			http_fields_first(&f->content_type, field.value);
		break;
	case 15 << 8 | 'x':
		if (slice_eq_nocase(name, SLICE("X-Forwarded-For")))
			http_fields_first(&f->x_forwarded_for, field.value);
		break;
	}
	if (f->n < HTTP_FIELDS)
		f->v[f->n++] = field;
	else
		f->cut = true;
}
