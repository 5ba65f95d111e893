/* SPDX-License-Identifier: Apache-2.0 */
/* What the encoder wrote, read back by protobuf-c's decoder. */
#include "export/otlp_encode.h"

#include "enrich/resource.h"
#include "export/proto/trace_service.pb-c.h"
#include "sample_span.h"

#include <criterion/criterion.h>
#include <stdlib.h>

typedef Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest request_pb;
typedef Opentelemetry__Proto__Trace__V1__ResourceSpans group_pb;
typedef Opentelemetry__Proto__Trace__V1__Span span_pb;
typedef Opentelemetry__Proto__Common__V1__KeyValue attr_pb;

#define N 600

static struct resource_table *table;
static struct otlp_encoder *encoder;
static uint64_t packed[N][SPAN_PACK_MAX / 8];
static struct slice spans[N];
static unsigned count;

static void start(unsigned max_spans, size_t max_bytes)
{
	cr_assert_eq(resource_table_new(8, &table), 0);
	cr_assert_eq(otlp_encoder_new(table, max_spans, max_bytes, &encoder), 0);
	count = 0;
}

static void stop(void)
{
	otlp_encoder_free(encoder);
	resource_table_free(table);
}

static uint32_t service(const char *name)
{
	const struct attr attrs[] = {
		{.key = SLICE("service.name"), .str = slice_str(name), .type = ATTR_STRING},
		{.key = SLICE("process.pid"), .num = 42, .type = ATTR_INT},
	};

	return resource_intern(table, attrs, 2);
}

static void add(const struct span *span)
{
	int len = span_pack(span, packed[count], sizeof(packed[count]));

	cr_assert_gt(len, 0);
	spans[count] = slice_of(packed[count], (size_t)len);
	count++;
}

static request_pb *decode(struct slice message)
{
	request_pb *r =
		opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack(
			NULL, message.len, (const uint8_t *)message.ptr);

	cr_assert_not_null(r, "not protobuf");
	return r;
}

static void decoded_free(request_pb *r)
{
	opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked(
		r, NULL);
}

static void same_text(const char *got, struct slice wanted)
{
	cr_assert(slice_eq(slice_str(got), wanted), "%s is not %.*s", got, (int)wanted.len,
		wanted.ptr);
}

static void same_attr(const attr_pb *got, const struct attr *wanted)
{
	same_text(got->key, wanted->key);
	switch (wanted->type) {
	case ATTR_STRING:
		cr_assert_eq(got->value->value_case,
			OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE);
		same_text(got->value->string_value, wanted->str);
		break;
	case ATTR_INT:
		cr_assert_eq(got->value->value_case,
			OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_INT_VALUE);
		cr_assert_eq(got->value->int_value, wanted->num);
		break;
	case ATTR_STRINGS:
		cr_assert_eq(got->value->value_case,
			OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_ARRAY_VALUE);
		cr_assert_eq(got->value->array_value->n_values, 1);
		same_text(got->value->array_value->values[0]->string_value, wanted->str);
		break;
	}
}

static void same_bytes(ProtobufCBinaryData got, const uint8_t *wanted, size_t len)
{
	cr_assert_eq(got.len, len);
	if (len)
		cr_assert_arr_eq(got.data, wanted, len);
}

static void same_span(const span_pb *got, const struct span *wanted)
{
	uint32_t flags = wanted->trace_flags;
	size_t attrs = wanted->attr_count + (wanted->link != LINK_NONE);

	if (wanted->has_parent)
		flags |= wanted->parent_remote ? 0x300u : 0x100u;
	same_bytes(got->trace_id, wanted->trace_id, TRACE_ID_LEN);
	same_bytes(got->span_id, wanted->span_id, SPAN_ID_LEN);
	same_bytes(got->parent_span_id, wanted->parent_id, wanted->has_parent ? SPAN_ID_LEN : 0);
	same_text(got->trace_state, wanted->trace_state);
	same_text(got->name, wanted->name);
	cr_assert_eq((unsigned)got->kind, (unsigned)wanted->kind);
	cr_assert_eq(got->start_time_unix_nano, wanted->start_ns);
	cr_assert_eq(got->end_time_unix_nano, wanted->end_ns);
	cr_assert_eq(got->flags, flags);
	cr_assert_eq(got->status ? (unsigned)got->status->code : 0, (unsigned)wanted->status);
	cr_assert_eq(got->n_attributes, attrs);
	for (unsigned i = 0; i < wanted->attr_count; i++)
		same_attr(got->attributes[i], &wanted->attrs[i]);
	if (wanted->link != LINK_NONE) {
		same_text(got->attributes[attrs - 1]->key, SLICE("weft.link"));
		same_text(got->attributes[attrs - 1]->value->string_value,
			slice_str(link_name(wanted->link)));
	}
	cr_assert_eq(got->base.n_unknown_fields, 0);
}

