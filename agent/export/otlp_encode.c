/* SPDX-License-Identifier: Apache-2.0 */
#include "export/otlp_encode.h"

#include "enrich/resource.h"
#include "export/otlp_wire.h"
#include "span/span.h"
#include "span/text.h"

#include <errno.h>
#include <stdlib.h>

/* opentelemetry-proto's field numbers */
enum { REQUEST_RESOURCE_SPANS = 1 };
enum { RESOURCE_SPANS_RESOURCE = 1, RESOURCE_SPANS_SCOPE_SPANS = 2, RESOURCE_SPANS_SCHEMA_URL = 3 };
enum { SCOPE_SPANS_SCOPE = 1, SCOPE_SPANS_SPANS = 2, SCOPE_SPANS_SCHEMA_URL = 3 };
enum { RESOURCE_ATTRIBUTES = 1 };
enum { SCOPE_NAME = 1, SCOPE_VERSION = 2 };
enum {
	SPAN_TRACE_ID = 1,
	SPAN_SPAN_ID = 2,
	SPAN_TRACE_STATE = 3,
	SPAN_PARENT_SPAN_ID = 4,
	SPAN_NAME = 5,
	SPAN_KIND = 6,
	SPAN_START = 7,
	SPAN_END = 8,
	SPAN_ATTRIBUTES = 9,
	SPAN_STATUS = 15,
	SPAN_FLAGS = 16,
};
enum { STATUS_CODE = 3 };
enum { KEY_VALUE_KEY = 1, KEY_VALUE_VALUE = 2 };
enum { ANY_STRING = 1, ANY_INT = 3, ANY_ARRAY = 5 };
enum { ARRAY_VALUES = 1 };

/* trace.proto, SpanFlags */
#define FLAGS_HAS_IS_REMOTE 0x100u
#define FLAGS_IS_REMOTE     0x200u

/* An encoded span, with its tag as a field of ScopeSpans. */
struct piece {
	uint32_t before; /* the previous one of the same resource, FIRST if none */
	const char *ptr;
	size_t len;
};

#define FIRST UINT32_MAX

/* The spans of one resource. */
struct group {
	uint32_t resource;
	uint32_t last; /* piece */
};

/* Where text that is not UTF-8 is mended: a receiver must refuse a whole request for one bad
 * string. */
#define MENDED_MAX (3 * SPAN_PACK_MAX)

struct encoding {
	struct wire wire;
	struct text mended;
};

struct otlp_encoder {
	const struct resource_table *resources;
	unsigned max_spans;
	size_t max_bytes;
	struct piece *pieces;
	struct group *groups;
	char *spans; /* max_bytes: the pieces, from the end downwards */
	char *message; /* max_bytes: the request, likewise */
	char mended[MENDED_MAX];
};

int otlp_encoder_new(const struct resource_table *resources, unsigned max_spans, size_t max_bytes,
	struct otlp_encoder **ret_encoder)
{
	struct otlp_encoder *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->resources = resources;
	e->max_spans = max_spans;
	e->max_bytes = max_bytes;
	e->pieces = calloc(max_spans, sizeof(*e->pieces));
	e->groups = calloc(max_spans, sizeof(*e->groups));
	e->spans = malloc(max_bytes);
	e->message = malloc(max_bytes);
	if (!e->pieces || !e->groups || !e->spans || !e->message) {
		otlp_encoder_free(e);
		return -ENOMEM;
	}
	*ret_encoder = e;
	return 0;
}

void otlp_encoder_free(struct otlp_encoder *e)
{
	if (!e)
		return;
	free(e->pieces);
	free(e->groups);
	free(e->spans);
	free(e->message);
	free(e);
}

static void put_string(struct encoding *to, unsigned field, struct slice s)
{
	to->mended.used = 0;
	s = text_utf8(&to->mended, s);
	wire_put_bytes(&to->wire, field, s.ptr, s.len);
}

static void put_attr(struct encoding *to, unsigned field, const struct attr *attr)
{
	struct wire *w = &to->wire;
	const char *end = w->at;

	switch (attr->type) {
	case ATTR_STRING:
		put_string(to, ANY_STRING, attr->str);
		break;
	case ATTR_INT:
		wire_put_varint(w, ANY_INT, (uint64_t)attr->num);
		break;
	case ATTR_STRINGS:
		put_string(to, ANY_STRING, attr->str);
		wire_put_message(w, ARRAY_VALUES, end);
		wire_put_message(w, ANY_ARRAY, end);
		break;
	}
	wire_put_message(w, KEY_VALUE_VALUE, end);
	put_string(to, KEY_VALUE_KEY, attr->key);
	wire_put_message(w, field, end);
}

static uint32_t span_flags(const struct span *span)
{
	uint32_t flags = span->trace_flags;

	if (span->has_parent)
		flags |= FLAGS_HAS_IS_REMOTE | (span->parent_remote ? FLAGS_IS_REMOTE : 0);
	return flags;
}

