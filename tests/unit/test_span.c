/* SPDX-License-Identifier: Apache-2.0 */
#include "span/span.h"

#include "core/cleanup.h"
#include "span/text.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct span sample(void)
{
	struct span span = {
		.trace_id = {1, 2, 3},
		.span_id = {4},
		.has_parent = true,
		.parent_id = {9},
		.trace_flags = 1,
		.link = LINK_THREAD,
		.kind = SPAN_SERVER,
		.status = SPAN_ERROR,
		.resource = 7,
		.pid = 4711,
		.start_ns = 1000,
		.end_ns = 2000,
		.trace_state = SLICE("a=b"),
		.name = SLICE("GET /x"),
	};

	span_add_str(&span, SLICE("url.path"), SLICE("/x"));
	span_add_int(&span, SLICE("http.response.status_code"), 503);
	span_add_strs(&span, SLICE("http.request.header.a"), SLICE("v"));
	span_add_str(&span, SLICE("empty"), (struct slice){NULL, 0});
	return span;
}

static void same(const struct span *a, const struct span *b)
{
	cr_assert_eq(memcmp(a->trace_id, b->trace_id, TRACE_ID_LEN), 0);
	cr_assert_eq(memcmp(a->span_id, b->span_id, SPAN_ID_LEN), 0);
	cr_assert_eq(memcmp(a->parent_id, b->parent_id, SPAN_ID_LEN), 0);
	cr_assert_eq(a->has_parent, b->has_parent);
	cr_assert_eq(a->parent_remote, b->parent_remote);
	cr_assert_eq(a->trace_flags, b->trace_flags);
	cr_assert_eq(a->link, b->link);
	cr_assert_eq(a->kind, b->kind);
	cr_assert_eq(a->status, b->status);
	cr_assert_eq(a->resource, b->resource);
	cr_assert_eq(a->pid, b->pid);
	cr_assert_eq(a->start_ns, b->start_ns);
	cr_assert_eq(a->end_ns, b->end_ns);
	cr_assert(slice_eq(a->trace_state, b->trace_state));
	cr_assert(slice_eq(a->name, b->name));
	cr_assert_eq(a->attr_count, b->attr_count);
	for (unsigned i = 0; i < a->attr_count; i++) {
		cr_assert(slice_eq(a->attrs[i].key, b->attrs[i].key));
		cr_assert(slice_eq(a->attrs[i].str, b->attrs[i].str));
		cr_assert_eq(a->attrs[i].num, b->attrs[i].num);
		cr_assert_eq(a->attrs[i].type, b->attrs[i].type);
	}
}

Test(span, packs_and_unpacks_anywhere)
{
	_Alignas(8) char buf[512], moved[512];
	struct span span = sample(), got;
	int n = span_pack(&span, buf, sizeof(buf));

	cr_assert_gt(n, 0);
	cr_assert_eq(n % 8, 0);
	span_unpack(buf, (size_t)n, &got);
	same(&span, &got);
	memcpy(moved, buf, (size_t)n);
	memset(buf, 0xee, sizeof(buf));
	span_unpack(moved, (size_t)n, &got);
	same(&span, &got);
}

Test(span, pack_needs_its_room)
{
	struct span span = sample();
	char *buf = aligned_alloc(8, 512);
	int n = span_pack(&span, buf, 512);

	for (size_t cap = 0; cap < (size_t)n; cap++) {
		memset(buf, 0x55, 512);
		cr_assert_eq(span_pack(&span, buf, cap), -ENOSPC);
		cr_assert_eq(buf[0], 0x55);
	}
	cr_assert_eq(span_pack(&span, buf, (size_t)n), n);
	free(buf);
}

Test(span, text_too_long_for_its_field_is_refused)
{
	_free_ char *buf = aligned_alloc(8, 200000), *text = calloc(1, 70000);
	struct span span = sample();

	span.name = slice_of(text, 65536);
	cr_assert_eq(span_pack(&span, buf, 200000), -ENOSPC);
	span.name.len = 65535;
	cr_assert_gt(span_pack(&span, buf, 200000), 65535);
	span_add_str(&span, SLICE("k"), slice_of(text, 65536));
	cr_assert_eq(span_pack(&span, buf, 200000), -ENOSPC);
}

