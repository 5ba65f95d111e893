/* SPDX-License-Identifier: Apache-2.0 */
#include "http2_wire.h"
#include "proto/http2.h"
#include "proto_rig.h"

#include <criterion/criterion.h>

#define GET(path) ":method: GET\n:scheme: http\n:authority: h\n:path: " path "\n"
#define POST(path)                                                                                 \
	":method: POST\n:scheme: https\n:authority: h:8443\n:path: " path "\nuser-agent: t\n"
#define GRPC(path) POST(path) "content-type: application/grpc+proto\nte: trailers\n"
#define OK         ":status: 200\ncontent-type: text/plain\n"

struct talk {
	struct wire *ask, *answer;
};

static struct talk talk_new(bool preface)
{
	struct talk t = {wire_new(), wire_new()};

	if (preface) {
		wire_preface(t.ask);
		wire_frame(t.answer, HTTP2_SETTINGS, 0, 0, NULL, 0);
		wire_frame(t.ask, HTTP2_SETTINGS, HTTP2_ACK, 0, NULL, 0);
		wire_frame(t.answer, HTTP2_SETTINGS, HTTP2_ACK, 0, NULL, 0);
		wire_frame(t.answer, HTTP2_WINDOW_UPDATE, 0, 0, "\0\0\1\0", 4);
	}
	return t;
}

static void talk_free(struct talk *t)
{
	wire_free(t->ask);
	wire_free(t->answer);
}

/* Both sides in calls of at most `call` bytes, the requests before the replies. */
static struct rig *play(const struct talk *t, size_t call, enum role role)
{
	struct rig *rig = rig_of(&http2, role);
	uint64_t now = 1000;

	for (int side = 0; side < 2; side++) {
		const struct wire *w = side ? t->answer : t->ask;

		for (size_t at = 0; at < w->n; at += call, now += 10) {
			size_t n = w->n - at < call ? w->n - at : call;

			rig_call(rig, (enum side)side, w->bytes + at, n, n, false, now,
				side ? 22 : 11);
		}
	}
	return rig;
}

struct result {
	enum exchange_end end;
	uint16_t status;
	const char *method, *target;
	uint64_t request_body, reply_body;
};

static void expect(struct rig *rig, const struct result *want, unsigned n)
{
	cr_assert_eq(rig->done_total, n, "%u done", rig->done_total);
	for (unsigned i = 0; i < n; i++) {
		const struct rig_result *r = &rig->done[i];

		cr_assert_eq(r->end, want[i].end, "%u ended %d", i, r->end);
		cr_assert_eq(r->status, want[i].status, "%u: %u", i, r->status);
		cr_assert_str_eq(r->method, want[i].method);
		cr_assert_str_eq(r->target, want[i].target);
		cr_assert_eq(r->request_body, want[i].request_body, "%u: %lu", i, r->request_body);
		cr_assert_eq(r->reply_body, want[i].reply_body, "%u: %lu", i, r->reply_body);
	}
}

static const size_t CALLS[] = {1, 2, 3, 5, 9, 10, 17, 64, 333, 5000, 16384};

#define EACH_CUT(talk, want, count, ...)                                                           \
	do {                                                                                       \
		for (size_t cut_ = 0; cut_ < sizeof(CALLS) / sizeof(CALLS[0]); cut_++) {           \
			struct rig *rig = play((talk), CALLS[cut_], ROLE_SERVER);                  \
			rig_close(rig, END_CLOSED, 0, 1u << 30);                                   \
			expect(rig, (want), (count));                                              \
			cr_assert_eq(rig->counts[COUNT_BAD_REQUEST], 0);                           \
			cr_assert_eq(rig->counts[COUNT_BAD_REPLY], 0);                             \
			cr_assert_eq(rig->tally.hole_bytes, 0);                                    \
			__VA_ARGS__;                                                               \
			rig_free(rig);                                                             \
		}                                                                                  \
	} while (0)

