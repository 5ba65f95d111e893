/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/parents.h"

#include "core/clock.h"
#include "trace/claims.h"
#include "trace/forward.h"
#include "trace/tasks.h"

#define QUIET_NS      (1 * NS_PER_SEC) /* without an open request, for work left over to have ended */
#define FRESH_NS      (1 * NS_PER_SEC) /* age of a request up to which a call proves something */
#define ALONE_NS      (10 * NS_PER_SEC) /* age up to which the only request is taken for a call's */
#define PROOF_NS      (5 * NS_PER_SEC) /* longest wait for a proof */
#define UNSEEN_NS     (10 * NS_PER_SEC) /* a request that was missed is answered by then */
#define FORWARD_LOOKS 256 /* requests that are compared with a call, at most */

void parents_unseen(struct parents *p, uint32_t pid, uint64_t time_ns)
{
	struct task *task = pid ? tasks_process(p->tasks, pid, false) : NULL;

	if (task)
		task->unseen_ns = time_ns;
	else
		p->unseen_ns = time_ns;
}

static uint64_t unseen_ns(const struct parents *p, const struct task *task)
{
	return task->unseen_ns > p->unseen_ns ? task->unseen_ns : p->unseen_ns;
}

/* Whether every request that can be open in the process now was seen; and, beyond that, everything
 * that can make it call. */
static bool saw_requests(const struct parents *p, const struct task *task, uint64_t now_ns)
{
	uint64_t missed_ns = unseen_ns(p, task);

	if (p->partial_ns > missed_ns)
		missed_ns = p->partial_ns;
	return !task->opaque && (!missed_ns || now_ns > missed_ns + UNSEEN_NS);
}

static bool saw_all(const struct parents *p, const struct task *task, uint64_t now_ns)
{
	return !task->tunnels && saw_requests(p, task, now_ns);
}

void parents_server(struct parents *p, const struct exchange *ex, struct trace_node *n)
{
	struct thread *thread = tasks_thread(p->tasks, ex->pid, ex->request_tid);
	struct task *task = tasks_process(p->tasks, ex->pid, false);
	struct trace_node *earlier = node_deref(p->pool, thread->current);
	struct task_serving *serving;

	if (!task)
		return;
	serving = &task->serving[n->polled];
	if (!serving->tid)
		serving->tid = n->tid;
	serving->pool |= n->tid && serving->tid != n->tid;
	/* a ring's worker received it: the thread that asked is free for others meanwhile */
	serving->multiplexing |= !n->tid;
	if (earlier && earlier->open) {
		thread->multiplexing = true;
		serving->multiplexing |= n->nonblocking || n->polled;
	}
	if (n->tid && !n->polled && !n->nonblocking) {
		if (!task->blocking_tid)
			task->blocking_tid = n->tid;
		task->blocking_pool |= task->blocking_tid != n->tid;
	}
	n->signature = signature_of(ex);
	n->quiet = !task->open_count && task->idle_since_ns &&
		   n->start_ns > task->idle_since_ns + QUIET_NS;
	tasks_open(p->tasks, task, n);
	thread->current = node_ref_of(p->pool, n);
	/* of several in one record (pipelined), none is next to a call */
	thread->adjacent = thread->received++ ? 0 : thread->current;
}

void parents_server_done(struct parents *p, struct trace_node *n)
{
	struct task *task = tasks_find(p->tasks, n->pid);

	if (task)
		task_close(task, n, n->end_ns);
}

/* Whether the open request is the other end of this very call: a process that calls itself, whose
 * server's end was recorded first. */
static bool is_other_end(const struct trace_node *open, const struct exchange *call)
{
	return open->ex && (uint32_t)open->ex->request_pos == (uint32_t)call->request_pos &&
	       open->ex->ends->remote_port == call->ends->local_port &&
	       (call->ends->path ? !memcmp(open->ex->ends->remote_addr, call->ends->local_addr,
					   ADDR_LEN)
				 : open->ex->ends->local_port == call->ends->remote_port);
}

/* The process' open request whose trace this is: of several, the one that came with the very same
 * header, which was passed on then; else *ret_several. */
static struct trace_node *by_trace(struct parents *p, const struct exchange *ex,
	const struct traceparent *header, bool *ret_several)
{
	struct trace_node *found = NULL, *same = NULL;
	unsigned fits = 0, sames = 0;

	for (struct trace_node *n = tasks_by_trace(p->tasks, header->trace_id); n;
		n = n->links[INDEX_TRACE].next) {
		if (n->pid != ex->pid || memcmp(n->trace_id, header->trace_id, TRACE_ID_LEN) != 0 ||
			is_other_end(n, ex))
			continue;
		fits++;
		found = n;
		if (n->has_remote && memcmp(n->remote_id, header->parent_id, SPAN_ID_LEN) == 0) {
			sames++;
			same = n;
		}
		if (sames > 1)
			break;
	}
	if (sames == 1)
		return same;
	*ret_several = fits > 1;
	return fits == 1 ? found : NULL;
}

