/* SPDX-License-Identifier: Apache-2.0 */
/* Replies to requests that are not whole: they end the exchange, with what is known of it. */
#include "proto_rig.h"

#include <criterion/criterion.h>

#define REFUSED "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbad"

static void check(const struct rig *rig, const char *method, const char *target, unsigned status)
{
	cr_assert_eq(rig->done_total, 1, "%s %s: %u done", method, target, rig->done_total);
	cr_assert_eq(rig->done[0].end, END_PAIRED);
	cr_assert_eq(rig->done[0].status, status);
	cr_assert_str_eq(rig->done[0].method, method);
	cr_assert_str_eq(rig->done[0].target, target);
	cr_assert_eq(rig->counts[COUNT_REPLY_UNPAIRED], 0);
}

Test(http1_early, head_is_not_whole)
{
	static const struct {
		const char *begins, *target;
	} cases[] = {
		{"GET /a HTTP/1.1\r\nHost: x\r\n", "/a"},
		{"GET /a HTTP/1.1\r\n", "/a"},
		{"GET /a?b=c HTTP/1.1", "/a"},
		{"GET /a", ""},
		{"GET /", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t cut = 0; cut < strlen(cases[i].begins) - 5; cut++) {
			struct rig *rig = rig_new(ROLE_SERVER);
			size_t n = strlen(cases[i].begins);

			if (cut)
				rig_call(rig, SIDE_REQUEST, cases[i].begins, cut, cut, false, 5, 1);
			rig_call(rig, SIDE_REQUEST, cases[i].begins + cut, n - cut, n - cut, false,
				6, 2);
			rig_say(rig, SIDE_REPLY, REFUSED, 9);
			check(rig, "GET", cases[i].target, 400);
			cr_assert_eq(rig->done[0].request_start_ns, cut ? 5 : 6);
			cr_assert_eq(rig->done[0].request_end_ns, 6);
			cr_assert_eq(rig->done[0].request_tid, 2);
			cr_assert_eq(rig->done[0].reply_end_ns, 9);
			/* what still comes of it is nothing */
			rig_say(rig, SIDE_REQUEST, "GET /fake HTTP/1.1\r\n\r\n", 10);
			rig_close(rig, END_CLOSED, 0, 11);
			cr_assert_eq(rig->done_total, 1);
			rig_free(rig);
		}
	}
}

/* A client that has its reply closes at once: its FIN can be told before the reply is. */
Test(http1_early, client_has_gone)
{
	for (int counts = 0; counts <= 1; counts++) {
		struct rig *rig = rig_new(ROLE_SERVER);

		rig_say(rig, SIDE_REQUEST, "GET /a HTTP/1.1\r\nHost: x\r\n", 1);
		rig_fin(rig, SIDE_REQUEST);
		rig->sides[SIDE_REPLY].late = counts; /* whether the FIN does */
		rig_say(rig, SIDE_REPLY, REFUSED, 3);
		check(rig, "GET", "/a", 400);
		rig_close(rig, END_CLOSED, 0, 4);
		cr_assert_eq(rig->done_total, 1);
		rig_free(rig);
	}
}

/* Nothing of a request was under way: the reply is not its. */
Test(http1_early, client_has_gone_between_requests)
{
	struct rig *rig = rig_new(ROLE_SERVER);

	rig_say(rig, SIDE_REQUEST, "GET /a HTTP/1.1\r\n\r\n", 1);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 2);
	rig_fin(rig, SIDE_REQUEST);
	rig_say(rig, SIDE_REPLY, REFUSED, 4);
	rig_close(rig, END_CLOSED, 0, 5);
	cr_assert_eq(rig->done_total, 1);
	cr_assert_eq(rig->counts[COUNT_REPLY_UNPAIRED], 1);
	rig_free(rig);
}

Test(http1_early, no_method)
{
	struct rig *rig = rig_new(ROLE_SERVER);

	rig_say(rig, SIDE_REQUEST, "GE", 1);
	rig_say(rig, SIDE_REPLY, REFUSED, 2);
	rig_close(rig, END_CLOSED, 0, 3);
	cr_assert_eq(rig->done_total, 0);
	cr_assert_eq(rig->counts[COUNT_REPLY_UNPAIRED], 1);
	rig_free(rig);
}

/* At the client's end a parent can no longer be found; it is counted. */
Test(http1_early, client)
{
	struct rig *rig = rig_new(ROLE_CLIENT);

	rig_say(rig, SIDE_REQUEST, "GET /a HTTP/1.1\r\n", 1);
	rig_say(rig, SIDE_REPLY, REFUSED, 2);
	rig_close(rig, END_CLOSED, 0, 3);
	cr_assert_eq(rig->done_total, 0);
	cr_assert_eq(rig->counts[COUNT_UNPAIRED_UNSURE], 1);
	rig_free(rig);
}

/* 414: the line never ends. */
Test(http1_early, endless_line)
{
	static char line[100 * 1024];

	memset(line, 'x', sizeof(line));
	memcpy(line, "GET /", 5);
	for (int role = ROLE_SERVER; role <= ROLE_CLIENT; role++) {
		for (size_t piece = 1000; piece <= 64000; piece *= 4) {
			struct rig *rig = rig_new((enum role)role);

			for (size_t at = 0; at < sizeof(line); at += piece) {
				size_t n = sizeof(line) - at < piece ? sizeof(line) - at : piece;

				rig_call(rig, SIDE_REQUEST, line + at, n < 16384 ? n : 16384, n,
					false, 1, 1);
			}
			rig_say(rig, SIDE_REPLY, REFUSED, 9);
			rig_close(rig, END_CLOSED, 0, 10);
			check(rig, "GET", "", 400);
			rig_free(rig);
		}
	}
}

/* A field that is none: the line is good, and the server says what it thinks of the rest. */
Test(http1_early, malformed_fields)
{
	struct rig *rig = rig_new(ROLE_SERVER);

	rig_say(rig, SIDE_REQUEST, "GET /1 HTTP/1.1\r\n\r\n", 1);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 2);
	rig_say(rig, SIDE_REQUEST, "GET /2 HTTP/1.1\r\nno field\r\n\r\n", 3);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", 4);
	cr_assert_eq(rig->done_total, 2);
	cr_assert_str_eq(rig->done[1].target, "/2");
	cr_assert_eq(rig->done[1].status, 400);
	/* the connection goes on after all: once that is certain */
	rig_say(rig, SIDE_REQUEST, "GET /3 HTTP/1.1\r\n\r\n", 5);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 6);
	cr_assert_eq(rig->done_total, 3);
	cr_assert_str_eq(rig->done[2].target, "/3");
	rig_close(rig, END_CLOSED, 0, 7);
	rig_free(rig);
}

/* 413, and the client goes on uploading what is full of requests. */
Test(http1_early, body_goes_on)
{
	struct rig *rig = rig_new(ROLE_SERVER);

	rig_say(rig, SIDE_REQUEST, "POST /1 HTTP/1.1\r\nContent-Length: 2200\r\n\r\n", 1);
	rig_say(rig, SIDE_REPLY, REFUSED, 2);
	check(rig, "POST", "/1", 400);
	for (uint64_t i = 0; i < 50; i++)
		rig_say(rig, SIDE_REQUEST, "GET /fake HTTP/1.1\r\n\r\n", 3 + i);
	rig_close(rig, END_CLOSED, 0, 100);
	cr_assert_eq(rig->done_total, 1);
	rig_free(rig);
}
