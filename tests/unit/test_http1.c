/* SPDX-License-Identifier: Apache-2.0 */
#include "proto_rig.h"

#include <criterion/criterion.h>

static void one_result(
	struct rig *rig, unsigned i, enum exchange_end end, unsigned status, const char *target)
{
	cr_assert_lt(i, rig->done_total, "exchange %u is not done", i);
	cr_assert_eq(rig->done[i].end, end, "%u ended %d", i, rig->done[i].end);
	cr_assert_eq(rig->done[i].status, status, "%u has status %u", i, rig->done[i].status);
	cr_assert_str_eq(rig->done[i].target, target);
}

static void end_rig(struct rig *rig, enum exchange_end how, uint64_t time_ns)
{
	rig_close(rig, how, 0, time_ns);
}

/* Whole connections, each direction in one piece after the other. */
struct message_case {
	const char *name, *requests, *replies;
	enum exchange_end how;
	unsigned n; /* exchanges, all of them paired */
	uint16_t status[4];
	const char *target[4];
	unsigned unpaired, bad;
};

static const struct message_case CASES[] = {
	{"plain", "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", END_CLOSED, 1, {200}, {"/a"}, 0,
		0},
	{"bare line feeds", "\r\n\nGET /a HTTP/1.0\nA:b\n\n", "HTTP/1.1 200\n\n", END_CLOSED, 1,
		{200}, {"/a"}, 0, 0},
	{"keep-alive", "GET /a HTTP/1.1\r\n\r\nHEAD /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n",
		"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
		"HTTP/1.1 304 Not\r\nContent-Length: 7\r\n\r\n",
		END_CLOSED, 3, {204, 200, 304}, {"/a", "/b", "/c"}, 0, 0},
	{"chunks",
		"POST /a HTTP/1.1\r\ntransfer-encoding: gzip, "
		"Chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0\r\n\r\n"
		"GET /b HTTP/1.1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding:chunked\r\nContent-Length: 1\r\n\r\n"
		"A  \r\n0123456789\r\n000\r\nDate: x\r\nB: c\r\n\r\nHTTP/1.1 201 "
		"C\r\nContent-Length: 0\r\n\r\n",
		END_CLOSED, 2, {200, 201}, {"/a", "/b"}, 0, 0},
	{"interim", "PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 500 "
		"E\r\n\r\nto the end",
		END_CLOSED, 1, {500}, {"/a"}, 0, 0},
	{"equal lengths", "POST /a HTTP/1.1\r\nContent-Length: 2, 2\r\nContent-Length:2\r\n\r\nhi",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", END_CLOSED, 1, {200}, {"/a"}, 0, 0},
	{"absolute form", "GET http://u:p@h:8/x?y HTTP/1.1\r\nHost: other\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", END_CLOSED, 1, {200},
		{"http://u:p@h:8/x?y"}, 0, 0},
	{"asterisk", "OPTIONS * HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		END_CLOSED, 1, {200}, {"*"}, 0, 0},
	{"upgrade", "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81\x02yo", END_CLOSED, 1,
		{101}, {"/ws"}, 0, 0},
	{"tunnel", "CONNECT h:443 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01",
		END_CLOSED, 1, {200}, {"h:443"}, 0, 0},
	{"refused tunnel", "CONNECT h:443 HTTP/1.1\r\n\r\n",
		"HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\nx", END_CLOSED, 1, {407}, {"h:443"}, 0,
		0},
	{"reply alone", "", "HTTP/1.1 408 Timeout\r\nContent-Length: 1\r\n\r\nx", END_CLOSED, 0,
		{0}, {0}, 1, 0},
	{"bad length", "POST /a HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n",
		"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", END_CLOSED, 1, {400}, {"/a"}, 0,
		1},
};

static void feed_cut(struct rig *rig, enum side side, const char *bytes, size_t len,
	const size_t *cuts, unsigned n, uint64_t time_ns)
{
	size_t at = 0;

	for (unsigned i = 0; i <= n; i++) {
		size_t end = i < n ? cuts[i] : len;

		if (end > at)
			rig_call(rig, side, bytes + at, end - at, end - at, false, time_ns + i, 1);
		at = end;
	}
}

static void check_case(const struct message_case *c, struct rig *rig)
{
	rig_close(rig, c->how, 0, 100000);
	cr_assert_eq(rig->done_total, c->n, "%s: %u done", c->name, rig->done_total);
	for (unsigned i = 0; i < c->n; i++)
		one_result(rig, i, END_PAIRED, c->status[i], c->target[i]);
	cr_assert_eq(rig->counts[COUNT_REPLY_UNPAIRED], c->unpaired, "%s", c->name);
	cr_assert_eq(rig->counts[COUNT_BAD_REPLY] + rig->counts[COUNT_BAD_REQUEST], c->bad, "%s",
		c->name);
	cr_assert_eq(rig->tally.hole_bytes, 0);
	rig_free(rig);
}

Test(http1, whole)
{
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		const struct message_case *c = &CASES[i];
		struct rig *rig = rig_new(ROLE_CLIENT);

		feed_cut(rig, SIDE_REQUEST, c->requests, strlen(c->requests), NULL, 0, 1000);
		feed_cut(rig, SIDE_REPLY, c->replies, strlen(c->replies), NULL, 0, 2000);
		check_case(c, rig);
	}
}

Test(http1, cut_anywhere)
{
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		const struct message_case *c = &CASES[i];
		size_t a = strlen(c->requests), b = strlen(c->replies);

		for (size_t cut = 0; cut <= (a > b ? a : b); cut++) {
			size_t at_a = cut < a ? cut : a, at_b = cut < b ? cut : b;
			struct rig *rig = rig_new(ROLE_SERVER);

			feed_cut(rig, SIDE_REQUEST, c->requests, a, &at_a, 1, 1000);
			feed_cut(rig, SIDE_REPLY, c->replies, b, &at_b, 1, 2000);
			check_case(c, rig);
		}
	}
}

