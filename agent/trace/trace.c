/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/trace.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "core/table.h"
#include "trace/claims.h"
#include "trace/ends.h"
#include "trace/forward.h"
#include "trace/hold.h"
#include "trace/node.h"
#include "trace/parents.h"
#include "trace/sampler.h"
#include "trace/tasks.h"

#include <errno.h>

#define SOCKET_WAIT_NS                                                                             \
	(2 * NS_PER_SEC) /* a preempted client records its send late, but not later */

#define CLAIMS 8192 /* span ids from headers that are remembered: seconds' worth */

struct trace {
	struct parents parents; /* pool, tasks and counters, shared with the rules */
	struct ends *clients; /* requests sent, whose server's end has not asked */
	struct ends *servers; /* requests received, whose client's end is expected */
	struct table local; /* addresses of the traced clients on this node */
	struct hold *hold;
	struct trace_options options;
	trace_release release;
	void *ctx;
	uint64_t now_ns; /* of the latest record: the stage reads no clock */
};

int trace_new(const struct trace_options *options, const struct trace_sizes *sizes, uint64_t now_ns,
	struct counters *counters, trace_release release, void *ctx, struct trace **ret_trace)
{
	struct trace *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	/* what is held can hang from a request whose own span is out */
	err = node_pool_new(sizes->max_exchanges + 2 * options->max_held, &t->parents.pool);
	if (!err)
		err = tasks_new(
			sizes->max_processes, options->max_threads, now_ns, &t->parents.tasks);
	if (!err)
		err = ends_new(options->max_ends, &t->clients);
	if (!err)
		err = ends_new(options->max_ends, &t->servers);
	if (!err)
		err = claims_new(CLAIMS, &t->parents.claims);
	if (!err)
		err = table_init(&t->local, sizes->max_connections);
	if (!err)
		err = hold_new(options->max_held, &t->hold);
	if (err) {
		trace_free(t);
		return err;
	}
	t->parents.counters = counters;
	t->options = *options;
	t->release = release;
	t->ctx = ctx;
	*ret_trace = t;
	return 0;
}

void trace_free(struct trace *t)
{
	if (!t)
		return;
	hold_free(t->hold);
	table_release(&t->local);
	ends_free(t->clients);
	ends_free(t->servers);
	claims_free(t->parents.claims);
	tasks_free(t->parents.tasks);
	node_pool_free(t->parents.pool);
	free(t);
}

void trace_reload(struct trace *t, const struct sampler_options *sampling)
{
	t->options.sampling = *sampling;
}

void trace_born(struct trace *t, uint32_t pid)
{
	/* what the number stood for before, or the program that it executed, is over */
	tasks_exit(t->parents.tasks, pid);
	tasks_process(t->parents.tasks, pid, true);
}

void trace_listens(struct trace *t, uint32_t pid, uint64_t time_ns)
{
	struct task *task = tasks_process(t->parents.tasks, pid, false);

	if (task && time_ns > task->idle_since_ns)
		task->idle_since_ns = time_ns;
}

void trace_exit(struct trace *t, uint32_t pid)
{
	tasks_exit(t->parents.tasks, pid);
}

void trace_unseen(struct trace *t, uint32_t pid, uint64_t time_ns)
{
	parents_unseen(&t->parents, pid, time_ns);
}

void trace_partial(struct trace *t, uint64_t time_ns)
{
	t->parents.partial_ns = time_ns;
}

void trace_opaque(struct trace *t, uint32_t pid, bool tunnel, bool on)
{
	struct task *task = tasks_process(t->parents.tasks, pid, false);
	uint32_t *n;

	if (!task)
		return;
	n = tunnel ? &task->tunnels : &task->opaque;
	if (on)
		++*n;
	else if (*n)
		--*n;
}

