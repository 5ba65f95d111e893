/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/parents.h"

#include "core/clock.h"
#include "trace/forward.h"
#include "trace/tasks.h"

#define QUIET_NS (1 * NS_PER_SEC) /* without an open request, for work left over to have ended */
#define PROOF_NS (5 * NS_PER_SEC) /* longest wait for a proof */

void parents_server(struct parents *p, const struct exchange *ex, struct trace_node *n)
{
	struct thread *thread = tasks_thread(p->tasks, ex->pid, ex->request_tid);
	struct task *task = tasks_process(p->tasks, ex->pid, false);
	struct trace_node *earlier = node_deref(p->pool, thread->current);

	if (!task)
		return;
	if (earlier && earlier->open)
		thread->multiplexing = true;
	n->quiet = !task->open_count && n->start_ns > task->idle_since_ns + QUIET_NS;
	task_open(task, n);
	thread->current = thread->adjacent = node_ref_of(p->pool, n);
}

void parents_server_done(struct parents *p, struct trace_node *n)
{
	struct task *task = tasks_find(p->tasks, n->pid);

	if (task)
		task_close(task, n, n->end_ns);
}

/* An open request of the task whose trace this is; several: *ret_several. */
static struct trace_node *by_trace(const struct task *task, const uint8_t *trace_id, bool *ret_several)
{
	struct trace_node *found = NULL;

	*ret_several = false;
	for (struct trace_node *n = task->open; n; n = n->next) {
		const struct trace_node *root = node_root(n);

		if (!root->fixed || memcmp(root->trace_id, trace_id, TRACE_ID_LEN) != 0)
			continue;
		if (found)
			*ret_several = true;
		found = n;
	}
	return found;
}

/* The one open request that was passed on; of several, the one the thread received right before. */
static struct trace_node *by_forward(struct parents *p, const struct task *task, const struct exchange *ex,
	const struct trace_node *call, bool *ret_several)
{
	struct thread *thread = tasks_thread(p->tasks, ex->pid, ex->request_tid);
	const struct trace_node *adjacent = node_deref(p->pool, thread->adjacent_now);
	const struct trace_node *at_connect = node_deref(p->pool, ex->connect_evidence);
	struct trace_node *found = NULL, *told = NULL;
	unsigned fits = 0;

	for (struct trace_node *n = task->open; n; n = n->next) {
		if (!n->ex || !forward_matches(n, call))
			continue;
		fits++;
		found = n;
		if (n == (ex->connect_ns ? at_connect : adjacent))
			told = n;
	}
	*ret_several = fits > 1 && !told;
	return fits == 1 ? found : told;
}

/* The request that the thread works for: it received it, and has not answered it yet. */
static struct trace_node *by_thread(struct parents *p, const struct exchange *ex)
{
	struct thread *thread = tasks_thread(p->tasks, ex->pid, ex->request_tid);
	struct trace_node *current = node_deref(p->pool, thread->current);

	return !thread->multiplexing && current && current->open && current->pid == ex->pid ? current : NULL;
}

static void link_to(struct parents *p, struct trace_node *n, struct trace_node *parent, enum link link)
{
	if (!node_set_parent(p->pool, n, parent, link))
		count(p->counters, COUNT_LINK_AMBIGUOUS);
}

