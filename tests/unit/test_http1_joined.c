/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that are joined at any of their calls, with bodies full of HTTP whose pieces are
 * calls of their own: nothing in a body is ever an exchange, and what follows the message under way
 * is found.
 */
#include "proto_rig.h"

#include <criterion/criterion.h>

#define EXCHANGES 12
#define CALLS     1024

static unsigned rnd(uint64_t *seed, unsigned n)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*seed >> 33) % n;
}

static const char *const FAKE_REQUESTS[] = {
	"GET /fake HTTP/1.1\r\nHost: f\r\n\r\n",
	"POST /fake HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
	"POST /fake HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"HEAD /fake HTTP/1.0\r\n\r\n",
	"just text\r\n",
};

static const char *const FAKE_REPLIES[] = {
	"HTTP/1.1 599 Fake\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 599 Fake\r\nContent-Length: 4\r\n\r\nfake",
	"HTTP/1.1 599 Fake\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\n",
	"just text\r\n",
};

/* A conversation as calls. */
struct talk {
	struct {
		enum side side;
		char bytes[128];
		unsigned exchange;
	} calls[CALLS];
	unsigned n;
	uint64_t seed;
};

static void add(struct talk *t, enum side side, unsigned exchange, const char *bytes)
{
	cr_assert_lt(t->n, CALLS);
	t->calls[t->n].side = side;
	t->calls[t->n].exchange = exchange;
	snprintf(t->calls[t->n++].bytes, sizeof(t->calls[0].bytes), "%s", bytes);
}

/* A body of fakes, each of them one call or, now and then, two. */
static unsigned choose(
	struct talk *t, const char *const fakes[5], const char *body[8], size_t *size)
{
	unsigned n = rnd(&t->seed, 8);

	*size = 0;
	for (unsigned i = 0; i < n; i++) {
		body[i] = fakes[rnd(&t->seed, 5)];
		*size += strlen(body[i]);
	}
	return n;
}

static void add_body(
	struct talk *t, enum side side, unsigned k, const char *const *body, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		size_t cut = rnd(&t->seed, 4) ? 0 : rnd(&t->seed, (unsigned)strlen(body[i]));
		char text[128];

		snprintf(text, sizeof(text), "%.*s", (int)cut, body[i]);
		if (cut)
			add(t, side, k, text);
		add(t, side, k, body[i] + cut);
	}
}

static void add_exchange(struct talk *t, unsigned k)
{
	const char *body[8];
	char head[128];
	size_t size;
	unsigned n = choose(t, FAKE_REQUESTS, body, &size);

	snprintf(head, sizeof(head), "POST /%u HTTP/1.1\r\nContent-Length: %zu\r\n%s\r\n", k, size,
		rnd(&t->seed, 3) ? "" : "X: y\r\n");
	add(t, SIDE_REQUEST, k, head);
	add_body(t, SIDE_REQUEST, k, body, n);
	n = choose(t, FAKE_REPLIES, body, &size);
	snprintf(head, sizeof(head), "HTTP/1.1 %u R\r\nContent-Length: %zu\r\n\r\n", 400 + k, size);
	add(t, SIDE_REPLY, k, head);
	add_body(t, SIDE_REPLY, k, body, n);
}

static void check_real(const struct rig *rig)
{
	for (unsigned i = 0; i < rig->done_total; i++) {
		const struct rig_result *r = &rig->done[i];
		unsigned k = EXCHANGES;

		cr_assert_eq(sscanf(r->target, "/%u", &k), 1, "a false exchange: %s", r->target);
		cr_assert_eq(r->end, END_PAIRED);
		cr_assert_eq(r->status, 400 + k, "%s has %u", r->target, r->status);
		cr_assert_leq(r->request_start_ns, r->request_end_ns);
		cr_assert_leq(r->request_end_ns, r->reply_start_ns);
		cr_assert_leq(r->reply_start_ns, r->reply_end_ns);
	}
}

/* Plays the calls from one of them on; loss: of 100 that are not copied. */
static struct rig *play(struct talk *t, unsigned from, enum role role, unsigned loss)
{
	struct rig *rig = rig_new(role);

	http1.join(rig->state);
	for (unsigned i = 0; i < from; i++)
		rig->sides[t->calls[i].side].seq += (uint32_t)strlen(t->calls[i].bytes);
	for (unsigned i = from; i < t->n; i++)
		if (rnd(&t->seed, 100) < loss)
			rig_lost(rig, t->calls[i].side, strlen(t->calls[i].bytes), 10 + i);
		else
			rig_say(rig, t->calls[i].side, t->calls[i].bytes, 10 + i);
	rig_close(rig, END_CLOSED, 0, 10000);
	check_real(rig);
	return rig;
}

static void make(struct talk *t, uint64_t seed)
{
	t->n = 0;
	t->seed = seed;
	for (unsigned k = 0; k < EXCHANGES; k++)
		add_exchange(t, k);
}

Test(http1_joined, at_any_call)
{
	static struct talk t;

	for (unsigned seed = 0; seed < 40; seed++) {
		make(&t, seed);
		for (unsigned from = 1; from < t.n; from++) {
			struct rig *rig = play(&t, from, ROLE_SERVER, 0);
			/* the one under way is lost, and no other but where all of it is left: then
			 * what came before it was not seen */
			unsigned left = EXCHANGES - 1 - t.calls[from].exchange;

			cr_assert_eq(rig->done_total, left, "seed %u from %u: %u of %u", seed, from,
				rig->done_total, left);
			rig_free(rig);
		}
	}
}