/* Streams one after the other, between each other, with bodies, trailers and interim replies. */
Test(http2, streams)
{
	struct talk t = talk_new(true);
	static const struct result WANT[] = {
		{END_PAIRED, 200, "GET", "/a", 0, 0},
		{END_PAIRED, 404, "POST", "/c", 6, 2},
		{END_PAIRED, 200, "GET", "/b?q=1", 0, 40000},
		{END_PAIRED, 204, "POST", "/d", 0, 0},
	};
	char body[16384] = {0};

	wire_headers(t.ask, 1, true, GET("/a"));
	wire_headers(t.ask, 3, true, GET("/b?q=1"));
	wire_headers(t.ask, 5, false, POST("/c"));
	wire_data(t.ask, 5, false, "abc", 3);
	wire_headers(t.ask, 7, false, POST("/d"));
	wire_data(t.ask, 5, false, "", 0);
	wire_data(t.ask, 5, false, "def", 3);
	wire_headers(t.ask, 5, true, "x-checksum: 1\n");
	wire_frame(t.ask, HTTP2_PING, 0, 0, "12345678", 8);
	wire_data(t.ask, 7, true, "", 0);
	wire_headers(t.answer, 1, true, OK);
	wire_headers(t.answer, 3, false, ":status: 100\n");
	wire_headers(t.answer, 3, false, ":status: 103\nlink: x\n");
	wire_headers(t.answer, 3, false, OK);
	wire_data(t.answer, 3, false, body, 16384);
	wire_headers(t.answer, 5, false, ":status: 404\n");
	wire_data(t.answer, 3, false, body, 16384);
	wire_data(t.answer, 5, true, "no", 2);
	wire_frame(t.answer, 0x42, 0xff, 9, "an extension", 12);
	wire_data(t.answer, 3, true, body, 40000 - 32768);
	wire_headers(t.answer, 7, false, ":status: 204\n");
	wire_headers(t.answer, 7, true, "x-trailer: 2\n");
	EACH_CUT(&t, WANT, 4, {
		cr_assert_str_eq(rig->done[1].host, "h:8443");
		cr_assert_eq(rig->done[0].request_tid, 11);
		cr_assert_eq(rig->done[0].reply_tid, 22);
		cr_assert_eq((uint32_t)rig->done[0].request_pos, 1000 + 24 + 21 + 9);
		cr_assert_eq(rig->counts[COUNT_REPLIES], 4);
		cr_assert_eq(rig->want, WANT_CALLS);
		cr_assert_not(rig->unsure);
	});
	talk_free(&t);
}

/* Padding, priorities, and a block in several frames. */
Test(http2, every_form_of_a_frame)
{
	struct talk t = talk_new(true);
	static const struct result WANT[] = {{END_PAIRED, 200, "POST", "/a", 3, 0}};
	unsigned char block[4096], payload[4200];
	size_t n =
		wire_block(t.ask, POST("/a") "x-long: 0123456789012345678901234567890123456789\n",
			block, sizeof(block));

	payload[0] = 7; /* padding, then a priority */
	memcpy(payload + 1, "\x80\0\0\0\x10", 5);
	memcpy(payload + 6, block, 10);
	memset(payload + 16, 0, 7);
	wire_frame(t.ask, HTTP2_HEADERS, HTTP2_PADDED | HTTP2_PRIORITIZED, 1, payload, 23);
	wire_frame(t.ask, HTTP2_CONTINUATION, 0, 1, block + 10, 5);
	wire_frame(t.ask, HTTP2_CONTINUATION, 0, 1, NULL, 0);
	wire_frame(t.ask, HTTP2_CONTINUATION, HTTP2_END_HEADERS, 1, block + 15, n - 15);
	wire_frame(t.ask, HTTP2_PRIORITY, 0, 1, "\0\0\0\0\1", 5);
	wire_frame(t.ask, HTTP2_DATA, HTTP2_PADDED | HTTP2_END_STREAM, 1, "\x4zzz\0\0\0\0", 8);
	n = wire_block(t.answer, OK, block, sizeof(block));
	/* a promise, whose block changes the table as any other does */
	memcpy(payload, "\0\0\0\2", 4);
	n = wire_block(t.answer, GET("/pushed"), payload + 4, sizeof(payload) - 4);
	wire_free(t.answer);
	t.answer = wire_new();
	n = wire_block(
		t.answer, GET("/pushed") "x-in-the-table: 1\n", payload + 4, sizeof(payload) - 4);
	wire_frame(t.answer, HTTP2_SETTINGS, 0, 0, NULL, 0);
	wire_frame(t.answer, HTTP2_PUSH_PROMISE, HTTP2_END_HEADERS, 1, payload, n + 4);
	wire_headers(t.answer, 2, true, OK);
	wire_headers(t.answer, 1, true, OK "x-in-the-table: 1\n");
	EACH_CUT(&t, WANT, 1, { cr_assert_eq(rig->counts[COUNT_REPLY_UNPAIRED], 0); });
	talk_free(&t);
}

