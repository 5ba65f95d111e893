/* SPDX-License-Identifier: Apache-2.0 */
/* The life of connections whose ends were lost, with the stages before made up. */
#include "conn_rig.h"

TestSuite(conn, .init = start, .fini = stop);

Test(conn, quiet_ones_stay_while_nothing_is_lost)
{
	open_conn(1);
	now += 100 * MINUTE;
	turns();
	cr_assert_eq(conns_count(conns), 1);
}

Test(conn, after_a_loss_the_quiet_ones_go)
{
	for (uint64_t id = 1; id <= CONNS; id++)
		open_conn(id);
	now += MINUTE;
	conns_doubt(conns, now);
	turns();
	cr_assert_eq(conns_count(conns), CONNS, "not at once: most of them live");
	now += MINUTE;
	ask(7, 100);
	now += 5 * MINUTE;
	conns_tick(conns, now);
	cr_assert_gt(conns_count(conns), CONNS / 2, "a few in each turn");
	turns();
	cr_assert_eq(conns_count(conns), 1);
	cr_assert_eq(count_get(&counters, COUNT_CONNS_ENDED_UNSEEN), CONNS - 1);
	cr_assert_eq(count_get(&counters, COUNT_CONNS_EVICTED), 0);
	cr_assert_eq(gone, CONNS - 1);
	cr_assert_eq(wants[7], WEFT_WANT_HEADS);
	cr_assert_eq(wants[8], WEFT_WANT_AGAIN, "if it lives, its next bytes announce it");
}

Test(conn, one_that_lived_after_all_is_followed_again)
{
	open_conn(1);
	now += 1;
	conns_doubt(conns, now);
	now += 6 * MINUTE;
	turns();
	cr_assert_eq(conns_count(conns), 0);
	open_conn(1);
	cr_assert_eq(wants[1], WEFT_WANT_HEADS);
	ask(1, 5000);
	cr_assert_eq(conns_exchanges(conns), 1);
}

Test(conn, a_request_on_one_that_is_gone_ends)
{
	open_conn(1);
	ask(1, 100);
	cr_assert_eq(conns_exchanges(conns), 1);
	now += 1;
	conns_doubt(conns, now);
	now += 6 * MINUTE;
	turns();
	cr_assert_eq(done, 1);
	cr_assert_eq(how, END_EVICTED);
	cr_assert_eq(conns_exchanges(conns), 0);
}

Test(conn, losses_that_go_on_put_nothing_off)
{
	open_conn(1);
	now += 1;
	for (int i = 0; i < 8; i++) {
		conns_doubt(conns, now);
		now += MINUTE;
		turns();
	}
	cr_assert_eq(conns_count(conns), 0);
	open_conn(2);
	now += 6 * MINUTE;
	turns();
	cr_assert_eq(conns_count(conns), 1, "opened behind the latest loss");
	now += 6 * MINUTE;
	turns();
	cr_assert_eq(conns_count(conns), 1);
}

Test(conn, what_began_as_something_else_is_not_believed)
{
	static const char hello[] = "EHLO here\r\n";

	open_conn(1);
	say(1, 100, hello, WEFT_FRESH);
	for (uint32_t i = 0; i < 5; i++)
		say(1, 100 + (uint32_t)strlen(hello) + i * (uint32_t)strlen(REQUEST), REQUEST, 0);
	conns_shutdown(conns, now);
	cr_assert_eq(done, 0);
	open_conn(2);
	ask(2, 100);
	conns_shutdown(conns, now);
	cr_assert_eq(done, 1);
}

static void open_unix(uint64_t id, uint8_t flags)
{
	struct weft_open_unix rec = {
		.open = {.head = {now, WEFT_RECORD_OPEN, WEFT_UNIX | flags, sizeof(rec), 10, 10, 0},
			.conn = id,
			.local_addr = {(uint8_t)id, 1}},
		.path = "/run/app.sock",
		.path_len = 14,
	};

	conns_on_open(conns, &rec.open);
}

Test(conn, a_unix_client_announces_itself_to_its_servers_end)
{
	open_unix(1, WEFT_CONNECTED);
	cr_assert_eq(expected, 1);
	open_unix(2, WEFT_ACCEPTED);
	cr_assert_eq(expected, 1);
	open_unix(3, WEFT_ACCEPTED | WEFT_CALLER_TRACED);
	cr_assert_eq(expected, 2, "the server's end can be heard of first");
	ask(1, 0);
	conns_shutdown(conns, now);
	cr_assert_eq(done, 1);
	cr_assert_eq(role, ROLE_CLIENT);
}