uint64_t trace_moved(struct trace *t, uint32_t pid, uint32_t tid, uint64_t time_ns, uint32_t age_ns)
{
	struct thread *thread = tasks_thread(t->parents.tasks, pid, tid);
	uint64_t at = time_ns;

	/* of a ring's worker nothing says when it last did something */
	if (tid && age_ns != UINT32_MAX && time_ns - age_ns > thread->last_ns)
		at = time_ns - age_ns;
	if (time_ns > thread->last_ns)
		thread->last_ns = time_ns;
	thread->adjacent_now = thread->adjacent;
	thread->adjacent = 0;
	thread->received = 0;
	if (time_ns > t->now_ns)
		t->now_ns = time_ns;
	return at;
}

uint64_t trace_connecting(struct trace *t, uint32_t pid, uint32_t tid, uint64_t time_ns)
{
	trace_moved(t, pid, tid, time_ns, UINT32_MAX);
	return tasks_thread(t->parents.tasks, pid, tid)->adjacent_now;
}

void trace_connected(struct trace *t, const struct endpoints *ends)
{
	table_put(&t->local, addr_key(ends->local_addr, ends->local_port, ends->netns), 1);
}

void trace_gone(struct trace *t, const struct endpoints *ends)
{
	table_remove(&t->local, addr_key(ends->local_addr, ends->local_port, ends->netns));
}

static struct end_key key_of(const struct exchange *ex, bool server)
{
	const struct endpoints *e = ex->ends;
	const uint8_t *client = server ? e->remote_addr : e->local_addr;
	struct end_key key = {
		.seq = (uint32_t)ex->request_pos,
		.opposite = ex->opposite,
		.client_port = server ? e->remote_port : e->local_port,
		/* a Unix socket's number is the machine's, and nothing translates it */
		.netns = e->path                    ? ENDS_UNIX
			 : addr_is_loopback(client) ? e->netns
						    : 0,
	};

	memcpy(key.client_addr, client, ADDR_LEN);
	return key;
}

/* Client node and server node are the two ends of one exchange. */
static void join(struct trace *t, struct trace_node *client, struct trace_node *server)
{
	/* once a span of the trace is out, its id stands */
	if (server->frozen || !node_set_parent(t->parents.pool, server, client, LINK_SOCKET))
		return;
	server->wait = WAIT_NOTHING;
	client->met = true;
	/* each end's clock reading brackets the other's: a request is not received before it left.
	 * A call that is over keeps its time. */
	if (client->ex && server->start_ns < client->start_ns)
		client->start_ns = server->start_ns;
}

static void server_asked(struct trace *t, struct exchange *ex, struct trace_node *n)
{
	struct end_key key = key_of(ex, true);
	struct trace_node *client = NULL;
	struct traceparent header;

	if (ex->http.traceparent.len && traceparent_parse(ex->http.traceparent, &header) == 0) {
		memcpy(n->trace_id, header.trace_id, TRACE_ID_LEN);
		memcpy(n->remote_id, header.parent_id, SPAN_ID_LEN);
		n->flags = header.flags;
		n->has_flags = n->has_remote = n->fixed = true;
		n->link = LINK_HEADER;
	}
	parents_server(&t->parents, ex, n);
	client = !ex->numbered ? NULL : node_deref(t->parents.pool, ends_take(t->clients, &key));
	if (client) {
		join(t, client, n);
		return;
	}
	n->claimed = n->has_remote && claims_take(t->parents.claims, n->remote_id);
	if (!ex->numbered)
		return;
	/* of a connection that is older than weft nothing says yet that its client is on this node
	 */
	if (ex->older || table_find(&t->local, addr_key(key.client_addr, key.client_port,
						       ex->ends->netns)) != TABLE_NONE) {
		n->wait = WAIT_SOCKET;
		n->wait_until_ns = t->now_ns + SOCKET_WAIT_NS;
		if (!ends_put(t->servers, &key, node_ref_of(t->parents.pool, n)))
			count(t->parents.counters, COUNT_ENDS_EVICTED);
	}
}

