/* SPDX-License-Identifier: Apache-2.0 */
/* A trace stage, exchanges to feed it with, and what it released. */
#pragma once
#include "core/clock.h"
#include "trace/trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rig_out {
	char name[32];
	uint8_t trace_id[TRACE_ID_LEN], span_id[SPAN_ID_LEN], parent_id[SPAN_ID_LEN];
	bool has_parent, remote;
	uint8_t flags;
	enum link link;
	uint64_t start_ns, end_ns;
	char state[64];
};

struct rig {
	struct trace *trace;
	struct counters counters;
	struct rig_out *out;
	unsigned n, cap;
	uint64_t now;
	uint32_t seq; /* of the next connection's request */
};

/* One exchange at one end, and the strings it borrows. */
struct rig_ex {
	struct exchange ex;
	struct endpoints ends;
	char name[32], target[64], parent[64], state[64], token[32];
};

static inline void rig_release(void *ctx, struct span *span)
{
	struct rig *r = ctx;
	struct rig_out *o;

	if (r->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 64;
		r->out = realloc(r->out, r->cap * sizeof(r->out[0]));
		cr_assert(r->out);
	}
	o = &r->out[r->n++];
	memset(o, 0, sizeof(*o));
	snprintf(o->name, sizeof(o->name), "%.*s", (int)span->name.len, span->name.ptr);
	snprintf(o->state, sizeof(o->state), "%.*s", (int)span->trace_state.len,
		span->trace_state.ptr ? span->trace_state.ptr : "");
	memcpy(o->trace_id, span->trace_id, TRACE_ID_LEN);
	memcpy(o->span_id, span->span_id, SPAN_ID_LEN);
	memcpy(o->parent_id, span->parent_id, SPAN_ID_LEN);
	o->has_parent = span->has_parent;
	o->remote = span->parent_remote;
	o->flags = span->trace_flags;
	o->link = span->link;
	o->start_ns = span->start_ns;
	o->end_ns = span->end_ns;
}

#define RIG_EXCHANGES 256
#define RIG_HELD      256
#define RIG_START     (100 * NS_PER_SEC)

static inline void rig_open(struct rig *r)
{
	struct trace_options options = {.sampling = {SAMPLER_PARENT_ALWAYS_ON, 1},
		.max_held = RIG_HELD,
		.max_ends = 1024,
		.max_threads = 256};
	struct trace_sizes sizes = {RIG_EXCHANGES, 64, 1024};

	memset(r, 0, sizeof(*r));
	r->now = RIG_START;
	r->seq = 1000;
	cr_assert_eq(
		trace_new(&options, &sizes, r->now, &r->counters, rig_release, r, &r->trace), 0);
}

static inline void rig_addr(uint8_t *addr, uint8_t last)
{
	memset(addr, 0, ADDR_LEN);
	addr[10] = addr[11] = 0xff;
	addr[12] = 10;
	addr[15] = last;
}

/* How a socket is waited for. HANDED: it blocks, while an epoll watches it still. */
enum rig_wait { BLOCKS, POLL, EPOLL, HANDED };

/* Sets up one end of a request between the hosts' parts `client` and `server` by the connection's
 * port. */
static inline struct rig_ex *rig_ex(struct rig *r, enum role role, uint32_t pid, uint32_t tid,
	uint16_t port, uint32_t seq, enum rig_wait wait, const char *name, const char *target)
{
	struct rig_ex *e = calloc(1, sizeof(*e));

	cr_assert(e);
	snprintf(e->name, sizeof(e->name), "%s", name);
	snprintf(e->target, sizeof(e->target), "%s", target);
	rig_addr(role == ROLE_CLIENT ? e->ends.local_addr : e->ends.remote_addr, 1);
	rig_addr(role == ROLE_CLIENT ? e->ends.remote_addr : e->ends.local_addr, 2);
	*(role == ROLE_CLIENT ? &e->ends.local_port : &e->ends.remote_port) = port;
	*(role == ROLE_CLIENT ? &e->ends.remote_port : &e->ends.local_port) = 80;
	e->ends.netns = 1;
	e->ex.role = role;
	e->ex.ends = &e->ends;
	e->ex.pid = pid;
	e->ex.request_tid = tid;
	e->ex.request_pos = seq;
	e->ex.opposite = seq * 7;
	e->ex.numbered = seq != 0;
	e->ex.polled = wait == EPOLL || wait == HANDED;
	e->ex.nonblocking = wait == POLL || wait == EPOLL;
	e->ex.http.method = SLICE("GET");
	e->ex.http.target = slice_str(e->target);
	(void)r;
	return e;
}