Test(conn, a_quiet_unix_socket_may_be_closed_and_comes_back_if_not)
{
	open_unix(1, WEFT_CONNECTED);
	open_unix(2, WEFT_CONNECTED);
	open_conn(3);
	ask(1, 0);
	ask(2, 0);
	move(2, 0, (uint32_t)strlen(REQUEST), "HTTP/1.1 204 No Content\r\n\r\n", 0);
	cr_assert_eq(done, 1);
	now += 2 * MINUTE;
	for (int i = 0; i < 20; i++)
		conns_tick(conns, now);
	cr_assert_eq(conns_count(conns), 2, "a request is open on one, and TCP tells its ends");
	cr_assert_eq(wants[2], WEFT_WANT_AGAIN_SEND);
	cr_assert_eq(again_at[2], strlen(REQUEST), "nothing may have been said since");
	open_unix(2, WEFT_CONNECTED);
	ask(2, (uint32_t)strlen(REQUEST));
	cr_assert_eq(conns_exchanges(conns), 2);
}

Test(conn, a_unix_socket_that_is_not_understood_does_not_stay)
{
	open_unix(1, WEFT_CONNECTED);
	for (uint32_t i = 0; i < 20; i++)
		say(1, 4 * i, "\1\2\3\4", i ? 0 : WEFT_FRESH);
	cr_assert_eq(wants[1], WEFT_WANT_NOTHING);
	now += 2 * MINUTE;
	for (int i = 0; i < 20; i++)
		conns_tick(conns, now);
	cr_assert_eq(conns_count(conns), 0);
	cr_assert_eq(wants[1], WEFT_WANT_NOTHING, "if it lives, still nobody wants it");
}

#define NO_CONTENT "HTTP/1.1 204 No Content\r\n\r\n"
#define LEN(text)  ((uint32_t)strlen(text))

static void ticks(void)
{
	for (int i = 0; i < 20; i++)
		conns_tick(conns, now);
}

Test(conn, what_lay_in_the_ring_when_one_was_forgotten_is_not_taken_for_nothing)
{
	static const char post[] = "POST /u HTTP/1.1\r\nContent-Length: 900\r\n\r\n";

	open_unix(2, WEFT_ACCEPTED);
	move(2, 0, 0, REQUEST, WEFT_FRESH);
	move(2, 0, LEN(REQUEST), NO_CONTENT, WEFT_SEND_BIT);
	cr_assert_eq(done, 1);
	now += 2 * MINUTE;
	ticks();
	cr_assert_eq(wants[2], WEFT_WANT_AGAIN_RECV);
	cr_assert_eq(again_at[2], LEN(REQUEST));
	/* the head was recorded before that; a piece of the body comes after it, and begins
	 * elsewhere: the kernel does not call it quiet */
	move(2, LEN(REQUEST), LEN(NO_CONTENT), post, 0);
	open_unix(2, WEFT_ACCEPTED);
	move(2, LEN(REQUEST) + LEN(post), LEN(NO_CONTENT), REQUEST, 0);
	conns_shutdown(conns, now);
	cr_assert_eq(done, 1);
}

Test(conn, replies_without_an_end_over_unix_give_their_room_back)
{
	static const char reply[] = "HTTP/1.0 200 OK\r\n\r\nhello";

	for (uint64_t id = 1; id <= 64; id++) {
		open_unix(id, WEFT_ACCEPTED);
		move(id, 0, 0, REQUEST, WEFT_FRESH);
		move(id, 0, LEN(REQUEST), reply, WEFT_SEND_BIT);
	}
	cr_assert_eq(unseen, 64, "that they are open proves nothing");
	cr_assert_eq(conns_exchanges(conns), 64);
	now += 2 * MINUTE;
	ticks();
	cr_assert_eq(conns_exchanges(conns), 0);
	cr_assert_eq(conns_count(conns), 0);
	cr_assert_eq(how, END_EVICTED);
}

Test(conn, unix_sockets_joined_in_their_middle_go_as_well)
{
	open_unix(1, WEFT_ACCEPTED | WEFT_UNNUMBERED);
	move(1, 0, 0, "some bytes of a body", WEFT_UNNUMBERED);
	now += 2 * MINUTE;
	ticks();
	cr_assert_eq(conns_count(conns), 0);
}

Test(conn, behind_a_missed_call_counted_bytes_are_not_believed)
{
	static const char post[] = "POST / HTTP/1.1\r\nContent-Length: 60\r\n\r\n";
	char body[64];

	open_unix(1, WEFT_ACCEPTED);
	move(1, 0, 0, post, WEFT_FRESH);
	conns_missed(conns, now); /* the receive of the body */
	cr_assert_eq(done, 1);
	cr_assert_eq(how, END_HOLE);
	move(1, 0, LEN(post), NO_CONTENT, WEFT_SEND_BIT);
	move(1, LEN(post), LEN(NO_CONTENT), post, 0);
	snprintf(body, sizeof(body), "%-*sGET /evil HTTP/1.1\r\n\r\n", (int)(60 - LEN(post)), "x");
	move(1, 2 * LEN(post), LEN(NO_CONTENT), body, 0);
	conns_shutdown(conns, now);
	cr_assert_eq(done, 1);
}

