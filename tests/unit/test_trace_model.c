/* SPDX-License-Identifier: Apache-2.0 */
/* Servers of every kind, interleaved at random, with what truly caused each call: no parent is ever
 * wrong. */
#include "trace_rig.h"

#define JOBS    24
#define STEPS   6000
#define THREADS 8

enum kind { BLOCKING, POOL, PREFORK, LOOP, MIGRATING, PROXY, KINDS };

/* How each waits for requests and for answers, and on how many threads. */
static const struct {
	enum rig_wait requests, calls;
	unsigned threads;
	bool concurrent; /* a thread has several at once */
} KIND[KINDS] = {
	[BLOCKING] = {BLOCKS, POLL, THREADS, false},
	[POOL] = {POLL, POLL, THREADS, false},
	[PREFORK] = {POLL, POLL, 1, false},
	[LOOP] = {EPOLL, EPOLL, 1, true},
	[MIGRATING] = {EPOLL, EPOLL, 4, true},
	[PROXY] = {EPOLL, EPOLL, 1, true},
};

struct job {
	struct rig_ex *server, *call, *leaf;
	enum kind kind;
	unsigned id, calls, thread;
	bool after;
};

struct model {
	struct rig rig;
	struct job jobs[JOBS];
	bool busy[KINDS][THREADS];
	unsigned id, port;
	uint32_t seq;
	uint64_t random;
};

static unsigned roll(struct model *m, unsigned n)
{
	m->random = m->random * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(m->random >> 33) % n;
}

static uint32_t pid_of(enum kind kind)
{
	return 100 * (kind + 1);
}

static uint32_t tid_of(struct model *m, const struct job *j)
{
	/* goroutines and their like go on wherever there is room */
	return pid_of(j->kind) +
	       (j->kind == MIGRATING ? roll(m, KIND[j->kind].threads) : j->thread);
}

static struct rig_ex *call(struct model *m, uint32_t pid, uint32_t tid, enum rig_wait wait,
	const char *name, const char *target, const char *token, struct rig_ex **ret_leaf)
{
	uint16_t port = (uint16_t)(20000 + m->port++ % 8);
	struct rig_ex *c =
		rig_ex(&m->rig, ROLE_CLIENT, pid, tid, port, ++m->seq, wait, name, target);
	struct rig_ex *leaf;
	char leaf_name[40];

	snprintf(leaf_name, sizeof(leaf_name), "%s.leaf", name);
	leaf = rig_ex(&m->rig, ROLE_SERVER, 900, 900, port, m->seq, EPOLL, leaf_name, target);
	snprintf(c->token, sizeof(c->token), "%s", token);
	trace_connected(m->rig.trace, &c->ends);
	if (roll(m, 3)) {
		rig_asked(&m->rig, c);
		rig_asked(&m->rig, leaf);
	} else {
		rig_asked(&m->rig, leaf);
		rig_asked(&m->rig, c);
	}
	*ret_leaf = leaf;
	return c;
}

static void job_call(struct model *m, struct job *j, const char *suffix, const char *path)
{
	char name[32], target[32], token[32] = "";

	snprintf(name, sizeof(name), "%u.%s", j->id, suffix);
	snprintf(target, sizeof(target), "/%s/%u", path, j->id);
	if (j->kind == PROXY)
		snprintf(token, sizeof(token), "%u", j->id);
	j->call = call(m, pid_of(j->kind), tid_of(m, j), KIND[j->kind].calls, name, target, token,
		&j->leaf);
}

static void job_start(struct model *m, struct job *j, enum kind kind)
{
	char name[32], target[32];
	unsigned thread = roll(m, KIND[kind].threads);

	if (!KIND[kind].concurrent && m->busy[kind][thread])
		return;
	m->busy[kind][thread] = true;
	*j = (struct job){.kind = kind,
		.id = ++m->id,
		.thread = thread,
		.calls = kind == PROXY ? 1 : roll(m, 3)};
	j->after = kind != PROXY && roll(m, 4) == 0;
	snprintf(name, sizeof(name), "%u", j->id);
	snprintf(target, sizeof(target), "/%s/%u", kind == PROXY ? "pass" : "in", j->id);
	j->server = rig_ex(&m->rig, ROLE_SERVER, pid_of(kind), tid_of(m, j),
		(uint16_t)(1000 + kind * 100 + thread), 0, KIND[kind].requests, name, target);
	if (kind == PROXY)
		snprintf(j->server->token, sizeof(j->server->token), "%u", j->id);
	rig_asked(&m->rig, j->server);
}