Test(span, is_identified_in_place)
{
	static const uint8_t trace_id[TRACE_ID_LEN] = {0xaa}, parent[SPAN_ID_LEN] = {0xbb};
	_Alignas(8) char buf[512];
	struct span span = sample(), got;
	int n = span_pack(&span, buf, sizeof(buf));

	span_packed_identify(buf, trace_id, parent, true, true, 0, LINK_HEADER);
	span_unpack(buf, (size_t)n, &got);
	memcpy(span.trace_id, trace_id, sizeof(trace_id));
	memcpy(span.parent_id, parent, sizeof(parent));
	span.parent_remote = true;
	span.trace_flags = 0;
	span.link = LINK_HEADER;
	same(&span, &got);
}

Test(span, attributes_past_the_limit_are_left_out)
{
	struct span span = {0};

	for (int i = 0; i < SPAN_MAX_ATTRS + 5; i++)
		span_add_int(&span, SLICE("k"), i);
	cr_assert_eq(span.attr_count, SPAN_MAX_ATTRS);
	cr_assert_eq(span.attrs[SPAN_MAX_ATTRS - 1].num, SPAN_MAX_ATTRS - 1);
}

Test(span, links_have_names)
{
	static const char *const NAMES[LINK_MAX] = {"", "header", "socket", "thread", "forward"};

	for (unsigned i = 0; i < LINK_MAX; i++)
		cr_assert_str_eq(link_name((enum link)i), NAMES[i]);
}

Test(span, utf8_is_made_valid)
{
	static const struct {
		struct slice in, out;
	} CASES[] = {
		{SLICE(""), SLICE("")},
		{SLICE("plain text longer than a word"), SLICE("plain text longer than a word")},
		{SLICE("gr\xc3\xbc\xc3\x9f"), SLICE("gr\xc3\xbc\xc3\x9f")},
		{SLICE("\xf0\x9f\x98\x80"), SLICE("\xf0\x9f\x98\x80")},
		{SLICE("\xff"), SLICE("\xef\xbf\xbd")},
		{SLICE("a\xff\xfe\xfd"
		       "b"),
			SLICE("a\xef\xbf\xbd"
			      "b")},
		{SLICE("a\xff"
		       "b\xff"),
			SLICE("a\xef\xbf\xbd"
			      "b\xef\xbf\xbd")},
		{SLICE("cut \xe2\x82"), SLICE("cut \xef\xbf\xbd")},
		{SLICE("\xc0\x80"), SLICE("\xef\xbf\xbd")}, /* overlong */
		{SLICE("\xe0\x80\x80"), SLICE("\xef\xbf\xbd")}, /* overlong */
		{SLICE("\xed\xa0\x80"), SLICE("\xef\xbf\xbd")}, /* surrogate */
		{SLICE("\xf4\x90\x80\x80"), SLICE("\xef\xbf\xbd")}, /* past U+10FFFF */
		{SLICE("12345678\x80"), SLICE("12345678\xef\xbf\xbd")},
	};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		char buf[64];
		struct text text = {.buf = buf, .cap = sizeof(buf)};
		struct slice got = text_utf8(&text, CASES[i].in);

		cr_assert(slice_eq(got, CASES[i].out), "case %zu: %.*s", i, (int)got.len, got.ptr);
	}
}

Test(span, utf8_copy_is_cut_at_a_character)
{
	for (size_t cap = 0; cap < 16; cap++) {
		char buf[16];
		struct text text = {.buf = buf, .cap = cap};
		struct slice got = text_utf8(&text, SLICE("\xff\xc3\xbc\xff\xe2\x82\xac\xff"));

		cr_assert_eq(utf8_prefix(got), got.len);
		cr_assert_eq(text.cut, got.len < 14);
	}
}

Test(span, addresses_and_numbers)
{
	char buf[256];
	struct text text = {.buf = buf, .cap = sizeof(buf)};
	uint8_t v4[ADDR_LEN] = {[10] = 0xff, [11] = 0xff, 10, 0, 255, 199},
		v6[ADDR_LEN] = {[15] = 1};

	text_put_addr(&text, v4);
	text_put(&text, SLICE(" "));
	text_put_addr(&text, v6);
	text_put(&text, SLICE(" "));
	text_put_u64(&text, UINT64_MAX);
	text_put(&text, SLICE(" "));
	text_put_u64(&text, 0);
	cr_assert(slice_eq(text_since(&text, 0), SLICE("10.0.255.199 ::1 18446744073709551615 0")));
}