/* Streams that do not end well, and those above the last one that the server looks at. */
Test(http2, streams_that_are_given_up)
{
	struct talk t = talk_new(true);
	static const struct result SERVER[] = {
		{END_STREAM_RESET, 0, "GET", "/a", 0, 0},
		{END_ABORTED, 200, "GET", "/b", 0, 2},
		{END_ABORTED, 0, "GET", "/d", 0, 0},
		{END_CLOSED, 0, "GET", "/c", 0, 0},
	};
	static const struct result CLIENT[] = {
		{END_ABORTED, 0, "GET", "/a", 0, 0},
		{END_STREAM_RESET, 200, "GET", "/b", 0, 2},
		{END_STREAM_RESET, 0, "GET", "/d", 0, 0},
		{END_CLOSED, 0, "GET", "/c", 0, 0},
	};

	wire_headers(t.ask, 1, true, GET("/a"));
	wire_headers(t.ask, 3, true, GET("/b"));
	wire_headers(t.ask, 5, true, GET("/c"));
	wire_headers(t.ask, 7, true, GET("/d"));
	wire_frame(t.ask, HTTP2_RST_STREAM, 0, 1, "\0\0\0\x8", 4);
	wire_headers(t.answer, 3, false, OK);
	wire_data(t.answer, 3, false, "ok", 2);
	wire_frame(t.answer, HTTP2_RST_STREAM, 0, 3, "\0\0\0\2", 4);
	wire_frame(t.answer, HTTP2_GOAWAY, 0, 0, "\0\0\0\5\0\0\0\0bye", 11);
	wire_headers(t.answer, 1, true, OK); /* too late */
	EACH_CUT(&t, SERVER, 4, { cr_assert_eq(rig->counts[COUNT_REPLY_UNPAIRED], 1); });
	for (unsigned i = 0; i < 2; i++) {
		struct rig *rig = play(&t, 4096, i ? ROLE_CLIENT : ROLE_SERVER);

		rig_close(rig, END_CLOSED, 0, 1u << 30);
		expect(rig, i ? CLIENT : SERVER, 4);
		rig_free(rig);
	}
	talk_free(&t);
}

/* RFC 9113, 8.5, and RFC 8441. */
Test(http2, tunnels)
{
	struct talk t = talk_new(true);
	static const struct result WANT[] = {
		{END_PAIRED, 200, "CONNECT", "h:443", 0, 0},
		{END_PAIRED, 403, "CONNECT", "h:444", 0, 0},
		{END_PAIRED, 200, "CONNECT", "/chat", 0, 0},
	};

	wire_headers(t.ask, 1, false, ":method: CONNECT\n:authority: h:443\n");
	wire_headers(t.ask, 3, false, ":method: CONNECT\n:authority: h:444\n");
	wire_headers(t.ask, 5, false,
		":method: CONNECT\n:protocol: websocket\n:scheme: https\n:path: /chat\n:authority: "
		"h\n");
	wire_headers(t.answer, 1, false, OK);
	wire_data(t.answer, 1, false, "anything", 8);
	wire_headers(t.answer, 3, true, ":status: 403\n");
	wire_headers(t.answer, 5, false, ":status: 200\n");
	EACH_CUT(&t, WANT, 3, {
		cr_assert(rig->done[0].tunnelled && rig->done[2].tunnelled);
		cr_assert_not(rig->done[1].tunnelled);
		cr_assert_eq(rig->counts[COUNT_TUNNELS], 2);
		cr_assert_eq(rig->want, WANT_CALLS_TUNNEL);
	});
	talk_free(&t);
}