/* The application put a traceparent on its call. True if that decides the matter. */
static bool by_header(struct parents *p, const struct task *task, const struct exchange *ex, struct trace_node *n)
{
	struct trace_node *parent = NULL;
	struct traceparent header;
	bool several = false, passed_on;

	if (!ex->http.traceparent.len || traceparent_parse(ex->http.traceparent, &header))
		return false;
	memcpy(n->trace_id, header.trace_id, TRACE_ID_LEN);
	n->fixed = n->has_flags = true;
	n->flags = header.flags;
	if (task)
		parent = by_trace(task, header.trace_id, &several);
	if (several) {
		/* several requests of one trace at once: told apart by what was passed on, or not at all */
		parent = by_forward(p, task, ex, n, &several);
		if (parent && memcmp(node_root(parent)->trace_id, header.trace_id, TRACE_ID_LEN) != 0)
			parent = NULL;
		if (!parent)
			count(p->counters, COUNT_LINK_AMBIGUOUS);
	}
	/* an unchanged header names the caller's span, not this call's */
	passed_on = parent && memcmp(parent->remote_id, header.parent_id, SPAN_ID_LEN) == 0;
	for (const struct trace_node *o = task ? task->open : NULL; o && !passed_on; o = o->next)
		passed_on = o->has_remote && memcmp(o->remote_id, header.parent_id, SPAN_ID_LEN) == 0;
	if (!passed_on)
		memcpy(n->span_id, header.parent_id, SPAN_ID_LEN);
	if (parent)
		link_to(p, n, parent, LINK_HEADER);
	return parent || several || passed_on;
}

/* A call with a header of its own made for a request without one brings the request its trace. */
static bool adopt(struct trace_node *n, struct trace_node *parent)
{
	struct trace_node *root = node_root(parent);

	if (!n->fixed)
		return true;
	if (root->fixed)
		return memcmp(root->trace_id, n->trace_id, TRACE_ID_LEN) == 0;
	if (root->frozen)
		return false;
	memcpy(root->trace_id, n->trace_id, TRACE_ID_LEN);
	root->fixed = root->has_flags = true;
	root->flags = n->flags;
	return true;
}

void parents_client(struct parents *p, const struct exchange *ex, struct trace_node *n, uint64_t now_ns)
{
	struct task *task = tasks_find(p->tasks, ex->pid);
	struct trace_node *forward = NULL, *thread;
	bool several = false;

	n->signature = signature_of(ex);
	if (by_header(p, task, ex, n) || !task)
		return;
	if (!task->open_count) {
		task_mark(task, n->signature, SIGNATURE_BROKEN);
		return;
	}
	thread = by_thread(p, ex);
	if (!ex->polled && thread) {
		if (adopt(n, thread))
			link_to(p, n, thread, LINK_THREAD);
		return;
	}
	if (ex->kind == EXCHANGE_HTTP)
		forward = by_forward(p, task, ex, n, &several);
	if (forward) {
		if (adopt(n, forward))
			link_to(p, n, forward, LINK_FORWARD);
		return;
	}
	if (several)
		count(p->counters, COUNT_LINK_AMBIGUOUS);
	/* a thread that waits for its answers, yet received no request, works for itself */
	if (several || task->open_count != 1 || !(ex->polled || thread) || !adopt(n, task->open))
		return;
	link_to(p, n, task->open, LINK_THREAD);
	if (task->open->quiet && task_signature(task, n->signature) != SIGNATURE_BROKEN) {
		task_mark(task, n->signature, SIGNATURE_PROVEN);
		return;
	}
	n->wait = WAIT_PROOF;
	n->wait_until_ns = now_ns + PROOF_NS;
	parents_judge(p, n, now_ns);
}

static void unlink_node(struct parents *p, struct trace_node *n)
{
	node_set_parent(p->pool, n, NULL, LINK_NONE);
	n->wait = WAIT_NOTHING;
	count(p->counters, COUNT_LINK_AMBIGUOUS);
}

void parents_client_done(struct parents *p, struct trace_node *n)
{
	struct task *task = tasks_find(p->tasks, n->pid);

	/* the request was answered without waiting for this call: was it made for it at all? */
	if (task && n->wait == WAIT_PROOF && n->parent && !n->parent->open) {
		task_mark(task, n->signature, SIGNATURE_BROKEN);
		unlink_node(p, n);
	}
}

void parents_judge(struct parents *p, struct trace_node *n, uint64_t now_ns)
{
	struct task *task = tasks_find(p->tasks, n->pid);
	enum signature_state state = task ? task_signature(task, n->signature) : SIGNATURE_NEW;

	if (state == SIGNATURE_PROVEN)
		n->wait = WAIT_NOTHING;
	else if (now_ns >= n->wait_until_ns || state == SIGNATURE_BROKEN)
		unlink_node(p, n);
}