Test(http1, byte_by_byte)
{
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		const struct message_case *c = &CASES[i];
		size_t a = strlen(c->requests), b = strlen(c->replies);
		size_t cuts[512];
		struct rig *rig = rig_new(ROLE_CLIENT);

		for (size_t n = 0; n < 512; n++)
			cuts[n] = n + 1;
		feed_cut(rig, SIDE_REQUEST, c->requests, a, cuts, a ? (unsigned)a - 1 : 0, 1000);
		feed_cut(rig, SIDE_REPLY, c->replies, b, cuts, b ? (unsigned)b - 1 : 0, 2000);
		check_case(c, rig);
	}
}

/* A connection that breaks at any byte: nothing leaks, nothing is done twice (the rig checks). */
Test(http1, broken_anywhere)
{
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		const struct message_case *c = &CASES[i];
		size_t a = strlen(c->requests), b = strlen(c->replies);

		for (size_t cut = 0; cut <= a + b; cut++) {
			struct rig *rig = rig_new(ROLE_CLIENT);

			feed_cut(rig, SIDE_REQUEST, c->requests, cut < a ? cut : a, NULL, 0, 1000);
			if (cut > a)
				feed_cut(rig, SIDE_REPLY, c->replies, cut - a, NULL, 0, 2000);
			rig_close(rig, END_RESET, 104, 3000);
			rig_free(rig);
		}
	}
}

Test(http1, times_and_threads)
{
	struct rig *rig = rig_new(ROLE_SERVER);
	const struct rig_result *r = &rig->done[0];

	rig_call(rig, SIDE_REQUEST, "POST / HT", 9, 9, false, 10, 1);
	rig_call(rig, SIDE_REQUEST, "TP/1.1\r\nContent-Length: 300\r\n\r\n", 31, 31, false, 20, 2);
	rig_lost(rig, SIDE_REQUEST, 100, 30);
	rig_call(rig, SIDE_REQUEST, "tail-end", 8, 200, true, 40, 3);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 100 Continue\r\n\r\n", 50);
	rig_call(rig, SIDE_REPLY, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 41, 141, false,
		60, 4);
	rig_lost(rig, SIDE_REPLY, 900, 70);
	cr_assert_eq(rig->done_total, 1);
	cr_assert_eq(r->end, END_PAIRED);
	cr_assert_eq(r->request_start_ns, 10);
	cr_assert_eq(r->request_end_ns, 40);
	cr_assert_eq(r->reply_start_ns, 60);
	cr_assert_eq(r->reply_end_ns, 70);
	cr_assert_eq(r->request_tid, 2);
	cr_assert_eq((uint32_t)r->request_pos, 1000);
	cr_assert_eq(r->request_body, 300);
	cr_assert_eq(r->reply_body, 1000);
	cr_assert_eq(rig->tally.hole_bytes, 0);
	end_rig(rig, END_CLOSED, 99);
	rig_free(rig);
}