/* gRPC: messages that span frames and share them, trailers, and trailers alone. */
Test(http2, grpc)
{
	struct talk t = talk_new(true);
	unsigned char m[20000];
	static const struct result WANT[] = {
		{END_PAIRED, 200, "POST", "/p.S/Trailers", 5, 0},
		{END_PAIRED, 200, "POST", "/p.S/Stream", 10 + 5 + 17005, 3 * 6},
	};

	wire_headers(t.ask, 1, false, GRPC("/p.S/Stream"));
	wire_message(m, 5);
	wire_data(t.ask, 1, false, m, 3); /* within the prefix */
	wire_headers(t.ask, 3, false, GRPC("/p.S/Trailers"));
	wire_data(t.ask, 1, false, m + 3, 7);
	wire_message(m, 0);
	wire_data(t.ask, 3, true, m, 5);
	wire_message(m + 5, 17000);
	wire_data(t.ask, 1, false, m, 12000);
	wire_data(t.ask, 1, true, m + 12000, 17010 - 12000);
	wire_headers(t.answer, 1, false, ":status: 200\ncontent-type: application/grpc\n");
	for (int i = 0; i < 3; i++)
		wire_message(m + i * 6, 1);
	wire_data(t.answer, 1, false, m, 18);
	wire_headers(t.answer, 3, true,
		":status: 200\ncontent-type: application/grpc\ngrpc-status: 5\ngrpc-message: no\n");
	wire_headers(t.answer, 1, true, "grpc-status: 0\n");
	EACH_CUT(&t, WANT, 2, {
		cr_assert(rig->done[0].has_rpc_status && rig->done[1].has_rpc_status);
		cr_assert_eq(rig->done[0].rpc_status, 5);
		cr_assert_eq(rig->done[1].rpc_status, 0);
		cr_assert_eq(rig->done[1].messages[0], 3, "%u", rig->done[1].messages[0]);
		cr_assert_eq(rig->done[1].messages[1], 3);
		cr_assert_eq(rig->done[0].messages[0], 1);
		cr_assert_eq(rig->done[0].messages[1], 0);
	});
	talk_free(&t);
}

