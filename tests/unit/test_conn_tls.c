/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that carry TLS. */
#include "conn_rig.h"

TestSuite(conn_tls, .init = start, .fini = stop);

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
Test(conn_tls, tls_opens)
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

Test(conn_tls, tls_that_cannot_be_read_is_said)
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
Test(conn_tls, tls_is_told_by_its_bytes)
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
Test(conn_tls, tls_in_a_tunnel)
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
Test(conn_tls, tls_behind_a_lost_reply)
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

/* What granted it and what began TLS both were lost. */
Test(conn_tls, tls_behind_a_lost_hello)
{
	readable = true;
	open_conn(1);
	say(1, 100, "CONNECT bank.example:443 HTTP/1.1\r\n\r\n", WEFT_SEND_BIT | WEFT_FRESH);
	move_layer(1, WEFT_LAYER_PLAIN, 0, 0, REQUEST, strlen(REQUEST), WEFT_SEND_BIT | WEFT_FRESH);
	cr_assert_eq(done, 1);
	cr_assert_eq(how, END_HOLE);
	cr_assert_eq(conns_exchanges(conns), 1);
	end_conn(1);
	cr_assert_eq(done, 2);
}

/* What such a tunnel carries has nobody who would open it. */
Test(conn_tls, tunnel_inside_tls)
{
	static const char ASK[] = "CONNECT bank.example:443 HTTP/1.1\r\n\r\n";
	static const char GRANTED[] = "HTTP/1.1 200 OK\r\n\r\n";
	uint32_t asked = sizeof(ASK) - 1;

	readable = true;
	open_conn(1);
	move_layer(1, WEFT_LAYER_TLS, 500, 0, CIPHER, 9, WEFT_SEND_BIT | WEFT_FRESH);
	move_layer(1, WEFT_LAYER_PLAIN, 500, 500, ASK, asked, WEFT_SEND_BIT | WEFT_FRESH);
	move_layer(1, WEFT_LAYER_PLAIN, 500, 500 + asked, GRANTED, sizeof(GRANTED) - 1, 0);
	cr_assert_eq(done, 1);
	cr_assert_eq(wants[1], WEFT_WANT_NOTHING);
	end_conn(1);
}
