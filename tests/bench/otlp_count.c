/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OTLP/HTTP receiver that only counts: accepts POST with a Content-Length (protobuf, gzip or
 * plain), walks the fields of what comes to /v1/traces down to the spans and answers 200; what
 * comes to elsewhere, as metrics do, is taken and not counted. One thread, so that it takes little
 * of the machine that is measured.
 *
 *   otlp_count [-a ATTRIBUTE] [port [address]]      default 4318, 127.0.0.1
 *
 * Any GET answers, and SIGTERM prints to stdout, one line of JSON:
 *   {"requests":N,"spans":N,"servers":N,"sum":N,"bytes":N,"bad":N}
 * servers: of the spans, those of kind SERVER; sum: of the integer attribute over all spans; bytes:
 * of the bodies as sent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#define PEERS     32
#define HEAD_MAX  16384
#define BODY_MAX  (16u << 20)
#define PLAIN_MAX (64u << 20)

struct totals {
	uint64_t requests, spans, servers, sum, bytes, bad;
	const char *attribute; /* to sum up, or NULL */
};

/* A connection: its buffer holds a head and the body behind it. */
struct peer {
	int fd;
	size_t used;
	char *buf; /* HEAD_MAX + BODY_MAX, touched as needed */
};

struct request {
	bool get, traces, gzip;
	size_t body_len;
};

struct input {
	const uint8_t *at, *end;
};