/* RFC 7540, 3.2: the request was one of HTTP/1.1. */
Test(http2, upgrade)
{
	static const char ASK[] =
		"GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
		"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
	static const char ANSWER[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
				     "Upgrade: h2c\r\n\r\n";
	struct talk t = talk_new(true);

	wire_headers(t.ask, 3, true, GET("/next"));
	wire_headers(t.answer, 1, false, OK);
	wire_data(t.answer, 1, true, "up", 2);
	wire_headers(t.answer, 3, true, ":status: 404\n");
	for (int together = 0; together < 2; together++) {
		struct rig *rig = rig_new(ROLE_CLIENT);
		unsigned char both[4096];

		rig_say(rig, SIDE_REQUEST, ASK, 1);
		if (together) {
			memcpy(both, ANSWER, sizeof(ANSWER) - 1);
			memcpy(both + sizeof(ANSWER) - 1, t.answer->bytes, t.answer->n);
			rig_call(rig, SIDE_REPLY, both, sizeof(ANSWER) - 1 + t.answer->n,
				sizeof(ANSWER) - 1 + t.answer->n, false, 2, 1);
			rig_call(rig, SIDE_REQUEST, t.ask->bytes, t.ask->n, t.ask->n, false, 3, 1);
			rig_close(rig, END_CLOSED, 0, 9);
			cr_assert_eq(rig->done[0].status, 200);
			cr_assert_str_eq(rig->done[0].target, "/up");
			cr_assert_eq(rig->done_total, 2);
		} else {
			rig_say(rig, SIDE_REPLY, ANSWER, 2);
			rig_call(rig, SIDE_REQUEST, t.ask->bytes, t.ask->n, t.ask->n, false, 3, 1);
			rig_call(rig, SIDE_REPLY, t.answer->bytes, t.answer->n, t.answer->n, false,
				4, 1);
			rig_close(rig, END_CLOSED, 0, 9);
			expect(rig,
				(const struct result[]){{END_PAIRED, 200, "GET", "/up", 0, 2},
					{END_PAIRED, 404, "GET", "/next", 0, 0}},
				2);
			cr_assert_eq(rig->done[0].request_start_ns, 1);
			cr_assert_eq(rig->done[0].reply_start_ns, 4);
		}
		rig_free(rig);
	}
	talk_free(&t);
}

/* An older connection on which nothing was under way: it begins neither with a preface nor with
 * SETTINGS. */
Test(http2, idle_before)
{
	for (int first = 0; first < 2; first++) {
		struct talk t = talk_new(false);
		struct rig *rig = rig_of(&http2, ROLE_SERVER);

		wire_headers(t.ask, 21, true, GET("/a"));
		wire_headers(t.answer, 21, true, OK);
		if (first)
			rig_call(rig, SIDE_REPLY, "\0\0\4\10\0\0\0\0\25\0\0\0\1", 13, 13, false, 1,
				1);
		rig_call(rig, SIDE_REQUEST, t.ask->bytes, t.ask->n, t.ask->n, false, 2, 1);
		rig_call(rig, SIDE_REPLY, t.answer->bytes, t.answer->n, t.answer->n, false, 3, 1);
		cr_assert(rig->unsure);
		rig_close(rig, END_CLOSED, 0, 9);
		expect(rig, (const struct result[]){{END_PAIRED, 200, "GET", "/a", 0, 0}}, 1);
		rig_free(rig);
		talk_free(&t);
	}
}

/* A connection that is older than weft: what is certain makes a span, and entries that come again
 * are known from then on. */
Test(http2, joined)
{
	struct talk t = talk_new(false);
	struct rig *rig = rig_of(&http2, ROLE_SERVER);
	size_t before, replies;

	/* all of this was missed */
	wire_headers(t.ask, 1, true, GET("/old") "x-a: 1\n");
	wire_headers(t.ask, 3, false, POST("/open"));
	wire_headers(t.answer, 1, true, OK);
	before = t.ask->n;
	replies = t.answer->n;
	http2.join(rig->state);
	wire_headers(t.ask, 5, true, GET("/new") "x-a: 1\n"); /* the authority is in the table */
	wire_data(t.ask, 3, true, "end", 3);
	wire_headers(t.ask, 7, true,
		":method: GET\n:scheme: http\n:authority: other\n:path: /new\nx-b: 2\n");
	wire_headers(t.answer, 3, true, OK);
	wire_headers(t.answer, 5, true, OK);
	wire_headers(t.answer, 7, true, ":status: 404\n");
	rig_say(rig, SIDE_REQUEST, "the middle of something", 1);
	rig_call(rig, SIDE_REQUEST, t.ask->bytes + before, t.ask->n - before, t.ask->n - before,
		false, 2, 1);
	rig_say(rig, SIDE_REPLY, "\0", 3);
	rig_call(rig, SIDE_REPLY, t.answer->bytes + replies, t.answer->n - replies,
		t.answer->n - replies, false, 4, 1);
	rig_close(rig, END_CLOSED, 0, 9);
	expect(rig,
		(const struct result[]){{END_PAIRED, 200, "GET", "/new", 0, 0},
			{END_PAIRED, 404, "GET", "/new", 0, 0}},
		2);
	cr_assert(rig->done[0].unknown);
	cr_assert_str_eq(rig->done[0].host, "");
	cr_assert_not(rig->done[1].unknown);
	cr_assert_str_eq(rig->done[1].host, "other");
	cr_assert_eq(rig->counts[COUNT_REPLY_UNPAIRED], 1, "that of /open");
	cr_assert_eq(rig->counts[COUNT_BAD_REQUEST] + rig->counts[COUNT_BAD_REPLY], 0);
	rig_free(rig);
	talk_free(&t);
}

/* Requests may be open of which nothing is known: for a minute after the last sign of one. */
Test(http2, unsure_for_a_while)
{
	struct talk t = talk_new(false);
	struct rig *rig = rig_of(&http2, ROLE_SERVER);
	const uint64_t s = 1000000000;

	http2.join(rig->state);
	rig->unsure = true; /* said by who joins */
	wire_headers(t.ask, 9, true, GET("/a"));
	rig_call(rig, SIDE_REQUEST, t.ask->bytes, t.ask->n, t.ask->n, false, 100 * s, 1);
	cr_assert(rig->unsure);
	wire_data(t.answer, 3, false, "of another", 10);
	rig_call(rig, SIDE_REPLY, t.answer->bytes, t.answer->n, t.answer->n, false, 150 * s, 1);
	t.answer->n = 0;
	wire_headers(t.answer, 9, true, OK);
	rig_call(rig, SIDE_REPLY, t.answer->bytes, t.answer->n, t.answer->n, false, 209 * s, 1);
	cr_assert(rig->unsure);
	rig_call(rig, SIDE_REQUEST, "\0\0\10\6\0\0\0\0\0abcdefgh", 17, 17, false, 211 * s, 1);
	cr_assert_not(rig->unsure);
	rig_close(rig, END_CLOSED, 0, 300 * s);
	cr_assert_eq(rig->done_total, 1);
	rig_free(rig);
	talk_free(&t);
}

/* Bytes that are missing inside DATA cost nothing, but for a gRPC message's beginning; elsewhere
 * they cost what is open, and the table. */
Test(http2, holes)
{
	struct talk t = talk_new(true);
	struct rig *rig = rig_of(&http2, ROLE_CLIENT);
	unsigned char body[16384] = {0};
	size_t at, end;

	wire_headers(t.ask, 1, true, GET("/a"));
	wire_headers(t.answer, 1, false, OK);
	wire_data(t.answer, 1, false, body, 16384);
	at = t.answer->n;
	wire_data(t.answer, 1, true, body, 10);
	end = t.answer->n;
	rig_call(rig, SIDE_REQUEST, t.ask->bytes, t.ask->n, t.ask->n, false, 1, 1);
	rig_call(
		rig, SIDE_REPLY, t.answer->bytes, at - 16000, at, false, 2, 1); /* not all copied */
	rig_call(rig, SIDE_REPLY, t.answer->bytes + at, end - at, end - at, false, 3, 1);
	cr_assert_eq(rig->done_total, 1);
	cr_assert_eq(rig->done[0].end, END_PAIRED);
	cr_assert_eq(rig->done[0].reply_body, 16394);

	t.ask->n = t.answer->n = 0;
	wire_headers(t.ask, 3, true, GET("/b"));
	wire_headers(t.ask, 5, true, GET("/c"));
	wire_headers(t.answer, 3, true, OK);
	rig_call(rig, SIDE_REQUEST, t.ask->bytes, t.ask->n, t.ask->n, false, 4, 1);
	rig_lost(rig, SIDE_REPLY, t.answer->n, 5);
	rig_close(rig, END_CLOSED, 0, 300);
	cr_assert_eq(rig->done_total, 3);
	cr_assert_eq(rig->done[1].end, END_HOLE);
	cr_assert_eq(rig->done[2].end, END_HOLE);
	cr_assert(rig->unsure);
	rig_free(rig);
	talk_free(&t);
}

Test(http2, malformed)
{
	static const struct {
		enum side side;
		const char *bytes;
		size_t n;
	} CASES[] = {
		{SIDE_REQUEST, "GET / HTTP/1.1\r\n\r\n0123456789", 28},
		{SIDE_REPLY, "\0\0\4\6\0\0\0\0\0abcd", 13}, /* a ping of four bytes */
		{SIDE_REPLY, "\0\0\0\0\0\0\0\0\0", 9}, /* DATA of no stream */
		{SIDE_REPLY, "\1\0\0\0\0\0\0\0\1", 9}, /* larger than allowed */
		{SIDE_REPLY, "\0\0\0\11\4\0\0\0\1", 9}, /* goes on with nothing */
		{SIDE_REPLY, "\0\0\2\0\10\0\0\0\1\x9z", 11}, /* more padding than there is */
	};

	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct rig *rig = rig_of(&http2, ROLE_SERVER);

		if (CASES[i].side == SIDE_REPLY)
			rig_call(rig, SIDE_REPLY, "\0\0\0\4\0\0\0\0\0", 9, 9, false, 1, 1);
		rig_call(rig, CASES[i].side, CASES[i].bytes, CASES[i].n, CASES[i].n, false, 1, 1);
		cr_assert_eq(
			rig->counts[COUNT_BAD_REQUEST] + rig->counts[COUNT_BAD_REPLY], 1, "%zu", i);
		cr_assert(rig->bad);
		rig_close(rig, END_CLOSED, 0, 2);
		rig_free(rig);
	}
}

