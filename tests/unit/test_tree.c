/* SPDX-License-Identifier: Apache-2.0 */
#include "export/tree.h"

#include "sample_span.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct forest {
	unsigned n;
	struct leaf leaves[600];
	struct leaf *list;
};

static struct forest forest;

static void grow(const struct span *span, const char *service)
{
	struct leaf *leaf = &forest.leaves[forest.n++];

	leaf_fill(leaf, span, slice_str(service));
	leaf->next = forest.list;
	forest.list = leaf;
}

static void plant(void)
{
	memset(&forest, 0, sizeof(forest));
	setenv("TZ", "UTC", 1);
}

static char *printed(unsigned width, bool color, bool continued)
{
	const struct tree_style style = {.width = width, .color = color, .continued = continued};
	uint8_t trace[TRACE_ID_LEN] = {0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6};
	char *text;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	tree_print(to, trace, &forest.list, &style);
	fclose(to);
	return text;
}

static void expect(char *got, const char *wanted)
{
	cr_assert_str_eq(got, wanted, "got:\n%s\nwanted:\n%s", got, wanted);
	free(got);
}

static struct span at(struct span s, unsigned start_ms, unsigned length_ms)
{
	s.start_ns = SAMPLE_START + start_ms * 1000000ull;
	s.end_ns = s.start_ns + length_ms * 1000000ull;
	return s;
}

static void plant_bank(void)
{
	struct span s;

	plant();
	s = at(sample_span(SPAN_SERVER, 1, 1, 0), 0, 24);
	grow(&s, "ingress");
	s = at(sample_span(SPAN_CLIENT, 1, 2, 1), 1, 20);
	grow(&s, "ingress");
	s = at(sample_span(SPAN_SERVER, 1, 3, 2), 2, 18);
	grow(&s, "payments");
	s = at(sample_span(SPAN_CLIENT, 1, 4, 3), 3, 4);
	grow(&s, "payments");
	s = at(sample_span(SPAN_SERVER, 1, 5, 4), 4, 2);
	grow(&s, "accounts");
	s = at(sample_span(SPAN_CLIENT, 1, 6, 3), 10, 9);
	s.status = SPAN_ERROR;
	s.attrs[2].num = 502;
	grow(&s, "payments");
}

Test(tree, shows_calls_and_their_requests_as_hops, .init = plant_bank)
{
	expect(printed(100, false, false),
		"20:26:40.123  4bf92f3577b34da6  GET /orders/{id}  6 spans  24.0 ms  200\n"
		"▸ ingress GET /orders/{id}               200  24.0 ms                             "
		"  ████████████████\n"
		"└─⇢▸ payments GET /orders/{id}           200  20.0 ms (+2.0 ms)     thread+socket "
		"  ██████████████\n"
		"  ├─⇢▸ accounts GET /orders/{id}         200  4.0 ms (+2.0 ms)      thread+socket "
		"    ███\n"
		"  └─⇢ GET accounts:8080/accounts/17      502  9.0 ms                thread        "
		"        ███████\n"
		"\n");
}

Test(tree, gives_up_columns_in_a_narrow_terminal, .init = plant_bank)
{
	expect(printed(60, false, false),
		"20:26:40.123  4bf92f3577b34da6  GET…  6 spans  24.0 ms  200\n"
		"▸ ingress GET /orders/{id}          200  24.0 ms\n"
		"└─⇢▸ payments GET /orders/{id}      200  20.0 ms (+2.0 ms)\n"
		"  ├─⇢▸ accounts GET /orders/{id}    200  4.0 ms (+2.0 ms)\n"
		"  └─⇢ GET accounts:8080/accounts/17 502  9.0 ms\n"
		"\n");
}

Test(tree, names_who_called_where_a_trace_starts_with_a_call, .init = plant)
{
	struct span s = at(sample_span(SPAN_CLIENT, 1, 1, 0), 0, 1200);

	grow(&s, "unknown_service:curl");
	s = at(sample_span(SPAN_SERVER, 1, 2, 1), 1, 200);
	grow(&s, "unknown_service:python3.11");
	expect(printed(100, false, false),
		"20:26:40.123  4bf92f3577b34da6  GET accounts:8080/accounts/17  2 spans  1.20 s  "
		"200\n"
		"curl ⇢▸ python3.11 GET /orders/{id}      200  1.20 s (+1.00 s)      socket        "
		"  ████████████████\n"
		"\n");
}

Test(tree, shows_the_path_of_a_request_without_a_route, .init = plant)
{
	struct span s = sample_span(SPAN_SERVER, 1, 1, 0);

	s.name = SLICE("GET");
	s.attr_count = 0;
	span_add_str(&s, SLICE("url.path"), SLICE("/nowhere"));
	span_add_int(&s, SLICE("http.response.status_code"), 404);
	grow(&s, "unknown_service:");
	expect(printed(60, false, false),
		"20:26:40.123  4bf92f3577b34da6  GET…  1 span  4.2 ms  404\n"
		"▸ unknown_service: GET /nowhere     404  4.2 ms\n"
		"\n");
}