static bool read_varint(struct input *in, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
		uint8_t byte = *in->at++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

/* The next field; *ret_value is a varint's, *ret_bytes what another one holds. */
static bool read_field(
	struct input *in, uint64_t *ret_field, uint64_t *ret_value, struct input *ret_bytes)
{
	uint64_t tag, len;

	*ret_value = 0;
	*ret_bytes = (struct input){NULL, NULL};
	if (!read_varint(in, &tag))
		return false;
	*ret_field = tag >> 3;
	switch (tag & 7) {
	case 0:
		return read_varint(in, ret_value);
	case 1:
		len = 8;
		break;
	case 2:
		if (!read_varint(in, &len))
			return false;
		break;
	case 5:
		len = 4;
		break;
	default:
		return false;
	}
	if (len > (uint64_t)(in->end - in->at))
		return false;
	*ret_bytes = (struct input){in->at, in->at + len};
	in->at += len;
	return true;
}

/* KeyValue: key = 1, value = 2; AnyValue: int_value = 3 */
static bool sum_attribute(struct input in, struct totals *t)
{
	struct input inner, value = {NULL, NULL};
	bool is_it = false;
	uint64_t field, number;

	while (in.at < in.end) {
		if (!read_field(&in, &field, &number, &inner))
			return false;
		if (field == 1)
			is_it = (size_t)(inner.end - inner.at) == strlen(t->attribute) &&
				!memcmp(inner.at, t->attribute, strlen(t->attribute));
		else if (field == 2)
			value = inner;
	}
	while (is_it && value.at < value.end) {
		if (!read_field(&value, &field, &number, &inner))
			return false;
		if (field == 3)
			t->sum += number;
	}
	return true;
}

/* Span: kind = 6 (SERVER = 2), attributes = 9 */
static bool count_span(struct input in, struct totals *t)
{
	struct input inner;
	uint64_t field, number;

	t->spans++;
	while (in.at < in.end) {
		if (!read_field(&in, &field, &number, &inner))
			return false;
		if (field == 6 && number == 2)
			t->servers++;
		else if (field == 9 && t->attribute && !sum_attribute(inner, t))
			return false;
	}
	return true;
}

/* resource_spans = 1, scope_spans = 2, spans = 2 */
static bool count_spans(struct input in, unsigned level, struct totals *t)
{
	static const uint64_t PATH[] = {1, 2, 2};
	struct input inner;
	uint64_t field, number;

	while (in.at < in.end) {
		if (!read_field(&in, &field, &number, &inner))
			return false;
		if (field != PATH[level] || !inner.at)
			continue;
		if (level == 2 ? !count_span(inner, t) : !count_spans(inner, level + 1, t))
			return false;
	}
	return true;
}

static bool inflate_body(const char *body, size_t len, char **plain, size_t *ret_len)
{
	z_stream z = {.next_in = (unsigned char *)body, .avail_in = (unsigned)len};
	bool good;

	if (!*plain)
		*plain = malloc(PLAIN_MAX);
	if (!*plain || inflateInit2(&z, 15 + 16) != Z_OK)
		return false;
	z.next_out = (unsigned char *)*plain;
	z.avail_out = PLAIN_MAX;
	good = inflate(&z, Z_FINISH) == Z_STREAM_END;
	*ret_len = z.total_out;
	inflateEnd(&z);
	return good;
}

static void count_body(struct totals *t, const struct request *r, const char *body, char **plain)
{
	size_t len = r->body_len;

	t->requests++;
	t->bytes += len;
	if (r->gzip) {
		if (!inflate_body(body, len, plain, &len)) {
			t->bad++;
			return;
		}
		body = *plain;
	}
	if (!count_spans((struct input){(const uint8_t *)body, (const uint8_t *)body + len}, 0, t))
		t->bad++;
}

static const char *header(const char *head, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
		if (!strncasecmp(line + 2, name, len))
			return line + 2 + len + strspn(line + 2 + len, " \t");
	return NULL;
}

/* The head, which is NUL-terminated. */
static bool read_head(const char *head, struct request *ret)
{
	const char *length = header(head, "content-length:"),
		   *coding = header(head, "content-encoding:");
	struct request r = {
		.get = !strncmp(head, "GET ", 4),
		.traces = !strncmp(head, "POST /v1/traces ", 16),
		.gzip = coding && !strncasecmp(coding, "gzip", 4),
		.body_len = length ? strtoul(length, NULL, 10) : 0,
	};

	if (r.body_len > BODY_MAX || (!r.get && (strncmp(head, "POST ", 5) || !length)))
		return false;
	*ret = r;
	return true;
}

static int totals_text(const struct totals *t, char *buf, size_t cap)
{
	return snprintf(buf, cap,
		"{\"requests\":%llu,\"spans\":%llu,\"servers\":%llu,\"sum\":%llu,\"bytes\":%llu,"
		"\"bad\":%llu}\n",
		(unsigned long long)t->requests, (unsigned long long)t->spans,
		(unsigned long long)t->servers, (unsigned long long)t->sum,
		(unsigned long long)t->bytes, (unsigned long long)t->bad);
}

static bool answer(const struct peer *p, const struct totals *t, bool get)
{
	char body[256], reply[512];
	int len = get ? totals_text(t, body, sizeof(body)) : 0;
	int n = snprintf(reply, sizeof(reply),
		"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%.*s",
		get ? "application/json" : "application/x-protobuf", len, len, body);

	return send(p->fd, reply, (size_t)n, MSG_NOSIGNAL) == n;
}

/* Serves the whole requests that the buffer holds. False: the connection is to be closed. */
static bool serve(struct peer *p, struct totals *t, char **plain)
{
	for (;;) {
		char *end = memmem(p->buf, p->used, "\r\n\r\n", 4);
		size_t head_len;
		struct request r;
		bool good;

		if (!end)
			return p->used < HEAD_MAX;
		head_len = (size_t)(end - p->buf) + 4;
		end[2] = '\0';
		good = read_head(p->buf, &r);
		end[2] = '\r';
		if (!good)
			return false;
		if (p->used < head_len + r.body_len)
			return true;
		if (r.traces)
			count_body(t, &r, p->buf + head_len, plain);
		if (!answer(p, t, r.get))
			return false;
		p->used -= head_len + r.body_len;
		memmove(p->buf, p->buf + head_len + r.body_len, p->used);
	}
}

static void peer_close(struct peer *p)
{
	close(p->fd);
	free(p->buf);
	*p = (struct peer){.fd = -1};
}

static void peer_read(struct peer *p, struct totals *t, char **plain)
{
	ssize_t n = read(p->fd, p->buf + p->used, HEAD_MAX + BODY_MAX - p->used);

	if (n > 0)
		p->used += (size_t)n;
	if (n <= 0 || !serve(p, t, plain))
		peer_close(p);
}

static void peer_accept(struct peer *peers, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	for (unsigned i = 0; fd >= 0 && i < PEERS; i++)
		if (peers[i].fd < 0) {
			peers[i] = (struct peer){.fd = fd, .buf = malloc(HEAD_MAX + BODY_MAX)};
			if (!peers[i].buf)
				peer_close(&peers[i]);
			return;
		}
	if (fd >= 0)
		close(fd);
}

static int listen_on(const char *address, unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) ||
		bind(fd, (struct sockaddr *)&to, sizeof(to)) || listen(fd, PEERS))
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	struct peer peers[PEERS];
	struct totals totals = {0};
	char text[256], *plain = NULL;
	int listener, signals;
	sigset_t set;

	if (argc > 2 && !strcmp(argv[1], "-a")) {
		totals.attribute = argv[2];
		argc -= 2;
		argv += 2;
	}
	listener = listen_on(argc > 2 ? argv[2] : "127.0.0.1",
		argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 4318);
	if (listener < 0) {
		perror("otlp_count");
		return 1;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	for (unsigned i = 0; i < PEERS; i++)
		peers[i] = (struct peer){.fd = -1};
	for (;;) {
		struct pollfd fds[PEERS + 2] = {
			{.fd = signals, .events = POLLIN}, {.fd = listener, .events = POLLIN}};

		for (unsigned i = 0; i < PEERS; i++)
			fds[i + 2] = (struct pollfd){.fd = peers[i].fd, .events = POLLIN};
		if (poll(fds, PEERS + 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			break;
		for (unsigned i = 0; i < PEERS; i++)
			if (peers[i].fd >= 0 && fds[i + 2].revents)
				peer_read(&peers[i], &totals, &plain);
		if (fds[1].revents)
			peer_accept(peers, listener);
	}
	for (unsigned i = 0; i < PEERS; i++)
		if (peers[i].fd >= 0)
			peer_close(&peers[i]);
	free(plain);
	close(signals);
	close(listener);
	totals_text(&totals, text, sizeof(text));
	fputs(text, stdout);
	return 0;
}