Test(http2, detection)
{
	static const struct {
		const char *bytes;
		size_t n;
		enum detect want;
	} CASES[] = {
		{"P", 1, DETECT_MORE},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n", 22, DETECT_MORE},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, DETECT_REQUEST},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", 26, DETECT_REQUEST},
		{"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 24, DETECT_NO},
		{"PUT / HTTP/1.1\r\n\r\n", 18, DETECT_NO},
		{"\0\0\6\4\0\0\0\0\0", 9, DETECT_REPLY},
		{"\0\0\6\4", 4, DETECT_MORE},
		{"\0\0\5\4\0\0\0\0\0", 9, DETECT_NO},
		{"\0\0\0\4\1\0\0\0\0", 9, DETECT_NO}, /* an acknowledgement: of either side */
		{"\0\0\2\1\5\0\0\0\1\x82\x86", 11, DETECT_REQUEST},
		{"\0\0\1\1\5\0\0\0\1\x88", 10, DETECT_REPLY},
		{"\0\0\1\1\5\0\0\0\1", 9, DETECT_MORE},
		{"\0\0\1\1\5\0\0\0\2\x88", 10, DETECT_NO},
		{"\0\0\1\1\x85\0\0\0\1\x88", 10, DETECT_NO},
		{"\x16\3\1\2\0\1\0\1\xfc", 9, DETECT_NO}, /* TLS */
		{"\0\0\0\x17\0\0\0\0\0\0", 10, DETECT_NO},
	};

	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
		cr_assert_eq(http2.detect(slice_of(CASES[i].bytes, CASES[i].n)), CASES[i].want,
			"%zu", i);
}

