/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/tls.h"

#include <string.h>

#define RECORD_HEADER    5
#define RECORD_MAX       (16384u + 256 + 2048) /* RFC 5246, 6.2.3: the longest there ever was */
#define MESSAGE_HEADER   4
#define HANDSHAKE        22
#define APPLICATION_DATA 23
#define CHANGE_CIPHER    20
#define CLIENT_HELLO     1
#define SERVER_HELLO     2
#define EXT_SERVER_NAME  0
#define EXT_ALPN         16
#define EXT_VERSIONS     43

struct state {
	struct tls_hellos hellos;
	bool done[2]; /* by side: its hello was read, or never will be */
};

/* Bytes that are left; a read beyond them makes it bad, and gives 0. */
struct cursor {
	const uint8_t *at, *end;
	bool bad;
};

static size_t left(const struct cursor *c)
{
	return (size_t)(c->end - c->at);
}

static uint32_t number(struct cursor *c, unsigned bytes)
{
	uint32_t n = 0;

	if (left(c) < bytes) {
		c->bad = true;
		c->at = c->end;
		return 0;
	}
	while (bytes--)
		n = n << 8 | *c->at++;
	return n;
}

/* The next n bytes, taken out. */
static struct cursor part(struct cursor *c, size_t n)
{
	struct cursor p = {c->at, c->at, false};

	if (left(c) < n) {
		c->bad = p.bad = true;
		n = 0;
	}
	c->at += n;
	p.end = c->at;
	return p;
}

/* What is behind its length. */
static struct cursor vector(struct cursor *c, unsigned length_bytes)
{
	return part(c, number(c, length_bytes));
}

static void keep(char *to, size_t cap, const struct cursor *c)
{
	size_t n = left(c);

	/* a name with an end inside would be another's */
	if (!n || n >= cap || memchr(c->at, 0, n))
		return;
	memcpy(to, c->at, n);
	to[n] = '\0';
}

static void read_server_name(struct cursor ext, struct tls_hellos *h)
{
	struct cursor list = vector(&ext, 2);

	while (left(&list)) {
		uint32_t type = number(&list, 1);
		struct cursor name = vector(&list, 2);

		if (!type && !list.bad)
			keep(h->server_name, sizeof(h->server_name), &name);
	}
}

/* The server's, which holds one. */
static void read_alpn(struct cursor ext, struct tls_hellos *h)
{
	struct cursor list = vector(&ext, 2), name = vector(&list, 1);

	if (!list.bad && !left(&list))
		keep(h->alpn, sizeof(h->alpn), &name);
}

/* The client's, of what it would speak. */
static void read_offer(struct cursor ext, struct tls_hellos *h)
{
	struct cursor list = vector(&ext, 2);

	while (left(&list)) {
		struct cursor name = vector(&list, 1);

		if (left(&name) == 2 && !memcmp(name.at, "h2", 2))
			h->offers_h2 = true;
	}
}

static void read_extensions(struct cursor *c, bool server, struct tls_hellos *h)
{
	struct cursor list = vector(c, 2);

	while (left(&list)) {
		uint32_t type = number(&list, 2);
		struct cursor ext = vector(&list, 2);

		if (list.bad)
			return;
		if (type == EXT_SERVER_NAME && !server)
			read_server_name(ext, h);
		else if (type == EXT_ALPN && server)
			read_alpn(ext, h);
		else if (type == EXT_ALPN)
			read_offer(ext, h);
		else if (type == EXT_VERSIONS && server && left(&ext) == 2)
			h->version = (uint16_t)number(&ext, 2);
	}
}

bool tls_read_hello(struct slice message, struct tls_hellos *h)
{
	struct cursor c = {
		(const uint8_t *)message.ptr, (const uint8_t *)message.ptr + message.len, false};
	uint32_t type = number(&c, 1), version;
	struct cursor body = vector(&c, 3);

	if (c.bad || (type != CLIENT_HELLO && type != SERVER_HELLO))
		return false;
	version = number(&body, 2);
	part(&body, 32); /* random */
	vector(&body, 1); /* session */
	if (type == CLIENT_HELLO) {
		vector(&body, 2); /* cipher suites */
		vector(&body, 1); /* compressions */
	} else {
		number(&body, 2);
		number(&body, 1);
		h->version = (uint16_t)version;
	}
	if (left(&body)) /* older than extensions */
		read_extensions(&body, type == SERVER_HELLO, h);
	return !body.bad;
}

bool tls_begins(struct slice bytes)
{
	const uint8_t *b = (const uint8_t *)bytes.ptr;

	return bytes.len >= RECORD_HEADER && b[0] >= CHANGE_CIPHER && b[0] <= APPLICATION_DATA &&
	       b[1] == 3 && b[2] >= 1 && b[2] <= 3 && (b[3] << 8 | b[4]) <= (int)RECORD_MAX &&
	       (b[3] || b[4]);
}

const struct tls_hellos *tls_hellos(const void *state)
{
	return &((const struct state *)state)->hellos;
}

static enum detect detect(struct slice bytes)
{
	(void)bytes;
	return DETECT_NO;
}

static void join(void *state)
{
	struct state *s = state;

	s->done[SIDE_REQUEST] = s->done[SIDE_REPLY] = true;
}

static bool idle(const void *state)
{
	(void)state;
	return false;
}

/* A hello can lie in several records, but never does in those that are worth to be known. */
static enum parse feed(
	void *state, struct sink *sink, enum side side, const struct feed *in, struct parsed *ret)
{
	struct state *s = state;
	const uint8_t *b = (const uint8_t *)in->bytes.ptr;
	size_t length;

	(void)sink;
	ret->used = 0;
	ret->skip = 0;
	if (!s->done[side] && in->bytes.len < RECORD_HEADER)
		return PARSE_MORE;
	if (!s->done[side] && b[0] == HANDSHAKE && tls_begins(in->bytes)) {
		length = RECORD_HEADER + (size_t)(b[3] << 8 | b[4]);
		if (in->bytes.len < length && length <= PARSE_KEEP)
			return PARSE_MORE;
		if (in->bytes.len >= length)
			tls_read_hello(
				slice_of(b + RECORD_HEADER, length - RECORD_HEADER), &s->hellos);
	}
	s->done[side] = true;
	ret->used = in->bytes.len;
	ret->skip = SKIP_REST;
	return PARSE_CONSUMED;
}

static void hole(void *state, struct sink *sink, enum side side, const struct feed *in, uint64_t n)
{
	(void)sink;
	(void)in;
	(void)n;
	((struct state *)state)->done[side] = true;
}

static void eof(void *state, struct sink *sink, enum side side, uint64_t time_ns)
{
	(void)state;
	(void)sink;
	(void)side;
	(void)time_ns;
}

static void close_(
	void *state, struct sink *sink, enum exchange_end how, int error, uint64_t time_ns)
{
	(void)state;
	(void)sink;
	(void)how;
	(void)error;
	(void)time_ns;
}

const struct protocol tls_protocol = {
	.name = "tls",
	.state_size = sizeof(struct state),
	.detect = detect,
	.join = join,
	.idle = idle,
	.feed = feed,
	.hole = hole,
	.eof = eof,
	.close = close_,
};
