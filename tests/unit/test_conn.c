/* SPDX-License-Identifier: Apache-2.0 */
/* The life of connections whose ends were lost, with the stages before made up. */
#include "capture/capture.h"
#include "capture/listeners.h"
#include "capture/procs.h"
#include "conn/conn.h"
#include "core/clock.h"
#include "proto/http1.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MINUTE (60 * NS_PER_SEC)
#define CONNS  600u

static struct counters counters;
static struct conns *conns;
static enum weft_want wants[CONNS + 1];
static uint32_t again_at[CONNS + 1];
static uint64_t now = MINUTE;
static unsigned done, gone, expected, unseen;
static enum exchange_end how;

/* capture.h, procs.h, listeners.h: every process is traced, nobody listens. */

void capture_want(struct capture *capture, uint64_t conn, enum weft_want want)
{
	(void)capture;
	wants[conn] = want;
}

void capture_want_frames(
	struct capture *capture, uint64_t conn, enum weft_direction direction, uint32_t at)
{
	(void)capture;
	(void)direction;
	(void)at;
	wants[conn] = WEFT_WANT_CALLS;
}

void capture_want_until(
	struct capture *capture, uint64_t conn, enum weft_direction direction, uint32_t until)
{
	(void)capture;
	(void)conn;
	(void)direction;
	(void)until;
}

void capture_want_again(
	struct capture *capture, uint64_t conn, enum weft_direction direction, uint32_t at)
{
	(void)capture;
	wants[conn] = direction == WEFT_SEND ? WEFT_WANT_AGAIN_SEND : WEFT_WANT_AGAIN_RECV;
	again_at[conn] = at;
}

void capture_heard(struct capture *capture, uint64_t conn)
{
	(void)capture;
	wants[conn] = WEFT_WANT_HEADS;
}

struct proc *procs_get(struct procs *procs, uint32_t pid)
{
	static struct proc proc = {.pid = 10, .traced = true};

	(void)procs;
	(void)pid;
	return &proc;
}

bool procs_port_excluded(const struct procs *procs, uint16_t port)
{
	(void)procs;
	(void)port;
	return false;
}

bool listeners_have(const struct listeners *listeners, uint32_t netns, uint16_t port)
{
	(void)listeners;
	(void)netns;
	(void)port;
	return false;
}

static uint64_t on_connecting(void *ctx, uint32_t pid, uint32_t tid, uint64_t time_ns)
{
	(void)ctx;
	(void)pid;
	(void)tid;
	(void)time_ns;
	return 0;
}

static void on_ends(void *ctx, const struct endpoints *ends)
{
	(void)ctx;
	(void)ends;
	expected++;
}

static void on_gone(void *ctx, const struct endpoints *ends)
{
	(void)ctx;
	(void)ends;
	gone++;
}

static enum role role;

static void on_head(void *ctx, struct exchange *ex, const struct field *fields, unsigned n)
{
	(void)ctx;
	(void)ex;
	(void)fields;
	(void)n;
}

static void on_done(void *ctx, struct exchange *ex)
{
	(void)ctx;
	how = ex->end;
	role = ex->role;
	done++;
}

static void on_unseen(void *ctx, uint32_t pid, uint64_t time_ns)
{
	(void)ctx;
	(void)pid;
	(void)time_ns;
	unseen++;
}

static void on_opaque(void *ctx, uint32_t pid, bool tunnel, bool on)
{
	(void)ctx;
	(void)pid;
	(void)tunnel;
	(void)on;
}

static bool readable;
static unsigned unreads;

static bool on_readable(void *ctx, uint32_t pid)
{
	(void)ctx;
	(void)pid;
	return readable;
}

static void on_unread(void *ctx, uint32_t pid)
{
	(void)ctx;
	(void)pid;
	unreads++;
}

static const struct conns_ops OPS = {
	.connecting = on_connecting,
	.connected = on_ends,
	.asked = on_head,
	.replied = on_head,
	.done = on_done,
	.gone = on_gone,
	.unseen = on_unseen,
	.opaque = on_opaque,
	.readable = on_readable,
	.unread = on_unread,
};