static const group_pb *check_group(const group_pb *group, const char *name)
{
	same_text(group->schema_url, SLICE(OTLP_SCHEMA_URL));
	same_text(group->resource->attributes[1]->key, SLICE("service.name"));
	same_text(group->resource->attributes[1]->value->string_value, slice_str(name));
	cr_assert_eq(group->n_scope_spans, 1);
	same_text(group->scope_spans[0]->scope->name, SLICE("weft"));
	same_text(group->scope_spans[0]->scope->version, SLICE(WEFT_VERSION));
	same_text(group->scope_spans[0]->schema_url, SLICE(OTLP_SCHEMA_URL));
	return group;
}

Test(otlp_encode, writes_every_field, .fini = stop)
{
	struct span all[5];
	struct slice message;
	request_pb *r;
	const group_pb *group;

	start(16, 65536);
	all[0] = sample_span(SPAN_SERVER, 1, 2, 0);
	all[1] = sample_span(SPAN_CLIENT, 1, 3, 2);
	all[1].status = SPAN_ERROR;
	all[1].trace_state = SLICE("vendor=1,other=2");
	all[2] = sample_span(SPAN_SERVER, 1, 4, 3);
	all[2].parent_remote = true;
	all[2].link = LINK_HEADER;
	all[3] = sample_span(SPAN_INTERNAL, 1, 5, 3);
	all[3].trace_flags = 0;
	all[3].status = SPAN_OK;
	all[3].end_ns = all[3].start_ns;
	all[4] = sample_span(SPAN_CLIENT, 0xff, 0xff, 0);
	all[4].attr_count = 0;
	all[4].trace_flags = 0xff;
	all[4].name = SLICE("");
	span_add_int(&all[4], SLICE("least"), INT64_MIN);
	span_add_int(&all[4], SLICE("most"), INT64_MAX);
	span_add_int(&all[4], SLICE("minus"), -1);
	span_add_int(&all[4], SLICE("zero"), 0);
	span_add_str(&all[4], SLICE("empty"), SLICE(""));
	span_add_str(&all[4], SLICE("utf8"), SLICE("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"));
	all[4].attrs[all[4].attr_count++] = (struct attr){
		.key = SLICE("http.request.header.x"), .str = SLICE("v"), .type = ATTR_STRINGS};
	for (unsigned i = 0; i < 5; i++) {
		all[i].resource = service("bank");
		add(&all[i]);
	}
	cr_assert_eq(otlp_encode(encoder, spans, count, &message), 5);
	r = decode(message);
	cr_assert_eq(r->n_resource_spans, 1);
	group = check_group(r->resource_spans[0], "bank");
	cr_assert_eq(group->resource->attributes[0]->value->int_value, 42);
	cr_assert_eq(group->scope_spans[0]->n_spans, 5);
	for (unsigned i = 0; i < 5; i++)
		same_span(group->scope_spans[0]->spans[i], &all[i]);
	decoded_free(r);
}

/* protobuf-c packs what it decoded into the very same bytes: nothing is out of order or too long.
 */
Test(otlp_encode, is_canonical, .fini = stop)
{
	struct span s;
	struct slice message;
	uint8_t *again;
	request_pb *r;

	start(16, 65536);
	for (unsigned i = 1; i < 10; i++) {
		s = sample_span(i % 2 ? SPAN_SERVER : SPAN_CLIENT, 1, (uint8_t)i, (uint8_t)(i - 1));
		s.resource = service(i % 3 ? "a" : "b");
		s.status = i % 4 ? SPAN_UNSET : SPAN_ERROR;
		add(&s);
	}
	otlp_encode(encoder, spans, count, &message);
	r = decode(message);
	again = malloc(message.len * 2);
	cr_assert_eq(opentelemetry__proto__collector__trace__v1__export_trace_service_request__pack(
			     r, again),
		message.len);
	cr_assert_arr_eq(again, message.ptr, message.len);
	free(again);
	decoded_free(r);
}