static inline void rig_header(
	struct rig_ex *e, const char *trace, const char *parent, const char *flags)
{
	snprintf(e->parent, sizeof(e->parent), "00-%s-%s-%s", trace, parent, flags);
	e->ex.http.traceparent = slice_str(e->parent);
}

static inline void rig_asked(struct rig *r, struct rig_ex *e)
{
	struct field fields[2] = {
		{SLICE("Accept"), SLICE("*/*")}, {SLICE("X-Token"), slice_str(e->token)}};

	trace_moved(r->trace, e->ex.pid, e->ex.request_tid, r->now, UINT32_MAX);
	e->ex.request_start_ns = e->ex.request_end_ns = r->now;
	trace_asked(r->trace, &e->ex, fields, e->token[0] ? 2 : 1);
}

/* Ends it, and frees it. */
static inline void rig_done(struct rig *r, struct rig_ex *e, uint32_t tid)
{
	struct span span = {.name = slice_str(e->name)};

	trace_moved(r->trace, e->ex.pid, tid, r->now, UINT32_MAX);
	e->ex.reply_start_ns = e->ex.reply_end_ns = r->now;
	e->ex.reply_tid = tid;
	e->ex.end = END_PAIRED;
	trace_done(r->trace, &e->ex);
	span.start_ns = e->ex.request_start_ns;
	span.end_ns = e->ex.reply_end_ns;
	trace_span(r->trace, &e->ex, &span);
	free(e);
}

static inline struct rig_ex *rig_ask(struct rig *r, enum role role, uint32_t pid, uint32_t tid,
	uint16_t port, uint32_t seq, enum rig_wait wait, const char *name, const char *target)
{
	struct rig_ex *e = rig_ex(r, role, pid, tid, port, seq, wait, name, target);

	rig_asked(r, e);
	return e;
}

static inline const struct rig_out *rig_find(const struct rig *r, const char *name)
{
	for (unsigned i = 0; i < r->n; i++)
		if (!strcmp(r->out[i].name, name))
			return &r->out[i];
	return NULL;
}

static inline const struct rig_out *rig_get(const struct rig *r, const char *name)
{
	const struct rig_out *o = rig_find(r, name);

	cr_assert(o, "no span %s", name);
	return o;
}

static inline void rig_child(
	const struct rig *r, const char *child, const char *parent, enum link link)
{
	const struct rig_out *c = rig_get(r, child), *p = rig_get(r, parent);

	cr_assert(c->has_parent, "%s has no parent", child);
	cr_assert_arr_eq(
		c->parent_id, p->span_id, SPAN_ID_LEN, "%s is not below %s", child, parent);
	cr_assert_arr_eq(c->trace_id, p->trace_id, TRACE_ID_LEN, "%s is in another trace than %s",
		child, parent);
	cr_assert_eq(c->link, link, "%s by %s", child, link_name(c->link));
}

static inline void rig_root(const struct rig *r, const char *name)
{
	cr_assert(!rig_get(r, name)->has_parent, "%s has a parent", name);
}

/* Everything goes out, each id once, no trace is torn, and every node is free again. */
static inline void rig_close(struct rig *r)
{
	struct rig_ex *all[RIG_EXCHANGES + 2 * RIG_HELD];

	trace_tick(r->trace, r->now, true);
	cr_assert_eq(trace_held(r->trace), 0);
	for (unsigned i = 0; i < r->n; i++)
		for (unsigned k = 0; k < r->n; k++) {
			if (i != k)
				cr_assert(memcmp(r->out[i].span_id, r->out[k].span_id,
						  SPAN_ID_LEN) != 0,
					"%s and %s: one id", r->out[i].name, r->out[k].name);
			if (r->out[i].has_parent &&
				!memcmp(r->out[i].parent_id, r->out[k].span_id, SPAN_ID_LEN))
				cr_assert_arr_eq(r->out[i].trace_id, r->out[k].trace_id,
					TRACE_ID_LEN, "%s and %s: two traces", r->out[i].name,
					r->out[k].name);
		}
	for (unsigned i = 0; i < RIG_EXCHANGES + 2 * RIG_HELD; i++) {
		all[i] = rig_ask(r, ROLE_CLIENT, 9999, 9999, 1, 0, BLOCKS, "", "/");
		cr_assert(all[i]->ex.node, "only %u nodes are free", i);
	}
	for (unsigned i = 0; i < RIG_EXCHANGES + 2 * RIG_HELD; i++)
		rig_done(r, all[i], 9999);
	cr_assert_eq(count_get(&r->counters, COUNT_SPANS_HELD_DROPPED), 0);
	trace_free(r->trace);
	free(r->out);
}