/* The one open request that was passed on; of several, the one the thread received right before. */
static struct trace_node *by_forward(struct parents *p, const struct exchange *ex,
	const struct trace_node *call, bool *ret_several)
{
	const struct thread *thread = tasks_thread(p->tasks, ex->pid, ex->request_tid);
	struct trace_node *told =
		node_deref(p->pool, ex->connect_ns ? ex->connect_evidence : thread->adjacent_now);
	struct trace_node *found = NULL;
	unsigned looks = 0;

	*ret_several = false;
	if (told && told->open && told->pid == ex->pid && !is_other_end(told, ex) &&
		forward_matches(told, call))
		return told;
	for (struct trace_node *n = tasks_by_head(p->tasks, call->head); n;
		n = n->links[INDEX_HEAD].next) {
		bool fits = n->pid == ex->pid && !is_other_end(n, ex) && forward_matches(n, call);

		if ((fits && found) || ++looks > FORWARD_LOOKS) {
			*ret_several = true;
			return NULL;
		}
		if (fits)
			found = n;
	}
	return found;
}

/* The request that the thread works for: it received it, and has not answered it yet. */
static struct trace_node *by_thread(
	struct parents *p, const struct task *task, const struct trace_node *call)
{
	const struct thread *thread = tasks_thread(p->tasks, call->pid, call->tid);
	struct trace_node *current = node_deref(p->pool, thread->current);
	bool its = !thread->multiplexing && current && current->open && current->pid == call->pid;

	its = its && current->start_ns > unseen_ns(p, task);
	return its && !is_other_end(current, call->ex) ? current : NULL;
}

/* Whether what the thread does while it has the request is done for the request; see tasks.h. */
static bool thread_proven(
	const struct task *task, const struct trace_node *request, const struct trace_node *call)
{
	const struct task_serving *serving = &task->serving[request->polled];
	/* how a connect that failed was waited for is not known: a timeout makes it non-blocking */
	bool waited = call->connect ? serving->in_place == TASK_IN_PLACE : !call->polled;

	if (!request->polled && !request->nonblocking)
		return true;
	if (serving->multiplexing || !waited)
		return false;
	/* A selector that hands a socket to a pool makes it block, and the pool's first read of it
	 * can come before the selector lets go of it. */
	if (request->polled && !request->nonblocking && task->blocking_pool)
		return true;
	return serving->pool ||
	       (!request->polled && (!call->nonblocking || serving->in_place == TASK_IN_PLACE));
}

/* Whether the thread never had two requests at once, so far. */
static bool thread_keeps(struct parents *p, const struct trace_node *call)
{
	const struct thread *thread = tasks_thread(p->tasks, call->pid, call->tid);

	return !thread->multiplexing;
}

/* Whether waiting can prove that the call was made for the thread's own request. */
static bool thread_provable(struct parents *p, const struct trace_node *call)
{
	return call->own && (call->connect || !call->polled) && thread_keeps(p, call);
}

static void link_to(
	struct parents *p, struct trace_node *n, struct trace_node *parent, enum link link)
{
	if (!node_set_parent(p->pool, n, parent, link))
		count(p->counters, COUNT_LINK_AMBIGUOUS);
}

static void link_own(struct parents *p, struct trace_node *n, struct trace_node *parent)
{
	link_to(p, n, parent, LINK_THREAD);
	n->own = n->parent == parent;
}

/* The application put a traceparent on its call. True if that decides the matter. */
static bool by_header(struct parents *p, const struct exchange *ex, struct trace_node *n)
{
	struct trace_node *parent;
	struct traceparent header;
	bool several = false;

	if (!ex->http.traceparent.len || traceparent_parse(ex->http.traceparent, &header))
		return false;
	memcpy(n->trace_id, header.trace_id, TRACE_ID_LEN);
	n->fixed = n->has_flags = true;
	n->flags = header.flags;
	/* the id is this call's, unless somebody showed it before: a caller whose header is passed
	 * on, an earlier try */
	if ((n->claimed && memcmp(n->remote_id, header.parent_id, SPAN_ID_LEN) == 0) ||
		claims_take(p->claims, header.parent_id))
		memcpy(n->span_id, header.parent_id, SPAN_ID_LEN);
	parent = by_trace(p, ex, &header, &several);
	if (several) {
		/* several requests of one trace at once: told apart by the thread, by what was
		 * passed on, or not at all */
		const struct task *task = tasks_find(p->tasks, ex->pid);
		const struct trace_node *thread = task ? by_thread(p, task, n) : NULL;

		if (thread && thread_proven(task, thread, n))
			return false;
		parent = task && saw_requests(p, task, n->start_ns) ? by_forward(p, ex, n, &several)
								    : NULL;
		if (parent && memcmp(parent->trace_id, header.trace_id, TRACE_ID_LEN) != 0)
			parent = NULL;
		several = true;
		if (!parent)
			count(p->counters, COUNT_LINK_AMBIGUOUS);
	}
	if (parent)
		link_to(p, n, parent, LINK_HEADER);
	return parent || several;
}