Test(http1, fields_kept)
{
	static char head[9000];
	struct rig *rig = rig_new(ROLE_SERVER);
	int n = snprintf(head, sizeof(head), "GET /");

	memset(head + n, 'x', 4000);
	snprintf(head + n + 4000, sizeof(head) - (size_t)n - 4000,
		" HTTP/1.1\r\nhost:h\r\nTRACEPARENT:00-a\r\n\r\n");
	rig_say(rig, SIDE_REQUEST, head, 1);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 200 OK\r\n\r\n", 2);
	rig_say(rig, SIDE_REQUEST, "", 3);
	end_rig(rig, END_CLOSED, 4);
	cr_assert_str_eq(rig->done[0].traceparent, "00-a");
	cr_assert_str_eq(rig->done[0].host, "h");
	cr_assert_eq(rig->counts[COUNT_TEXT_CUT], 1);
	rig_free(rig);

	rig = rig_new(ROLE_SERVER);
	rig_say(rig, SIDE_REQUEST,
		"GET http://u:p@host:1/ HTTP/1.1\r\nHost: x\r\ntraceparent: a\r\nTraceparent: "
		"b\r\n\r\n",
		1);
	end_rig(rig, END_ABORTED, 4);
	cr_assert_str_eq(rig->done[0].traceparent, "");
	cr_assert_str_eq(rig->done[0].host, "host:1");
	cr_assert_eq(rig->done[0].end, END_ABORTED);
	cr_assert_eq(rig->done[0].reply_end_ns, 4);
	rig_free(rig);
}

Test(http1, lost_chunks)
{
	struct rig *rig = rig_new(ROLE_CLIENT);

	/* the end is seen in a tail */
	rig_say(rig, SIDE_REQUEST, "GET /1 HTTP/1.1\r\n\r\n", 1);
	rig_say(rig, SIDE_REPLY,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 2);
	rig_lost(rig, SIDE_REPLY, 5000, 3);
	rig_call(rig, SIDE_REPLY, "\n\r\n0\r\n\r\n", 8, 4000, true, 4, 1);
	one_result(rig, 0, END_PAIRED, 200, "/1");
	cr_assert_eq(rig->done[0].reply_end_ns, 4);
	/* it is seen as a call of its own */
	rig_say(rig, SIDE_REQUEST, "GET /2 HTTP/1.1\r\n\r\n", 5);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 201 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 6);
	rig_lost(rig, SIDE_REPLY, 5000, 7);
	rig_say(rig, SIDE_REPLY, "0\r\n\r\n", 8);
	one_result(rig, 1, END_PAIRED, 201, "/2");
	/* it is not seen, but the client goes on */
	rig_say(rig, SIDE_REQUEST, "GET /3 HTTP/1.1\r\n\r\n", 9);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 10);
	rig_lost(rig, SIDE_REPLY, 5000, 11);
	rig_say(rig, SIDE_REQUEST, "GET /4 HTTP/1.1\r\n\r\n", 12);
	one_result(rig, 2, END_PAIRED, 202, "/3");
	cr_assert_eq(rig->done[2].reply_end_ns, 11);
	/* nor does it: the close ends it */
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 203 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 13);
	rig_lost(rig, SIDE_REPLY, 5000, 14);
	end_rig(rig, END_ABORTED, 15);
	one_result(rig, 3, END_PAIRED, 203, "/4");
	cr_assert_eq(rig->done[3].reply_end_ns, 14);
	rig_free(rig);
}

Test(http1, lost_heads)
{
	struct rig *rig = rig_new(ROLE_SERVER);

	rig_say(rig, SIDE_REQUEST, "GET /1 HTTP/1.1\r\n\r\n", 1);
	rig_lost(rig, SIDE_REPLY, 100, 2); /* the reply to 1 */
	one_result(rig, 0, END_HOLE, 0, "/1");
	rig_lost(rig, SIDE_REQUEST, 100, 3); /* 2 */
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n", 4);
	cr_assert_eq(rig->counts[COUNT_REPLY_UNPAIRED], 1);
	rig_say(rig, SIDE_REQUEST, "GET /3 HTTP/1.1\r\n\r\n", 5);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 203 OK\r\nContent-Length: 0\r\n\r\n", 6);
	one_result(rig, 1, END_PAIRED, 203, "/3");
	/* its reply is fed before it: both streams are late, the times tell */
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 204 OK\r\n\r\n", 8);
	rig_say(rig, SIDE_REQUEST, "GET /4 HTTP/1.1\r\n\r\n", 7);
	one_result(rig, 2, END_HOLE, 0, "/4");
	rig_say(rig, SIDE_REQUEST, "GET /5 HTTP/1.1\r\n\r\n", 9);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 205 OK\r\nContent-Length: 0\r\n\r\n", 10);
	one_result(rig, 3, END_PAIRED, 205, "/5");
	end_rig(rig, END_CLOSED, 15);
	rig_free(rig);
}

Test(http1, joined_in_the_middle)
{
	struct rig *rig = rig_new(ROLE_CLIENT);

	rig_say(rig, SIDE_REPLY, "middle of a body", 1);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n",
		2); /* to a HEAD */
	rig_say(rig, SIDE_REQUEST, "GET /1 HTTP/1.1\r\n\r\n", 3);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n", 4);
	one_result(rig, 0, END_PAIRED, 201, "/1");
	cr_assert_eq(rig->counts[COUNT_REPLY_UNPAIRED], 1);
	end_rig(rig, END_CLOSED, 15);
	rig_free(rig);
}