static void job_step(struct model *m, struct job *j)
{
	char suffix[16];

	if (j->call) {
		rig_done(&m->rig, j->leaf, 900);
		rig_done(&m->rig, j->call,
			j->kind == MIGRATING ? tid_of(m, j) : j->call->ex.request_tid);
		j->call = j->leaf = NULL;
	} else if (j->server && j->calls) {
		snprintf(suffix, sizeof(suffix), "c%u", j->calls--);
		job_call(m, j, suffix, j->kind == PROXY ? "pass" : "call");
	} else if (j->server) {
		rig_done(&m->rig, j->server, tid_of(m, j));
		j->server = NULL;
		if (j->after)
			job_call(m, j, "after", "after");
	}
	if (!j->server && !j->call) {
		m->busy[j->kind][j->thread] = false;
		j->id = 0;
	}
}

/* A timer's call: from a thread of its own, or from the loop. */
static void beat(struct model *m, enum kind kind)
{
	struct rig_ex *c, *leaf;
	char name[32];
	uint32_t tid = pid_of(kind) + (KIND[kind].concurrent ? 0 : 50);

	snprintf(name, sizeof(name), "bg%u", ++m->id);
	c = call(m, pid_of(kind), tid, KIND[kind].calls, name, "/beat", "", &leaf);
	m->rig.now += 1000;
	rig_done(&m->rig, leaf, 900);
	rig_done(&m->rig, c, tid);
}

static void judge(const struct rig *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		const struct rig_out *o = &r->out[i], *parent = NULL;
		const char *dot = strrchr(o->name, '.');
		char want[32] = "";

		if (dot && strcmp(dot, ".after"))
			snprintf(want, sizeof(want), "%.*s", (int)(dot - o->name), o->name);
		if (!o->has_parent) {
			cr_assert(!dot || strcmp(dot, ".leaf"), "%s is an orphan", o->name);
			continue;
		}
		for (unsigned k = 0; !parent && k < r->n; k++)
			if (!memcmp(r->out[k].span_id, o->parent_id, SPAN_ID_LEN))
				parent = &r->out[k];
		cr_assert(parent, "%s has a parent that never came", o->name);
		cr_assert_str_eq(parent->name, want, "%s is below %s by %s", o->name, parent->name,
			link_name(o->link));
	}
}

static void run(uint64_t seed, unsigned jobs, enum kind only, double *ret_share)
{
	struct model m = {.random = seed};
	unsigned found = 0, calls = 0;

	rig_open(&m.rig);
	for (unsigned k = 0; k < KINDS; k++)
		beat(&m, (enum kind)k);
	for (unsigned step = 0; step < STEPS; step++) {
		struct job *j = &m.jobs[roll(&m, jobs)];

		m.rig.now += 1000 + roll(&m, 100000);
		if (j->id)
			job_step(&m, j);
		else
			job_start(&m, j, only == KINDS ? (enum kind)roll(&m, KINDS) : only);
		if (roll(&m, 40) == 0)
			beat(&m, only == KINDS ? (enum kind)roll(&m, KINDS) : only);
		if (roll(&m, 20) == 0)
			trace_tick(m.rig.trace, m.rig.now, false);
	}
	for (unsigned i = 0; i < jobs; i++)
		while (m.jobs[i].id)
			job_step(&m, &m.jobs[i]);
	trace_tick(m.rig.trace, m.rig.now, true);
	judge(&m.rig);
	for (unsigned i = 0; i < m.rig.n; i++)
		if (strstr(m.rig.out[i].name, ".c") && !strstr(m.rig.out[i].name, ".leaf")) {
			calls++;
			found += m.rig.out[i].has_parent;
		}
	*ret_share = calls ? (double)found / calls : 0;
	rig_close(&m.rig);
}

Test(trace_model, no_parent_is_ever_wrong)
{
	double share;

	for (uint64_t seed = 1; seed <= 12; seed++)
		run(seed, 1 + (unsigned)seed * 2 % JOBS, KINDS, &share);
}

Test(trace_model, who_waits_has_every_parent)
{
	static const enum kind complete[] = {BLOCKING, POOL, PREFORK, PROXY};
	static const unsigned jobs[] = {1, 8, JOBS};

	for (unsigned k = 0; k < sizeof(complete) / sizeof(complete[0]); k++)
		for (unsigned i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
			double share;

			run(99 + i, jobs[i], complete[k], &share);
			cr_expect_eq(
				share, 1, "kind %u, %u at once: %.4f", complete[k], jobs[i], share);
		}
}

Test(trace_model, loops_are_never_wrong_at_any_concurrency)
{
	double share;

	for (unsigned jobs = 1; jobs <= JOBS; jobs += 5) {
		run(7 + jobs, jobs, LOOP, &share);
		run(7 + jobs, jobs, MIGRATING, &share);
	}
}