/* A call with a header of its own made for a request without one brings the request its trace. */
static bool adopt(struct parents *p, struct trace_node *n, struct trace_node *parent)
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
	/* the request's next call will name it, too */
	memcpy(parent->trace_id, n->trace_id, TRACE_ID_LEN);
	parent->fixed = true;
	tasks_fixed(p->tasks, parent);
	return true;
}

static void unlink_node(struct parents *p, struct trace_node *n)
{
	node_set_parent(p->pool, n, NULL, LINK_NONE);
	n->own = false;
	n->wait = WAIT_NOTHING;
	count(p->counters, COUNT_LINK_AMBIGUOUS);
}

/* The link is proven: only now may the call's own trace become its request's. */
static void settle(struct parents *p, struct trace_node *n)
{
	n->wait = WAIT_NOTHING;
	if (!adopt(p, n, n->parent))
		unlink_node(p, n);
}

void parents_client(
	struct parents *p, const struct exchange *ex, struct trace_node *n, uint64_t now_ns)
{
	struct task *task = tasks_find(p->tasks, ex->pid);
	struct trace_node *forward = NULL, *thread, *parent;
	bool several = false;

	n->signature = signature_of(ex);
	n->connect = ex->kind == EXCHANGE_CONNECT;
	if (by_header(p, ex, n) || !task)
		return;
	if (!task->open_count) {
		if (saw_requests(p, task, n->start_ns))
			task_mark(task, n->signature, SIGNATURE_BROKEN);
		return;
	}
	thread = by_thread(p, task, n);
	if (thread && thread_proven(task, thread, n)) {
		if (adopt(p, n, thread))
			link_own(p, n, thread);
		return;
	}
	if (!saw_requests(p, task, n->start_ns))
		count(p->counters, COUNT_LINK_UNSEEN);
	else if (ex->kind == EXCHANGE_HTTP)
		forward = by_forward(p, ex, n, &several);
	if (forward) {
		if (adopt(p, n, forward))
			link_to(p, n, forward, LINK_FORWARD);
		return;
	}
	if (several) {
		count(p->counters, COUNT_LINK_AMBIGUOUS);
		return;
	}
	n->alone = task->open_count == 1 && saw_all(p, task, n->start_ns);
	/* a thread that waits for its answers, yet received no request, works for itself */
	parent = thread ? thread : n->alone && n->polled ? task->open : NULL;
	if (!parent || is_other_end(parent, ex) || n->start_ns > parent->start_ns + ALONE_NS)
		return;
	if (thread)
		link_own(p, n, thread);
	else
		link_to(p, n, parent, LINK_THREAD);
	if (!n->parent)
		return;
	n->proves = n->alone && parent->quiet && n->start_ns < parent->start_ns + FRESH_NS;
	n->wait = WAIT_PROOF;
	n->wait_until_ns = now_ns + PROOF_NS;
	parents_judge(p, n, now_ns);
}

void parents_client_done(struct parents *p, const struct exchange *ex, struct trace_node *n)
{
	struct task *task = tasks_find(p->tasks, n->pid);
	struct trace_node *parent = n->parent;

	if (!task || !parent)
		return;
	if (n->own && parent->open && !n->polled && !n->connect && ex->reply_tid == n->tid &&
		thread_keeps(p, n)) {
		struct task_serving *serving = &task->serving[parent->polled];

		if (!parent->polled && !(parent->nonblocking && n->nonblocking))
			serving->in_place = TASK_IN_PLACE;
		else if (serving->in_place < TASK_IN_PLACE)
			serving->in_place++;
	}
	/* the request was answered without waiting for this call: was it made for it at all? */
	if (n->wait == WAIT_PROOF && parent->open && n->proves &&
		task_signature(task, n->signature) != SIGNATURE_BROKEN) {
		task_mark(
			task, signature_within(n->signature, parent->signature), SIGNATURE_PROVEN);
		settle(p, n);
	} else if (n->wait == WAIT_PROOF && !parent->open) {
		task_mark(task, n->signature, SIGNATURE_BROKEN);
		unlink_node(p, n);
	}
}

void parents_judge(struct parents *p, struct trace_node *n, uint64_t now_ns)
{
	struct task *task = tasks_find(p->tasks, n->pid);
	bool broken = task && task_signature(task, n->signature) == SIGNATURE_BROKEN;
	uint32_t within = signature_within(n->signature, n->parent->signature);

	if (task && n->own && thread_keeps(p, n) && thread_proven(task, n->parent, n))
		settle(p, n);
	else if (n->alone && task && !broken && task_signature(task, within) == SIGNATURE_PROVEN)
		settle(p, n);
	else if (now_ns >= n->wait_until_ns || (broken && !thread_provable(p, n)))
		unlink_node(p, n);
}