/* Holes and cuts at random: whatever is made of it, a reply is never another request's, and no
 * field another's. */
Test(http2, cuts_and_holes_at_random)
{
	unsigned seed = 7, paired = 0, lost = 0;

	for (int round = 0; round < 300; round++) {
		struct talk t = talk_new(true);
		struct rig *rig = rig_of(&http2, ROLE_SERVER);
		size_t at[2] = {0, 0};
		bool joined = round % 3 == 2;

		for (unsigned i = 0; i < 40; i++) {
			char ask[256], answer[128];
			unsigned char body[600] = {0};
			uint32_t stream = 2 * i + 1;

			snprintf(ask, sizeof(ask),
				":method: %s\n:scheme: http\n:authority: host-%u\n:path: /s%u\n",
				i % 2 ? "GET" : "POST", i % 7, stream);
			snprintf(answer, sizeof(answer), ":status: %u\nx-host: host-%u\n",
				200 + stream, i % 7);
			wire_headers(t.ask, stream, i % 2, ask);
			if (!(i % 2))
				wire_data(t.ask, stream, true, body, (size_t)rand_r(&seed) % 600);
			wire_headers(t.answer, stream, i % 3, answer);
			if (!(i % 3))
				wire_data(
					t.answer, stream, true, body, (size_t)rand_r(&seed) % 600);
		}
		if (joined) {
			http2.join(rig->state);
			at[0] = t.ask->n / 3;
			at[1] = t.answer->n / 3;
		}
		while (at[0] < t.ask->n || at[1] < t.answer->n) {
			/* replies come behind their requests, by and large */
			int side = at[0] == t.ask->n ||
				   at[1] * t.ask->n * 10 < at[0] * t.answer->n * 7;
			const struct wire *w = side ? t.answer : t.ask;
			size_t n = 1 + (size_t)rand_r(&seed) % 300;

			if (n > w->n - at[side])
				n = w->n - at[side];
			if (!n)
				continue;
			rig_call(rig, (enum side)side, w->bytes + at[side],
				round % 2 && rand_r(&seed) % 15 == 0 ? n / 2 : n, n, false,
				1000 + at[0] + at[1], 1);
			at[side] += n;
		}
		rig_close(rig, END_CLOSED, 0, 1u << 30);
		for (unsigned i = 0; i < rig->done_total && i < RIG_DONE; i++) {
			const struct rig_result *r = &rig->done[i];
			char host[16];
			unsigned stream;

			paired += r->end == END_PAIRED;
			lost += r->end == END_HOLE;
			if (sscanf(r->target, "/s%u", &stream) != 1)
				continue;
			cr_assert(!r->status || r->status == 200 + stream, "%s got %u", r->target,
				r->status);
			snprintf(host, sizeof(host), "host-%u", stream / 2 % 7);
			cr_assert(!r->host[0] || strcmp(r->host, host) == 0, "%s of %s", r->target,
				r->host);
		}
		if (!joined && round % 2 == 0)
			cr_assert_eq(rig->done_total, 40);
		rig_free(rig);
		talk_free(&t);
	}
	cr_assert_gt(paired, 4000, "%u", paired);
	cr_assert_gt(lost, 100, "%u", lost);
}