static void start(void)
{
	struct conns_options options = {1, CONNS, 64, true};

	cr_assert_eq(conns_new(&options, NULL, NULL, NULL, &counters, &OPS, NULL, &conns), 0);
}

static void stop(void)
{
	conns_free(conns);
}

static void open_conn(uint64_t id)
{
	struct weft_open rec = {
		.head = {now, WEFT_RECORD_OPEN, WEFT_CONNECTED, sizeof(rec), 10, 10, 0},
		.conn = id,
		.local_port = (uint16_t)(1000 + id),
		.remote_port = 80,
		.connect_ns = now,
	};

	conns_on_open(conns, &rec);
}

#define REQUEST "GET / HTTP/1.1\r\nHost: t\r\n\r\n"

static void move(uint64_t id, uint32_t seq, uint32_t other, const char *text, uint8_t flags)
{
	struct {
		struct weft_data data;
		char text[64];
	} rec = {.data = {
			 .head = {now, WEFT_RECORD_DATA, flags, 0, 10, 10, 0},
			 .conn = id,
			 .seq = seq,
			 .other = other,
			 .len = (uint32_t)strlen(text),
			 .caught = (uint16_t)strlen(text),
			 .age_ns = UINT32_MAX,
		 }};

	rec.data.head.size = (uint16_t)(sizeof(rec.data) + rec.data.caught);
	memcpy(rec.text, text, rec.data.caught);
	conns_on_data(conns, &rec.data, now);
}

static void say(uint64_t id, uint32_t seq, const char *text, uint8_t flags)
{
	move(id, seq, 0, text, WEFT_SEND_BIT | flags);
}

static void ask(uint64_t id, uint32_t seq)
{
	say(id, seq, REQUEST, WEFT_FRESH);
}

/* As many turns of the agent as it takes to come round the table. */
static void turns(void)
{
	for (int i = 0; i < 8; i++)
		conns_tick(conns, now);
}

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

static void move_layer(uint64_t id, enum weft_layer layer, uint32_t seq, uint32_t other,
	const char *bytes, size_t n, uint8_t flags)
{
	struct {
		struct weft_data data;
		char bytes[64];
	} rec = {.data = {
			 .head = {now, WEFT_RECORD_DATA, flags, 0, 10, 10, 0},
			 .conn = id,
			 .seq = seq,
			 .other = other,
			 .len = (uint32_t)n,
			 .caught = (uint16_t)n,
			 .age_ns = UINT32_MAX,
			 .layer = (uint8_t)layer,
		 }};

	rec.data.head.size = (uint16_t)(sizeof(rec.data) + rec.data.caught);
	memcpy(rec.bytes, bytes, n);
	conns_on_data(conns, &rec.data, now);
}

static void end_conn(uint64_t id)
{
	struct weft_shut rec = {
		.head = {now, WEFT_RECORD_CLOSE, 0, sizeof(rec), 10, 10, 0},
		.conn = id,
		.recv_seq = 77777,
	};

	conns_on_close(conns, &rec);
}

static void shut_conn(uint64_t id)
{
	struct weft_shut rec = {
		.head = {now, WEFT_RECORD_SHUT, 0, sizeof(rec), 10, 10, 0},
		.conn = id,
		.recv_seq = 77777,
	};

	conns_on_shut(conns, &rec);
}

#define CIPHER "\x16\x03\x01\x00\x04\x01\x00\x00\x00"
#define REPLY  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* What TLS carries has numbers of its own; the socket's bytes beside it are no longer looked at. */
Test(conn, tls_opens)
{
	readable = true;
	open_conn(1);
	move_layer(1, WEFT_LAYER_TLS, 500, 0, CIPHER, 9, WEFT_SEND_BIT | WEFT_FRESH);
	cr_assert_eq(conns_exchanges(conns), 0);
	move_layer(1, WEFT_LAYER_PLAIN, 500, 500, REQUEST, strlen(REQUEST),
		WEFT_SEND_BIT | WEFT_FRESH);
	cr_assert_eq(conns_exchanges(conns), 1);
	move_layer(1, WEFT_LAYER_TLS, 900, 0, "GET / HTTP/1.1\r\n\r\n", 18, WEFT_SEND_BIT);
	cr_assert_eq(conns_exchanges(conns), 1);
	/* the peer's FIN came before its last bytes were taken out */
	shut_conn(1);
	now += 1;
	move_layer(1, WEFT_LAYER_PLAIN, 500, (uint32_t)(500 + strlen(REQUEST)), REPLY,
		strlen(REPLY), 0);
	cr_assert_eq(done, 1);
	cr_assert_eq(how, END_PAIRED);
	end_conn(1);
	cr_assert_eq(unreads, 0);
	cr_assert_eq(conns_count(conns), 0);
}