static void client_asked(struct trace *t, struct exchange *ex, struct trace_node *n)
{
	struct end_key key = key_of(ex, false);
	bool matched = ex->numbered && ex->kind == EXCHANGE_HTTP;
	struct trace_node *server;

	server = matched ? node_deref(t->parents.pool, ends_take(t->servers, &key)) : NULL;
	/* the server's end claimed the id for a caller that was not known yet: this one */
	if (server && server->claimed)
		memcpy(n->remote_id, server->remote_id, SPAN_ID_LEN);
	n->claimed = server && server->claimed;
	parents_client(&t->parents, ex, n, t->now_ns);
	if (!matched)
		return;
	table_put(&t->local, addr_key(key.client_addr, key.client_port, ex->ends->netns), 1);
	if (server)
		join(t, n, server);
	else
		ends_put(t->clients, &key, node_ref_of(t->parents.pool, n));
}

void trace_asked(struct trace *t, struct exchange *ex, const struct field *fields, unsigned n)
{
	struct trace_node *node = node_take(t->parents.pool);

	if (!node) { /* what waits for its trace waits no longer */
		trace_tick(t, t->now_ns, true);
		node = node_take(t->parents.pool);
	}
	ex->node = node;
	if (!node) {
		trace_unseen(t, ex->pid, t->now_ns);
		return; /* its span is counted as dropped */
	}
	node->ex = ex;
	node->left_out = ex->left_out;
	node->role = ex->role;
	node->pid = ex->pid;
	node->tid = ex->request_tid;
	node->start_ns = ex->request_start_ns;
	node->polled = ex->polled;
	node->nonblocking = ex->nonblocking;
	forward_note(node, ex, fields, n);
	if (ex->role == ROLE_SERVER)
		server_asked(t, ex, node);
	else
		client_asked(t, ex, node);
}

/* Whether the reply is one to a request line or fields that never came whole (RFC 9110, 15.5; RFC
 * 6585): the server's end then asks only with its reply, which the client can have recorded before.
 */
static bool cut_short(const struct exchange *ex)
{
	return ex->http.status == 400 || ex->http.status == 408 || ex->http.status == 414 ||
	       ex->http.status == 431;
}

void trace_done(struct trace *t, struct exchange *ex)
{
	struct trace_node *n = ex->node, *parent;
	uint64_t end = ex->reply_end_ns ? ex->reply_end_ns : ex->request_end_ns;

	if (!n)
		return;
	n->end_ns = end;
	if (ex->role == ROLE_SERVER)
		parents_server_done(&t->parents, n);
	else
		parents_client_done(&t->parents, ex, n);
	/* such a status can be an application's own: not where many of them leave no room to wait
	 */
	if (ex->role == ROLE_CLIENT && ex->numbered && cut_short(ex) &&
		hold_count(t->hold) < t->options.max_held / 4)
		n->met_by_ns = t->now_ns + SOCKET_WAIT_NS;
	n->ex = NULL;
	/* Times of the two ends of one exchange nest. Sends are timed by their last segment, so
	 * what is left to mend is the order of records within microseconds. */
	if (n->start_ns < ex->request_start_ns)
		ex->request_start_ns = n->start_ns;
	parent = n->parent;
	n->whole = ex->end == END_PAIRED;
	/* a server may well work on for a client that has given up */
	if (n->link == LINK_SOCKET && parent && parent->whole && ex->reply_end_ns > parent->end_ns)
		ex->reply_end_ns = parent->end_ns;
	if (n->link != LINK_HEADER && parent && ex->request_start_ns < parent->start_ns)
		ex->request_start_ns = parent->start_ns;
	n->start_ns = ex->request_start_ns;
	if (n->whole && ex->reply_end_ns < n->reply_by_ns)
		ex->reply_end_ns = n->reply_by_ns;
	n->end_ns = ex->reply_end_ns ? ex->reply_end_ns : end;
	if (n->link == LINK_SOCKET && parent && !parent->end_ns && n->whole)
		parent->reply_by_ns = n->end_ns;
}