Test(otlp_encode, groups_by_resource_in_order, .fini = stop)
{
	static const char *const NAMES[] = {"a", "b", "a", "c", "b", "a"};
	struct slice message;
	request_pb *r;

	start(16, 65536);
	for (unsigned i = 0; i < 6; i++) {
		struct span s = sample_span(SPAN_SERVER, 1, (uint8_t)(i + 1), 0);

		s.resource = service(NAMES[i]);
		add(&s);
	}
	cr_assert_eq(otlp_encode(encoder, spans, count, &message), 6);
	r = decode(message);
	cr_assert_eq(r->n_resource_spans, 3);
	check_group(r->resource_spans[0], "a");
	check_group(r->resource_spans[1], "b");
	check_group(r->resource_spans[2], "c");
	cr_assert_eq(r->resource_spans[0]->scope_spans[0]->n_spans, 3);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(r->resource_spans[0]->scope_spans[0]->spans[i]->span_id.data[0],
			1 + 2 * i + (i == 2));
	decoded_free(r);
}

Test(otlp_encode, mends_what_is_not_utf8, .fini = stop)
{
	struct span s;
	struct slice message;
	request_pb *r;
	span_pb *got;

	start(16, 65536);
	s = sample_span(SPAN_SERVER, 1, 1, 0);
	s.name = SLICE("GET \xff\xfe!");
	s.attr_count = 0;
	span_add_str(&s, SLICE("k\xc3"), SLICE("cut \xe2\x82"));
	add(&s);
	otlp_encode(encoder, spans, 1, &message);
	r = decode(message);
	got = r->resource_spans[0]->scope_spans[0]->spans[0];
	same_text(got->name, SLICE("GET \xef\xbf\xbd!"));
	same_text(got->attributes[0]->key, SLICE("k\xef\xbf\xbd"));
	same_text(got->attributes[0]->value->string_value, SLICE("cut \xef\xbf\xbd"));
	decoded_free(r);
}

/* Requests of every size: none above the limit, none empty, nothing lost or doubled. */
Test(otlp_encode, splits_by_bytes_and_spans, .fini = stop)
{
	static char long_text[7000];

	memset(long_text, 'x', sizeof(long_text));
	start(100, 32768);
	for (unsigned i = 0; i < N; i++) {
		struct span s = sample_span(SPAN_SERVER, 1, 1, 0);

		memcpy(s.span_id, &(uint32_t){i + 1}, 4);
		s.resource = service(i % 5 ? "a" : "b");
		if (i % 7 == 0)
			span_add_str(&s, SLICE("long"), slice_of(long_text, (i * 37) % 7000));
		add(&s);
	}
	for (unsigned at = 0; at < N;) {
		struct slice message;
		unsigned n = otlp_encode(encoder, spans + at, N - at, &message), seen = 0;
		request_pb *r;

		cr_assert_gt(n, 0);
		cr_assert_leq(n, 100);
		cr_assert_leq(message.len, 32768);
		r = decode(message);
		for (size_t g = 0; g < r->n_resource_spans; g++) {
			cr_assert_gt(r->resource_spans[g]->scope_spans[0]->n_spans, 0);
			seen += (unsigned)r->resource_spans[g]->scope_spans[0]->n_spans;
		}
		cr_assert_eq(seen, n);
		/* full, but for one more span and its group */
		if (n < 100 && at + n < N)
			cr_assert_gt(message.len, 32768 - SPAN_PACK_MAX - 512);
		decoded_free(r);
		at += n;
	}
}

Test(otlp_encode, fits_the_largest_span_in_the_smallest_request, .fini = stop)
{
	static char text[SPAN_PACK_MAX];
	struct span s;
	struct slice message;

	memset(text, 0xff, sizeof(text));
	start(1, 4 * SPAN_PACK_MAX);
	s = sample_span(SPAN_SERVER, 1, 1, 0);
	for (unsigned i = 0; i < 30; i++)
		span_add_str(&s, SLICE("k"), slice_of(text, 200));
	add(&s);
	cr_assert_eq(otlp_encode(encoder, spans, 1, &message), 1);
	decoded_free(decode(message));
}