Test(tree, colours_errors_and_little_else, .init = plant)
{
	struct span s = sample_span(SPAN_SERVER, 1, 1, 0);

	s.status = SPAN_ERROR;
	s.attrs[5].num = 500;
	grow(&s, "ingress");
	expect(printed(100, true, false), "\x1b"
					  "[1m20:26:40.123  4bf92f3577b34da6  GET /orders/{id}\x1b"
					  "[0m  1 span  4.2 ms\x1b"
					  "[31m  500\x1b"
					  "[0m\n"
					  "\x1b"
					  "[2m\x1b"
					  "[0m\x1b"
					  "[31m▸ \x1b"
					  "[1mingress\x1b"
					  "[0m \x1b"
					  "[31mGET /orders/{id}\x1b"
					  "[0m               \x1b"
					  "[31m500\x1b"
					  "[0m  4.2 ms                              \x1b"
					  "[31m  ████████████████\x1b"
					  "[0m\n"
					  "\n");
}

Test(tree, says_that_late_spans_continue_a_trace, .init = plant)
{
	struct span s = sample_span(SPAN_CLIENT, 1, 9, 8);

	grow(&s, "payments");
	s = sample_span(SPAN_CLIENT, 1, 10, 8);
	grow(&s, "payments");
	expect(printed(100, false, true), "20:26:40.123  4bf92f3577b34da6  GET "
					  "accounts:8080/accounts/17  2 spans, continued\n"
					  "⇢ payments GET accounts:8080/accounts/17 200  4.2 ms    "
					  "            thread          ████████████████\n"
					  "⇢ payments GET accounts:8080/accounts/17 200  4.2 ms    "
					  "            thread          ████████████████\n"
					  "\n");
}

Test(tree, escapes_what_a_terminal_would_obey, .init = plant)
{
	struct span s = sample_span(SPAN_SERVER, 1, 1, 0);

	s.name = SLICE("GET /\x1b[2J\r\n\xc2\x9b\xe2\x80\xae\xff\xc3 \xc3\xa4\x7f");
	s.attr_count = 0;
	span_add_str(&s, SLICE("error.type"), SLICE("\x1b]0;x\a"));
	grow(&s, "a\tb");
	expect(printed(140, false, false),
		"20:26:40.123  4bf92f3577b34da6  GET "
		"/\\x1b[2J\\x0d\\x0a\\xc2\\x9b\\xe2\\x80\\xae\\xff\\xc3 ä\\x7f  1 span  4.2 ms  "
		"\\x1b]0;x\\x07\n"
		"▸ a\\x09b GET /\\x1b[2J\\x0d\\x0a\\xc2\\x9b\\xe2\\x80\\xae\\xff\\xc3 ä\\x7f "
		"\\x1b]0;x\\x07          4.2 ms                                ████████████████\n"
		"\n");
}

Test(tree, cuts_long_names_in_whole_characters, .init = plant)
{
	char name[400];
	struct span s = sample_span(SPAN_SERVER, 1, 1, 0);

	for (size_t i = 0; i < sizeof(name); i += 2)
		memcpy(name + i, "\xc3\xa4", 2);
	s.name = slice_of(name, sizeof(name));
	grow(&s, "ingress");
	expect(printed(60, false, false),
		"20:26:40.123  4bf92f3577b34da6  äää…  1 span  4.2 ms  200\n"
		"▸ ingress ääääääääääääääääääääääää… 200  4.2 ms\n"
		"\n");
}

Test(tree, shows_failed_calls_with_their_error, .init = plant)
{
	struct span s = sample_span(SPAN_CLIENT, 1, 1, 0);

	s.status = SPAN_ERROR;
	s.attr_count = 0;
	s.name = SLICE("connect");
	span_add_str(&s, SLICE("server.address"), SLICE("10.0.0.9"));
	span_add_int(&s, SLICE("server.port"), 8080);
	span_add_str(&s, SLICE("error.type"), SLICE("connection_refused"));
	s.end_ns = s.start_ns + 1234567890;
	grow(&s, "payments");
	expect(printed(100, false, false),
		"20:26:40.123  4bf92f3577b34da6  connect 10.0.0.9:8080  1 span  1.23 s  "
		"connection_refused\n"
		"⇢ payments connect 10.0.0… connection_refused 1.23 s                              "
		"  ████████████████\n"
		"\n");
}

static unsigned lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* Ids come from headers too: every span is printed once, whatever they claim. */
Test(tree, survives_circles, .init = plant)
{
	struct span s = sample_span(SPAN_CLIENT, 1, 1, 1);
	char *text;

	grow(&s, "self");
	s = sample_span(SPAN_CLIENT, 1, 2, 3);
	grow(&s, "two");
	s = sample_span(SPAN_CLIENT, 1, 3, 2);
	grow(&s, "three");
	s = sample_span(SPAN_CLIENT, 1, 3, 2);
	grow(&s, "three again");
	text = printed(100, false, false);
	cr_assert_eq(lines(text), 1 + 4 + 1, "%s", text);
	free(text);
}

Test(tree, survives_any_depth, .init = plant)
{
	char *text;

	for (unsigned i = 0; i < 500; i++) {
		struct span s = sample_span(SPAN_CLIENT, 1, 1, 1);

		memcpy(s.span_id, &(uint32_t){i + 1}, 4);
		memcpy(s.parent_id, &(uint32_t){i}, 4);
		s.has_parent = i > 0;
		s.start_ns += i;
		grow(&s, "deep");
	}
	text = printed(100, false, false);
	cr_assert_eq(lines(text), 1 + 500 + 1);
	free(text);
}