static void put_span(struct encoding *to, const struct span *span)
{
	struct wire *w = &to->wire;
	const char *end = w->at, *status_end;

	if (span_flags(span))
		wire_put_fixed32(w, SPAN_FLAGS, span_flags(span));
	if (span->status != SPAN_UNSET) {
		status_end = w->at;
		wire_put_varint(w, STATUS_CODE, span->status);
		wire_put_message(w, SPAN_STATUS, status_end);
	}
	if (span->link != LINK_NONE) {
		const struct attr link = {.key = SLICE("weft.link"),
			.str = slice_str(link_name(span->link)),
			.type = ATTR_STRING};

		put_attr(to, SPAN_ATTRIBUTES, &link);
	}
	for (unsigned i = span->attr_count; i-- > 0;)
		put_attr(to, SPAN_ATTRIBUTES, &span->attrs[i]);
	wire_put_fixed64(w, SPAN_END, span->end_ns);
	wire_put_fixed64(w, SPAN_START, span->start_ns);
	wire_put_varint(w, SPAN_KIND, span->kind);
	put_string(to, SPAN_NAME, span->name);
	if (span->has_parent)
		wire_put_bytes(w, SPAN_PARENT_SPAN_ID, span->parent_id, SPAN_ID_LEN);
	if (span->trace_state.len)
		put_string(to, SPAN_TRACE_STATE, span->trace_state);
	wire_put_bytes(w, SPAN_SPAN_ID, span->span_id, SPAN_ID_LEN);
	wire_put_bytes(w, SPAN_TRACE_ID, span->trace_id, TRACE_ID_LEN);
	wire_put_message(w, SCOPE_SPANS_SPANS, end);
}

static void put_scope(struct wire *w)
{
	const char *end = w->at;

	wire_put_bytes(w, SCOPE_VERSION, WEFT_VERSION, sizeof(WEFT_VERSION) - 1);
	wire_put_bytes(w, SCOPE_NAME, "weft", 4);
	wire_put_message(w, SCOPE_SPANS_SCOPE, end);
}

static void put_resource(struct encoding *to, const struct resource *resource)
{
	const char *end = to->wire.at;

	for (unsigned i = resource->n; i-- > 0;)
		put_attr(to, RESOURCE_ATTRIBUTES, &resource->attrs[i]);
	wire_put_message(&to->wire, RESOURCE_SPANS_RESOURCE, end);
}

static void put_group(const struct otlp_encoder *e, struct encoding *to, const struct group *group)
{
	struct wire *w = &to->wire;
	const char *end = w->at, *scope_end;

	wire_put_bytes(w, RESOURCE_SPANS_SCHEMA_URL, OTLP_SCHEMA_URL, sizeof(OTLP_SCHEMA_URL) - 1);
	scope_end = w->at;
	wire_put_bytes(w, SCOPE_SPANS_SCHEMA_URL, OTLP_SCHEMA_URL, sizeof(OTLP_SCHEMA_URL) - 1);
	for (uint32_t i = group->last; i != FIRST; i = e->pieces[i].before)
		wire_raw(w, e->pieces[i].ptr, e->pieces[i].len);
	put_scope(w);
	wire_put_message(w, RESOURCE_SPANS_SCOPE_SPANS, scope_end);
	put_resource(to, resource_get(e->resources, group->resource));
	wire_put_message(w, REQUEST_RESOURCE_SPANS, end);
}

/* The lengths of ScopeSpans and ResourceSpans take up to this much more once they hold spans. */
#define GROUP_GROWTH 8

static struct encoding encoding_in(struct otlp_encoder *e, char *buf)
{
	return (struct encoding){
		.wire = {.start = buf, .at = buf + e->max_bytes},
		.mended = {.buf = e->mended, .cap = sizeof(e->mended)},
	};
}

/* What a request grows by with a group that has no spans yet. */
static size_t group_size(struct otlp_encoder *e, const struct group *group)
{
	struct encoding to = encoding_in(e, e->message);
	const char *end = to.wire.at;

	put_group(e, &to, group);
	return to.wire.full ? e->max_bytes : (size_t)(end - to.wire.at) + GROUP_GROWTH;
}

unsigned otlp_encode(
	struct otlp_encoder *e, const struct slice *spans, unsigned n, struct slice *ret_message)
{
	struct encoding to = encoding_in(e, e->spans);
	unsigned groups = 0, taken = 0;
	size_t size = 0;
	struct span span;

	for (; taken < n && taken < e->max_spans; taken++) {
		struct piece *piece = &e->pieces[taken];
		const char *end = to.wire.at;
		unsigned g = groups;

		span_unpack(spans[taken].ptr, spans[taken].len, &span);
		put_span(&to, &span);
		piece->ptr = to.wire.at;
		piece->len = (size_t)(end - to.wire.at);
		size += piece->len;
		while (g > 0 && e->groups[g - 1].resource != span.resource)
			g--;
		if (g == 0) {
			e->groups[groups] = (struct group){span.resource, FIRST};
			size += group_size(e, &e->groups[groups]);
			g = groups + 1;
		}
		if (to.wire.full || size > e->max_bytes)
			break;
		if (g > groups)
			groups = g;
		piece->before = e->groups[g - 1].last;
		e->groups[g - 1].last = taken;
	}
	if (!taken)
		return 0;
	to = encoding_in(e, e->message);
	for (unsigned g = groups; g-- > 0;)
		put_group(e, &to, &e->groups[g]);
	*ret_message = slice_of(to.wire.at, (size_t)(e->message + e->max_bytes - to.wire.at));
	return taken;
}
