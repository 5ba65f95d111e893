/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of well-behaved clients and servers whose records are cut, not copied, lost and late
 * at random: whatever happens, no request may end with another's reply; and where nothing happens,
 * every one must end with its own.
 */
#include "proto_rig.h"

#include <criterion/criterion.h>

#define MESSAGES 40

static unsigned rnd(uint64_t *seed, unsigned n)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*seed >> 33) % n;
}

struct plan {
	struct rig *rig;
	uint64_t seed;
	uint64_t now;
	unsigned loss; /* of 100 records */
	unsigned late; /* of 100 requests are fed after their reply */
};

static unsigned status_of(unsigned i)
{
	return 400 + i;
}

/* Sends bytes as calls of random lengths, at most max; body bytes are not copied past a few. */
static void send_calls(struct plan *p, enum side side, const char *bytes, size_t len, unsigned max)
{
	while (len) {
		size_t n = 1 + rnd(&p->seed, max);

		if (n > len)
			n = len;
		p->now++;
		if (rnd(&p->seed, 100) >= p->loss)
			rig_call(p->rig, side, bytes, n, n, false, p->now, 1);
		else if (rnd(&p->seed, 2))
			rig_lost(p->rig, side, n, p->now);
		else
			p->rig->sides[side].seq += (uint32_t)n;
		bytes += n;
		len -= n;
	}
}

static size_t add_body(struct plan *p, char *to, size_t cap, bool request)
{
	static const char data[] = "0123456789abcdef\r\n\r\nHTTP/1.1 20";
	unsigned kind = rnd(&p->seed, request ? 4 : 3);
	unsigned n = rnd(&p->seed, 90);
	size_t at = 0;

	if (kind == 0) {
		at = (size_t)snprintf(to, cap, "Content-Length: %u\r\n\r\n", n);
		for (unsigned i = 0; i < n; i++)
			to[at++] = data[i % (sizeof(data) - 1)];
	} else if (kind == 1) {
		at = (size_t)snprintf(to, cap, "Transfer-Encoding: chunked\r\n\r\n");
		for (unsigned i = 0; i < n / 20; i++)
			at += (size_t)snprintf(to + at, cap - at, "10\r\n%.16s\r\n", data);
		at += (size_t)snprintf(to + at, cap - at, "0\r\n\r\n");
	} else {
		at = (size_t)snprintf(to, cap, request ? "\r\n" : "Content-Length: 0\r\n\r\n");
	}
	return at;
}

static size_t make_request(struct plan *p, unsigned i, char *to, size_t cap)
{
	size_t n = (size_t)snprintf(to, cap, "%s /%u HTTP/1.1\r\n", i % 7 ? "GET" : "HEAD", i);

	return n + add_body(p, to + n, cap - n, true);
}

static size_t make_reply(struct plan *p, unsigned i, char *to, size_t cap)
{
	size_t n = (size_t)snprintf(to, cap, "%sHTTP/1.1 %u X\r\n",
		rnd(&p->seed, 5) ? "" : "HTTP/1.1 100 Continue\r\n\r\n", status_of(i));

	if (i % 7 == 0)
		return n + (size_t)snprintf(to + n, cap - n, "Content-Length: 77\r\n\r\n");
	return n + add_body(p, to + n, cap - n, false);
}

static unsigned check_pairs(const struct rig *rig)
{
	unsigned paired = 0;

	for (unsigned i = 0; i < rig->done_total; i++) {
		const struct rig_result *r = &rig->done[i];
		unsigned k = 0;

		cr_assert_eq(sscanf(r->target, "/%u", &k), 1);
		if (!r->status)
			continue;
		cr_assert_eq(r->status, status_of(k), "%s got %u", r->target, r->status);
		cr_assert_leq(r->request_start_ns, r->reply_start_ns);
		cr_assert_leq(r->reply_start_ns, r->reply_end_ns);
		paired += r->end == END_PAIRED;
	}
	return paired;
}

static unsigned run_plan(struct plan *p, unsigned depth)
{
	static const unsigned sizes[] = {1, 7, 40, 1000};
	char request[600], reply[600];
	unsigned paired;

	p->rig = rig_new(p->seed & 1 ? ROLE_CLIENT : ROLE_SERVER);
	for (int side = 0; side < 2; side++)
		stream_start(&p->rig->sides[side].stream, p->rig->sides[side].seq);
	for (unsigned i = 0; i < MESSAGES; i += depth) {
		unsigned max = sizes[rnd(&p->seed, 4)];
		bool late = depth == 1 && rnd(&p->seed, 100) < p->late;

		/* the clock and the order of arrival agree but for late requests */
		for (unsigned j = i; !late && j < i + depth && j < MESSAGES; j++)
			send_calls(p, SIDE_REQUEST, request,
				make_request(p, j, request, sizeof(request)), max);
		if (late) {
			size_t asked = (size_t)snprintf(request, sizeof(request),
				"%s /%u HTTP/1.1\r\n\r\n", i % 7 ? "GET" : "HEAD", i);
			size_t replied = make_reply(p, i, reply, sizeof(reply));
			uint64_t then = p->now;

			p->now += 100;
			p->rig->sides[SIDE_REPLY].late = (int32_t)asked;
			send_calls(p, SIDE_REPLY, reply, replied, max);
			then = p->now - then;
			p->now -= then;
			p->rig->sides[SIDE_REQUEST].late = -(int32_t)replied;
			send_calls(p, SIDE_REQUEST, request, asked, max);
			p->now += then;
			p->rig->sides[SIDE_REQUEST].late = p->rig->sides[SIDE_REPLY].late = 0;
		}
		for (unsigned j = i; !late && j < i + depth && j < MESSAGES; j++)
			send_calls(
				p, SIDE_REPLY, reply, make_reply(p, j, reply, sizeof(reply)), max);
		p->now += 1000;
		for (int side = 0; side < 2; side++) {
			struct stream_io io = rig_io(p->rig, (enum side)side);

			if (!rnd(&p->seed, 3))
				stream_flush(&p->rig->sides[side].stream, UINT64_MAX, &io);
		}
	}
	rig_close(p->rig, END_CLOSED, 0, p->now);
	paired = check_pairs(p->rig);
	cr_assert(!p->rig->done_total || !p->rig->open);
	rig_free(p->rig);
	return paired;
}

Test(http1_pairs, all_are_found)
{
	for (unsigned i = 0; i < 300; i++) {
		struct plan p = {.seed = i};

		cr_assert_eq(run_plan(&p, 1 + i % 5), MESSAGES, "seed %u", i);
	}
}

Test(http1_pairs, none_is_wrong)
{
	unsigned long found = 0;

	for (unsigned i = 0; i < 3000; i++) {
		struct plan p = {.seed = i, .loss = 1 + i % 10, .late = i % 3 ? 0 : 10};

		found += run_plan(&p, 1);
	}
	/* a loss may cost its neighbours, not the connection */
	cr_assert_gt(found, 3000ul * MESSAGES / 10, "%lu", found);
	cr_log_info("%lu of %u", found, 3000 * MESSAGES);
}