Test(http1, ends)
{
	struct rig *rig = rig_new(ROLE_CLIENT);

	/* a reply before its request is whole, then one that is cut off */
	rig_say(rig, SIDE_REQUEST, "POST /1 HTTP/1.1\r\nContent-Length: 50\r\n\r\nbegin", 1);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n", 2);
	one_result(rig, 0, END_PAIRED, 413, "/1");
	rig_lost(rig, SIDE_REQUEST, 45, 3);
	rig_say(rig, SIDE_REQUEST, "GET /2 HTTP/1.1\r\n\r\n", 4);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 5);
	rig_fin(rig, SIDE_REPLY);
	end_rig(rig, END_ABORTED, 7);
	one_result(rig, 1, END_CLOSED, 200, "/2");
	cr_assert_eq(rig->done[1].reply_end_ns, 7);
	rig_free(rig);

	/* a body that ends with the FIN */
	rig = rig_new(ROLE_SERVER);
	rig_say(rig, SIDE_REQUEST, "GET /1 HTTP/1.0\r\n\r\n", 1);
	rig_say(rig, SIDE_REPLY, "HTTP/1.0 200 OK\r\n\r\nabc", 2);
	rig_lost(rig, SIDE_REPLY, 500, 3);
	rig_fin(rig, SIDE_REPLY);
	one_result(rig, 0, END_PAIRED, 200, "/1");
	cr_assert_eq(rig->done[0].reply_end_ns, 3);
	cr_assert_eq(rig->done[0].reply_body, 503);
	end_rig(rig, END_CLOSED, 9);
	rig_free(rig);

	/* a malformed reply */
	rig = rig_new(ROLE_CLIENT);
	rig_say(rig, SIDE_REQUEST, "GET /1 HTTP/1.1\r\n\r\n", 1);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 2);
	one_result(rig, 0, END_BAD, 200, "/1");
	cr_assert(rig->bad);
	cr_assert_eq(rig->counts[COUNT_BAD_REPLY], 1);
	end_rig(rig, END_CLOSED, 9);
	rig_free(rig);
}

Test(http1, tables_full)
{
	struct rig *rig = rig_new(ROLE_CLIENT);

	rig->full = true;
	rig_say(rig, SIDE_REQUEST, "HEAD /1 HTTP/1.1\r\n\r\n", 1);
	rig->full = false;
	rig_say(rig, SIDE_REQUEST, "GET /2 HTTP/1.1\r\n\r\n", 2);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 201 OK\r\nContent-Length: 5\r\n\r\n", 3);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n", 4);
	one_result(rig, 0, END_PAIRED, 202, "/2");
	end_rig(rig, END_CLOSED, 5);
	rig_free(rig);

	/* more pipelined requests than are followed */
	rig = rig_new(ROLE_CLIENT);
	for (int i = 0; i < 200; i++)
		rig_say(rig, SIDE_REQUEST, "GET / HTTP/1.1\r\n\r\n", 1);
	cr_assert(rig->bad);
	cr_assert_eq(rig->done_total, 128);
	end_rig(rig, END_CLOSED, 5);
	rig_free(rig);
}

Test(http1, tunnels)
{
	struct rig *rig = rig_new(ROLE_CLIENT);

	rig_say(rig, SIDE_REQUEST, "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", 1);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 101 S\r\n\r\n\x81", 2);
	cr_assert_eq(rig->want, WANT_TUNNEL);
	cr_assert(rig->done[0].tunnelled);
	cr_assert_eq(rig->counts[COUNT_TUNNELS], 1);
	end_rig(rig, END_CLOSED, 5);
	rig_free(rig);
}

Test(http1, detect)
{
	static const struct {
		const char *bytes;
		enum detect detect;
	} cases[] = {
		{"", DETECT_MORE},
		{"GE", DETECT_MORE},
		{"GET / HTTP/1.1\r\n", DETECT_REQUEST},
		{"\r\nPROPFIND /x HTTP/1.0\n", DETECT_REQUEST},
		{"GET / HTTP/2.0\r\n", DETECT_NO},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", DETECT_NO},
		{"HTTP/1.1 2", DETECT_MORE},
		{"HTTP/1.1 200 OK\r\n", DETECT_REPLY},
		{"HTTP/1.1 099 OK\r\n", DETECT_NO},
		{"*1\r\n$4\r\nPING\r\n", DETECT_NO},
		{"EHLO mail\r\n", DETECT_NO},
		{"SSH-2.0-x", DETECT_MORE},
		{"SSH-2.0-x\r\n", DETECT_NO},
		{"\x16\x03\x01\x02", DETECT_NO},
		{"GET \x01", DETECT_NO},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(http1.detect(slice_str(cases[i].bytes)), cases[i].detect, "%s",
			cases[i].bytes);
}