Test(conn, tls_that_cannot_be_read_is_said)
{
	readable = false;
	open_conn(1);
	open_conn(2);
	move_layer(1, WEFT_LAYER_TLS, 500, 0, CIPHER, 9, WEFT_SEND_BIT | WEFT_FRESH);
	move_layer(2, WEFT_LAYER_TLS, 500, 0, CIPHER, 9, WEFT_SEND_BIT | WEFT_FRESH);
	conns_look_sealed(conns, now);
	cr_assert_eq(unreads, 0, "nothing may have been said on it yet");
	end_conn(1);
	cr_assert_eq(unreads, 1);
	now += MINUTE;
	conns_look_sealed(conns, now);
	conns_look_sealed(conns, now);
	cr_assert_eq(unreads, 2, "once");
	end_conn(2);
	cr_assert_eq(unreads, 2);
}

/* Joined in its middle, where the programs did not see what it is. */
Test(conn, tls_is_told_by_its_bytes)
{
	readable = true;
	open_conn(1);
	say(1, 100, "\x17\x03\x03\x01\x20", 0);
	cr_assert_eq(wants[1], WEFT_WANT_TLS);
	move_layer(1, WEFT_LAYER_PLAIN, 0, 0, REQUEST, strlen(REQUEST),
		WEFT_SEND_BIT | WEFT_UNNUMBERED | WEFT_QUIET);
	cr_assert_eq(conns_exchanges(conns), 1);
	end_conn(1);
	cr_assert_eq(done, 1);
}

/* In a tunnel through a proxy, which the request for it opened. */
Test(conn, tls_in_a_tunnel)
{
	static const char ASK[] = "CONNECT bank.example:443 HTTP/1.1\r\n\r\n";
	static const char GRANTED[] = "HTTP/1.1 200 OK\r\n\r\n";
	uint32_t asked = sizeof(ASK) - 1, granted = sizeof(GRANTED) - 1;

	readable = true;
	for (uint64_t id = 1; id <= 2; id++) {
		open_conn(id);
		say(id, 100, ASK, WEFT_SEND_BIT | WEFT_FRESH);
		move(id, 0, 100 + asked, GRANTED, 0);
	}
	cr_assert_eq(done, 2);
	move_layer(1, WEFT_LAYER_TLS, 100 + asked, granted, CIPHER, 9, WEFT_SEND_BIT);
	move_layer(1, WEFT_LAYER_PLAIN, 0, 0, REQUEST, strlen(REQUEST), WEFT_SEND_BIT | WEFT_FRESH);
	cr_assert_eq(conns_exchanges(conns), 1);
	say(2, 100 + asked, REQUEST, WEFT_SEND_BIT);
	cr_assert_eq(conns_exchanges(conns), 1);
	cr_assert_eq(wants[2], WEFT_WANT_NOTHING, "whatever it is, it is not for the proxy");
	end_conn(1);
	end_conn(2);
	cr_assert_eq(done, 3);
}

/* The same, where what granted it was lost. */
Test(conn, tls_behind_a_lost_reply)
{
	readable = true;
	open_conn(1);
	say(1, 100, "CONNECT bank.example:443 HTTP/1.1\r\n\r\n", WEFT_SEND_BIT | WEFT_FRESH);
	cr_assert_eq(conns_exchanges(conns), 1);
	move_layer(1, WEFT_LAYER_TLS, 137, 19, CIPHER, 9, WEFT_SEND_BIT);
	cr_assert_eq(conns_exchanges(conns), 0);
	cr_assert_eq(how, END_HOLE);
	end_conn(1);
	cr_assert_eq(done, 1);
}
