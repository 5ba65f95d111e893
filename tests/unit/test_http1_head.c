/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http1_chunk.h"
#include "proto/http1_head.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The bytes end where the next page cannot be touched. */
struct guarded {
	char *map, *end;
	size_t size;
};

static struct guarded guarded_new(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct guarded g = {.size = 8 * page};

	g.map = mmap(NULL, g.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(g.map, MAP_FAILED);
	g.end = g.map + 7 * page;
	cr_assert_eq(mprotect(g.end, page, PROT_NONE), 0);
	return g;
}

static struct slice guarded_put(const struct guarded *g, const char *bytes, size_t len)
{
	memcpy(g->end - len, bytes, len);
	return slice_of(g->end - len, len);
}

struct head_case {
	struct slice bytes;
	bool reply;
	enum parse parse;
	size_t left; /* behind the head */
	unsigned fields;
	enum http1_framing framing;
	uint64_t length;
};

#define C(text)                                                                                    \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}

static const struct head_case CASES[] = {
	{C("GET / HTTP/1.1\r\n\r\n"), false, PARSE_CONSUMED, 0, 0, HTTP1_UNSAID, 0},
	{C("GET / HTTP/1.1\n\nrest"), false, PARSE_CONSUMED, 4, 0, HTTP1_UNSAID, 0},
	{C("M-SEARCH * HTTP/1.1\r\nHost:h\r\nA: \r\n\r\n"), false, PARSE_CONSUMED, 0, 2,
		HTTP1_UNSAID, 0},
	{C("CONNECT h:1 HTTP/1.0\r\n\r\n"), false, PARSE_CONSUMED, 0, 0, HTTP1_UNSAID, 0},
	{C("GET /a b HTTP/1.1\r\n\r\n"), false, PARSE_CONSUMED, 0, 0, HTTP1_UNSAID, 0},
	{C("GET /\xc3\xa9 HTTP/1.1\r\nA : b\r\n\r\n"), false, PARSE_CONSUMED, 0, 1, HTTP1_UNSAID,
		0},
	{C("POST / HTTP/1.1\r\nCONTENT-LENGTH: 12\r\n\r\n"), false, PARSE_CONSUMED, 0, 1,
		HTTP1_LENGTH, 12},
	{C("POST / HTTP/1.1\r\nContent-Length: 12,12\r\nContent-Length:12\r\n\r\n"), false,
		PARSE_CONSUMED, 0, 2, HTTP1_LENGTH, 12},
	{C("POST / HTTP/1.1\r\nContent-Length: 9\r\nContent-Length: 8\r\nTransfer-Encoding: "
	   "chunked\r\n\r\n"),
		false, PARSE_CONSUMED, 0, 3, HTTP1_CHUNKED, 8},
	{C("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n"),
		true, PARSE_CONSUMED, 0, 2, HTTP1_CODED, 0},
	{C("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc"), true,
		PARSE_CONSUMED, 3, 2, HTTP1_LENGTH, 3},
	{C("HTTP/1.0 200\r\n\r\n"), true, PARSE_CONSUMED, 0, 0, HTTP1_UNSAID, 0},
	{C("HTTP/1.1 200 \r\nA: b\r\n c\r\n\td \r\n \r\nE: f\r\n\r\n"), true, PARSE_CONSUMED, 0, 2,
		HTTP1_UNSAID, 0},
	{C(""), false, PARSE_MORE, 0, 0, HTTP1_UNSAID, 0},
	{C("GET / HTTP/1.1\r\nA: b\r\n"), false, PARSE_MORE, 0, 0, HTTP1_UNSAID, 0},
	{C("POST / HTTP/1.1\r\nContent-Length: 9, 8\r\n\r\n"), false, PARSE_BAD, 0, 0, HTTP1_UNSAID,
		0},
	{C("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), false, PARSE_BAD, 0, 0, HTTP1_UNSAID,
		0},
	{C("POST / HTTP/1.1\r\nContent-Length: \r\n\r\n"), false, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
	{C("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"), false, PARSE_BAD, 0,
		0, HTTP1_UNSAID, 0},
	{C("GET / HTTP/1.1\r\n folded: x\r\n\r\n"), false, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
	{C("GET / HTTP/1.1\r\nno colon\r\n\r\n"), false, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
	{C("GET / HTTP/1.1\r\n: x\r\n\r\n"), false, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
	{C("GET / HTTP/1.1\r\nA\x01: x\r\n\r\n"), false, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
	{C("GET / HTTP/1.1\r\nA: x\0y\r\n\r\n"), false, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
	{C("GET /\x01 HTTP/1.1\r\n\r\n"), false, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
	{C("GET  HTTP/1.1\r\n\r\n"), false, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
	{C("GET / HTTP/2.0\r\n\r\n"), false, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
	{C("GET /\r\n\r\n"), false, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
	{C("HTTP/1.1 20 OK\r\n\r\n"), true, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
	{C("HTTP/1.1 2000 OK\r\n\r\n"), true, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
	{C("HTTP/1.1 000 OK\r\n\r\n"), true, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
	{C("hello"), true, PARSE_BAD, 0, 0, HTTP1_UNSAID, 0},
};

static struct http1_head head;

Test(http1_head, table)
{
	struct guarded g = guarded_new();

	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		const struct head_case *c = &CASES[i];
		uint32_t scanned = 0;
		size_t used = 0;
		enum parse parse = http1_head_parse(guarded_put(&g, c->bytes.ptr, c->bytes.len),
			c->reply, &scanned, &head, &used);

		cr_assert_eq(parse, c->parse, "%zu: %d", i, parse);
		if (parse != PARSE_CONSUMED)
			continue;
		cr_assert_eq(used + c->left, c->bytes.len, "%zu", i);
		cr_assert_eq(head.fields.n, c->fields, "%zu", i);
		cr_assert_eq(head.framing, c->framing, "%zu", i);
		cr_assert_eq(head.length, c->length, "%zu", i);
	}
	munmap(g.map, g.size);
}

/* No prefix of a good head is bad or whole; and searching on from where one was gives the same. */
Test(http1_head, truncated)
{
	struct guarded g = guarded_new();

	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		const struct head_case *c = &CASES[i];
		size_t whole = c->bytes.len - c->left;
		uint32_t kept = 0;

		for (size_t n = 0; n <= whole; n++) {
			uint32_t scanned = 0;
			size_t used = 0, used_kept = 0;
			struct slice in = guarded_put(&g, c->bytes.ptr, n);
			enum parse parse = http1_head_parse(in, c->reply, &scanned, &head, &used);

			if (c->parse == PARSE_CONSUMED)
				cr_assert_eq(parse, n < whole ? PARSE_MORE : PARSE_CONSUMED,
					"%zu/%zu", i, n);
			cr_assert_eq(
				http1_head_parse(in, c->reply, &kept, &head, &used_kept), parse);
			cr_assert_eq(used, used_kept);
			http1_detect(in);
			if (parse == PARSE_BAD)
				break;
		}
	}
	munmap(g.map, g.size);
}

static void is(struct slice s, const char *text)
{
	cr_assert(slice_eq(s, slice_str(text)), "%.*s", (int)s.len, s.ptr);
}

Test(http1_head, values)
{
	struct slice in =
		SLICE("GET /x HTTP/1.0\r\nHost:\th \r\nHOST: i\r\nuser-agent: a\r\n b\r\n\t c\r\n"
		      "traceparent:00-1\r\nTraceState: x\r\nTraceparent: 00-2\r\n"
		      "X-Forwarded-For: 1, 2\r\nForwarded: for=3\r\nE:\r\n\r\n");
	uint32_t scanned = 0;
	size_t used;

	cr_assert_eq(http1_head_parse(in, false, &scanned, &head, &used), PARSE_CONSUMED);
	is(head.start.method, "GET");
	is(head.start.target, "/x");
	cr_assert_eq(head.start.minor, 0);
	is(head.fields.host, "h");
	is(head.fields.user_agent, "a b c");
	is(head.fields.traceparent, "00-1");
	cr_assert_eq(head.fields.traceparents, 2);
	cr_assert_eq(head.fields.tracestates, 1);
	is(head.fields.x_forwarded_for, "1, 2");
	is(head.fields.forwarded, "for=3");
	cr_assert_eq(head.fields.n, 9);
	is(head.fields.v[8].name, "E");
	is(head.fields.v[8].value, "");
}

Test(http1_head, limits)
{
	static char big[HTTP1_HEAD_MAX + 64];
	uint32_t scanned = 0;
	size_t used, n;

	/* the largest head, all of it folded */
	n = (size_t)snprintf(big, sizeof(big), "GET / HTTP/1.1\r\nA: b");
	while (n + 4 < HTTP1_HEAD_MAX - 4) {
		memcpy(big + n, "\n cc", 4);
		n += 4;
	}
	memcpy(big + n, "\r\n\r\n", 4);
	cr_assert_eq(http1_head_parse(slice_of(big, n + 4), false, &scanned, &head, &used),
		PARSE_CONSUMED);
	cr_assert_eq(used, n + 4);
	cr_assert_eq(head.fields.v[0].value.len, 1 + (n - 20) / 4 * 3);
	/* one that does not end */
	memset(big + n, 'x', sizeof(big) - n);
	scanned = 0;
	cr_assert_eq(
		http1_head_parse(slice_of(big, HTTP1_HEAD_MAX - 1), false, &scanned, &head, &used),
		PARSE_MORE);
	cr_assert_eq(http1_head_parse(slice_of(big, sizeof(big)), false, &scanned, &head, &used),
		PARSE_BAD);
	/* more fields than are kept: the framing is still seen */
	n = (size_t)snprintf(big, sizeof(big), "GET / HTTP/1.1\r\n");
	for (int i = 0; i < HTTP_FIELDS + 5; i++)
		n += (size_t)snprintf(big + n, sizeof(big) - n, "A%d: b\r\n", i);
	n += (size_t)snprintf(big + n, sizeof(big) - n, "Content-Length: 5\r\n\r\n");
	scanned = 0;
	cr_assert_eq(
		http1_head_parse(slice_of(big, n), false, &scanned, &head, &used), PARSE_CONSUMED);
	cr_assert_eq(head.fields.n, HTTP_FIELDS);
	cr_assert(head.fields.cut);
	cr_assert_eq(head.length, 5);
}

struct chunk_case {
	const char *bytes;
	int left; /* behind the end; -1: malformed */
};

static const struct chunk_case CHUNKS[] = {
	{"0\r\n\r\n", 0},
	{"0\n\nGET", 3},
	{"3\r\nabc\r\n0\r\n\r\n", 0},
	{"00A ;x=\"y\"\r\n0123456789\n0000;\r\nA: b\r\nC\r\n\r\nHTTP", 4},
	{"1\t\r\na\r\n0\r\n\r\n", 0},
	{"\r\n", -1},
	{"g\r\n", -1},
	{";x\r\n", -1},
	{"3\r\nabcd\r\n", -1},
	{"3\rx", -1},
	{"1 1\r\n", -1},
	{"fffffffffffffffff\r\n", -1},
	{"0\r\nA\r\n\rB\r\n", -1},
};

static enum parse chunk_run(const char *bytes, size_t len, size_t step, size_t *ret_left)
{
	struct http1_chunk chunk = {0};
	size_t at = 0;
	bool end = false;

	while (at < len && !end) {
		size_t n = step < len - at ? step : len - at;
		char *copy = malloc(n); /* for the sanitizer to see reads beyond */
		struct parsed parsed = {0};
		enum parse parse;

		memcpy(copy, bytes + at, n);
		parse = http1_chunk_parse(&chunk, slice_of(copy, n), &parsed, &end);
		free(copy);
		if (parse == PARSE_BAD)
			return parse;
		cr_assert(parsed.used <= n && (parsed.used == n || end));
		at += parsed.used + parsed.skip;
	}
	*ret_left = end ? len - at : SIZE_MAX;
	return PARSE_CONSUMED;
}

Test(http1_chunk, table)
{
	for (size_t i = 0; i < sizeof(CHUNKS) / sizeof(CHUNKS[0]); i++) {
		const struct chunk_case *c = &CHUNKS[i];
		size_t len = strlen(c->bytes);

		for (size_t step = 1; step <= len; step++) {
			size_t left = 0;
			enum parse parse = chunk_run(c->bytes, len, step, &left);

			cr_assert_eq(parse, c->left < 0 ? PARSE_BAD : PARSE_CONSUMED, "%zu/%zu", i,
				step);
			if (c->left >= 0)
				cr_assert_eq(left, (size_t)c->left, "%zu/%zu", i, step);
		}
	}
}

Test(http1_chunk, limits)
{
	struct http1_chunk chunk = {0};
	struct parsed parsed;
	bool end;
	static char big[HTTP1_TRAILER_MAX + 100];

	cr_assert_eq(http1_chunk_parse(&chunk, SLICE("7fffffffffffff\r\nab"), &parsed, &end),
		PARSE_CONSUMED);
	cr_assert_eq(parsed.skip, 0x7ffffffffffffdull);
	memset(big, 'x', sizeof(big));
	chunk = (struct http1_chunk){0};
	memcpy(big, "1;", 2);
	cr_assert_eq(
		http1_chunk_parse(&chunk, slice_of(big, sizeof(big)), &parsed, &end), PARSE_BAD);
	chunk = (struct http1_chunk){0};
	memcpy(big, "0\r\n", 3);
	cr_assert_eq(
		http1_chunk_parse(&chunk, slice_of(big, sizeof(big)), &parsed, &end), PARSE_BAD);
}