Test(conn, a_missed_call_is_a_hole_where_bytes_have_numbers)
{
	open_conn(1);
	ask(1, 100);
	conns_missed(conns, now);
	cr_assert_eq(conns_exchanges(conns), 1);
	cr_assert_eq(done, 0);
}

#define WEFT_ITSELF 1u

/* An end of a TCP connection as its process announces it. */
static void announce(
	uint64_t id, uint32_t pid, uint8_t flags, const char *local, const char *remote)
{
	struct weft_open rec = {
		.head = {now, WEFT_RECORD_OPEN, flags, sizeof(rec), pid, pid, 0},
		.conn = id,
	};
	unsigned a[5], b[5];

	cr_assert_eq(sscanf(local, "%u.%u.%u.%u:%u", a, a + 1, a + 2, a + 3, a + 4), 5);
	cr_assert_eq(sscanf(remote, "%u.%u.%u.%u:%u", b, b + 1, b + 2, b + 3, b + 4), 5);
	rec.local_addr[10] = rec.local_addr[11] = rec.remote_addr[10] = rec.remote_addr[11] = 0xff;
	for (int i = 0; i < 4; i++) {
		rec.local_addr[12 + i] = (uint8_t)a[i];
		rec.remote_addr[12 + i] = (uint8_t)b[i];
	}
	rec.local_port = (uint16_t)a[4];
	rec.remote_port = (uint16_t)b[4];
	conns_on_open(conns, &rec);
}

static bool serves(uint64_t id)
{
	unsigned before = conns_exchanges(conns);

	move(id, 100, 0, REQUEST, WEFT_FRESH);
	return conns_exchanges(conns) == before + 1;
}

/* Requests with their replies, at the server's end. */
static void serve(uint64_t id, unsigned n, uint8_t flags)
{
	static const char reply[] = "HTTP/1.1 204 No Content\r\n\r\n";
	uint32_t recv = 100, sent = 500;

	announce(id, 10, 0, "10.0.0.2:80", "10.0.0.1:5000");
	while (n--) {
		move(id, recv, sent, REQUEST, flags);
		recv += (uint32_t)strlen(REQUEST);
		move(id, sent, recv, reply, WEFT_SEND_BIT);
		sent += (uint32_t)strlen(reply);
		flags = 0;
	}
}

Test(conn, an_older_ones_first_two_requests_say_so)
{
	serve(1, 4, WEFT_FRESH);
	cr_assert_eq(done, 4);
	cr_assert_eq(older, 0);
	serve(2, 4, WEFT_QUIET);
	cr_assert_eq(done, 8);
	cr_assert_eq(older, 2);
}

Test(conn, the_servers_end_of_an_export_is_not_followed)
{
	announce(1, WEFT_ITSELF, WEFT_CONNECTED, "127.0.0.1:5000", "127.0.0.1:4318");
	announce(2, 10, 0, "127.0.0.1:4318", "127.0.0.1:5000");
	cr_assert_not(serves(2));
	cr_assert_eq(count_get(&counters, COUNT_CONNS_OWN), 2);
}

/* The kernel gives the same port to connections to different servers. */
Test(conn, the_port_of_an_export_is_anothers_too)
{
	announce(1, WEFT_ITSELF, WEFT_CONNECTED, "127.0.0.1:5000", "127.0.0.1:4318");
	announce(2, 10, 0, "127.0.0.1:80", "127.0.0.1:5000");
	cr_assert(serves(2));
	cr_assert_eq(count_get(&counters, COUNT_CONNS_OWN), 1);
}

Test(conn, an_export_to_a_translated_address)
{
	announce(1, WEFT_ITSELF, WEFT_CONNECTED, "10.0.0.9:5000", "10.96.0.1:80");
	announce(2, 10, 0, "10.0.0.7:4318", "10.0.0.9:5000");
	cr_assert_not(serves(2));
	now += MINUTE;
	announce(3, 10, 0, "10.0.0.8:8080", "10.0.0.9:5000");
	cr_assert(serves(3), "that came later: not the same connection");
}

Test(conn, when_an_export_is_over_its_port_is_free)
{
	struct weft_shut rec = {
		.head = {now, WEFT_RECORD_CLOSE, 0, sizeof(rec), 1, 1, 0}, .conn = 1};

	announce(1, WEFT_ITSELF, WEFT_CONNECTED, "127.0.0.1:5000", "127.0.0.1:4318");
	conns_on_close(conns, &rec);
	announce(2, 10, 0, "127.0.0.1:4318", "127.0.0.1:5000");
	cr_assert(serves(2));
}

/* TLS */