/* A client's first one is not told of: whose child it is had to be found when it was made. */
Test(http1_joined, clients)
{
	static struct talk t;

	for (unsigned seed = 0; seed < 15; seed++) {
		make(&t, seed);
		for (unsigned from = 1; from < t.n; from++) {
			struct rig *rig = play(&t, from, ROLE_CLIENT, 0);
			unsigned left = EXCHANGES - 1 - t.calls[from].exchange;

			cr_assert_eq(rig->done_total, left ? left - 1 : 0);
			rig_free(rig);
		}
	}
}

Test(http1_joined, with_losses)
{
	static struct talk t;
	unsigned long found = 0;

	for (unsigned seed = 0; seed < 200; seed++) {
		struct rig *rig;

		make(&t, seed);
		rig = rig_new(ROLE_SERVER);
		http1.join(rig->state);
		for (unsigned i = 0; i < t.n; i++) {
			unsigned what = rnd(&t.seed, 40);

			if (!what)
				rig_lost(rig, t.calls[i].side, strlen(t.calls[i].bytes), 10 + i);
			else if (what == 1)
				rig->sides[t.calls[i].side].seq +=
					(uint32_t)strlen(t.calls[i].bytes);
			else
				rig_say(rig, t.calls[i].side, t.calls[i].bytes, 10 + i);
		}
		rig_close(rig, END_CLOSED, 0, 10000);
		for (unsigned i = 0; i < rig->done_total; i++)
			cr_assert_str_neq(rig->done[i].target, "/fake");
		found += rig->done_total;
		rig_free(rig);
	}
	cr_assert_gt(found, 200 * EXCHANGES / 3, "%lu", found);
}

Test(http1_joined, reply_before_the_upload_is_over)
{
	struct rig *rig = rig_new(ROLE_SERVER);

	http1.join(rig->state);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n", 1);
	for (int i = 2; i < 20; i++)
		rig_say(rig, SIDE_REQUEST, "GET /fake HTTP/1.1\r\n\r\n", (uint64_t)i);
	rig_say(rig, SIDE_REQUEST, "GET /lost HTTP/1.1\r\n\r\n", 30);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 31);
	cr_assert_eq(rig->done_total, 0);
	rig_say(rig, SIDE_REQUEST, "GET /1 HTTP/1.1\r\ntraceparent: x\r\n\r\n", 40);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n", 41);
	cr_assert_eq(rig->done_total, 1);
	cr_assert_str_eq(rig->done[0].target, "/1");
	cr_assert_str_eq(rig->done[0].traceparent, "x");
	cr_assert_eq(rig->done[0].status, 201);
	cr_assert_eq(rig->done[0].request_start_ns, 40);
	cr_assert_eq(rig->done[0].reply_start_ns, 41);
	cr_assert_eq(rig->counts[COUNT_REQUESTS], rig->counts[COUNT_UNPAIRED_UNSURE] + 1);
	rig_close(rig, END_CLOSED, 0, 50);
	rig_free(rig);
}

/* Several requests at once say nothing of where each begins; nor does an interim reply. */
Test(http1_joined, not_certain)
{
	struct rig *rig = rig_new(ROLE_SERVER);

	http1.join(rig->state);
	rig_say(rig, SIDE_REPLY, "middle", 1);
	rig_say(rig, SIDE_REQUEST, "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", 2);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 204 No\r\n\r\n", 3);
	rig_say(rig, SIDE_REQUEST, "GET /3 HTTP/1.1\r\n\r\n", 4);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 100 Continue\r\n\r\n", 5);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 204 No\r\n\r\n", 6);
	cr_assert_eq(rig->done_total, 0);
	/* the head in pieces, a body that is not seen */
	rig_say(rig, SIDE_REQUEST, "PUT /4 HTTP/1.1\r\nContent-", 7);
	rig_say(rig, SIDE_REQUEST, "Length: 5000\r\n\r\nab", 8);
	rig_lost(rig, SIDE_REQUEST, 4998, 9);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 20", 10);
	rig_say(rig, SIDE_REPLY, "4 No\r\n\r\n", 11);
	cr_assert_eq(rig->done_total, 1);
	cr_assert_eq(rig->done[0].request_start_ns, 7);
	cr_assert_eq(rig->done[0].request_end_ns, 9);
	cr_assert_eq(rig->done[0].request_body, 5000);
	cr_assert_eq(rig->done[0].reply_start_ns, 10);
	/* from here on all is believed */
	rig_say(rig, SIDE_REQUEST, "GET /5 HTTP/1.1\r\n\r\nGET /6 HTTP/1.1\r\n\r\n", 12);
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 204 No\r\n\r\n", 13);
	cr_assert_eq(rig->done_total, 3);
	rig_close(rig, END_CLOSED, 0, 50);
	rig_free(rig);
}

Test(http1_joined, idle)
{
	struct rig *rig = rig_new(ROLE_SERVER);

	cr_assert(!http1.idle(rig->state), "nothing was seen");
	rig_say(rig, SIDE_REQUEST, "GET /1 HTTP/1.1\r\n\r\n", 1);
	cr_assert(!http1.idle(rig->state));
	rig_say(rig, SIDE_REPLY, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", 2);
	cr_assert(!http1.idle(rig->state));
	rig_say(rig, SIDE_REPLY, "x", 3);
	cr_assert(http1.idle(rig->state));
	rig_say(rig, SIDE_REQUEST, "GET /1", 4);
	cr_assert(!http1.idle(rig->state));
	rig_close(rig, END_CLOSED, 0, 50);
	rig_free(rig);
}