/* Whether nothing about the node or what it hangs from can change any more. */
static bool settled(struct trace *t, struct trace_node *n, uint64_t now_ns)
{
	for (; n; n = n->parent) {
		if (n->wait == WAIT_PROOF)
			parents_judge(&t->parents, n, now_ns);
		else if (n->wait == WAIT_SOCKET && now_ns >= n->wait_until_ns)
			n->wait = WAIT_NOTHING;
		/* last, so that a proof is judged when it is there */
		if (n->wait != WAIT_NOTHING || (!n->met && now_ns < n->met_by_ns))
			return false;
	}
	return true;
}

static bool left_out(const struct trace_node *n)
{
	for (; n; n = n->parent)
		if (n->left_out)
			return true;
	return false;
}

static void send_out(struct trace *t, struct trace_node *n, struct span *span)
{
	static const enum counter by_link[LINK_MAX] = {
		[LINK_NONE] = COUNT_LINK_ROOT,
		[LINK_HEADER] = COUNT_LINK_HEADER,
		[LINK_SOCKET] = COUNT_LINK_SOCKET,
		[LINK_THREAD] = COUNT_LINK_THREAD,
		[LINK_FORWARD] = COUNT_LINK_FORWARD,
	};
	struct trace_node *root = node_root(n);
	struct sampler_parent from = {root->has_flags, root->flags & TRACE_SAMPLED};

	root->frozen = true;
	memcpy(span->trace_id, root->trace_id, TRACE_ID_LEN);
	memcpy(span->span_id, n->span_id, SPAN_ID_LEN);
	span->link = n->link;
	span->has_parent = n->parent || n->has_remote;
	span->parent_remote = !n->parent && n->has_remote;
	if (n->parent)
		memcpy(span->parent_id, n->parent->span_id, SPAN_ID_LEN);
	else if (n->has_remote)
		memcpy(span->parent_id, n->remote_id, SPAN_ID_LEN);
	count(t->parents.counters, COUNT_SPANS_RELEASED);
	count(t->parents.counters, by_link[n->link]);
	if (left_out(n)) {
		count(t->parents.counters, COUNT_SPANS_PROBES);
		return;
	}
	if (!sampler_decide(&t->options.sampling, from, root->trace_id)) {
		count(t->parents.counters, COUNT_SPANS_SAMPLED_OUT);
		return;
	}
	span->trace_flags = (uint8_t)((root->has_flags ? root->flags : 0) | TRACE_SAMPLED);
	t->release(t->ctx, span);
}

void trace_span(struct trace *t, struct exchange *ex, struct span *span)
{
	struct trace_node *n = TAKE_PTR(ex->node);

	count(t->parents.counters, COUNT_SPANS_MADE);
	if (!n) {
		count(t->parents.counters, COUNT_SPANS_HELD_DROPPED);
		return;
	}
	/* a state without the parent that it belongs to means nothing */
	span->trace_state =
		n->has_flags ? tracestate_check(ex->http.tracestate) : (struct slice){NULL, 0};
	if (!settled(t, n, t->now_ns)) {
		if (hold_put(t->hold, span, n) == 0)
			return;
		/* no room to wait: what is known by now must do */
		settled(t, n, UINT64_MAX);
	}
	send_out(t, n, span);
	node_unref(t->parents.pool, n);
}

struct tick {
	struct trace *trace;
	uint64_t now_ns;
	bool all;
};

static bool tick_ready(void *ctx, struct trace_node *n)
{
	const struct tick *tick = ctx;

	return settled(tick->trace, n, tick->all ? UINT64_MAX : tick->now_ns);
}

static void tick_take(void *ctx, struct trace_node *n, struct span *span)
{
	const struct tick *tick = ctx;

	send_out(tick->trace, n, span);
	node_unref(tick->trace->parents.pool, n);
}

static const struct hold_ops TICK_OPS = {.ready = tick_ready, .take = tick_take};

void trace_tick(struct trace *t, uint64_t now_ns, bool all)
{
	struct tick tick = {t, now_ns, all};

	if (now_ns > t->now_ns)
		t->now_ns = now_ns;
	hold_each(t->hold, &TICK_OPS, &tick);
}

unsigned trace_held(const struct trace *t)
{
	return hold_count(t->hold);
}
