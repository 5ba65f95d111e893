/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/tasks.h"

#include "core/cleanup.h"
#include "core/table.h"

#include <errno.h>
#include <xxhash.h>

struct tasks {
	struct table by_pid, by_tid;
	struct trace_node **indexes[NODE_INDEXES]; /* hash tables of open requests */
	uint32_t index_mask;
	uint32_t *free_tasks, free_count; /* of processes that ended */
	struct task *v;
	struct thread *threads, *free_threads; /* free: of processes that ended */
	struct thread nobody;
	uint32_t max_tasks, used_tasks, task_hand;
	uint32_t max_threads, used_threads, thread_hand;
	uint64_t start_ns;
};

int tasks_new(unsigned max_tasks, unsigned max_threads, uint64_t now_ns, struct tasks **ret_tasks)
{
	struct tasks *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->v = calloc(max_tasks, sizeof(t->v[0]));
	t->threads = calloc(max_threads, sizeof(t->threads[0]));
	for (t->index_mask = 64; t->index_mask < max_threads; t->index_mask *= 2)
		;
	for (unsigned i = 0; i < NODE_INDEXES; i++)
		t->indexes[i] = calloc(t->index_mask, sizeof(t->indexes[i][0]));
	t->index_mask--;
	t->free_tasks = malloc(max_tasks * sizeof(t->free_tasks[0]));
	if (!t->v || !t->threads || !t->indexes[INDEX_TRACE] || !t->indexes[INDEX_HEAD] ||
		!t->free_tasks || table_init(&t->by_pid, max_tasks) ||
		table_init(&t->by_tid, max_threads)) {
		tasks_free(t);
		return -ENOMEM;
	}
	t->max_tasks = max_tasks;
	t->max_threads = max_threads;
	t->start_ns = now_ns;
	*ret_tasks = t;
	return 0;
}

void tasks_free(struct tasks *t)
{
	if (!t)
		return;
	table_release(&t->by_pid);
	table_release(&t->by_tid);
	for (unsigned i = 0; i < NODE_INDEXES; i++)
		free(t->indexes[i]);
	free(t->free_tasks);
	free(t->v);
	free(t->threads);
	free(t);
}

struct task *tasks_find(struct tasks *t, uint32_t pid)
{
	uint32_t i = table_find(&t->by_pid, pid);

	return i == TABLE_NONE ? NULL : &t->v[i];
}

static bool is_busy(const struct task *task)
{
	return task->open_count || task->opaque || task->tunnels;
}

struct task *tasks_process(struct tasks *t, uint32_t pid, bool born)
{
	struct task *task = tasks_find(t, pid);
	uint32_t i;

	if (task)
		return task;
	if (t->free_count) {
		i = t->free_tasks[--t->free_count];
	} else if (t->used_tasks < t->max_tasks) {
		i = t->used_tasks++;
	} else {
		uint32_t tries = 0;

		do {
			i = t->task_hand;
			t->task_hand = (t->task_hand + 1) % t->max_tasks;
		} while (is_busy(&t->v[i]) && ++tries < t->max_tasks);
		if (is_busy(&t->v[i]))
			return NULL;
		table_remove(&t->by_pid, t->v[i].pid);
	}
	task = &t->v[i];
	memset(task, 0, sizeof(*task));
	task->pid = pid;
	task->idle_since_ns = born ? 0 : t->start_ns;
	table_put(&t->by_pid, pid, i);
	return task;
}

static void unindex(struct trace_node *node)
{
	for (unsigned i = 0; i < NODE_INDEXES; i++) {
		struct node_link *link = &node->links[i];

		if (!link->at)
			continue;
		*link->at = link->next;
		if (link->next)
			link->next->links[i].at = link->at;
		*link = (struct node_link){NULL, NULL};
	}
}

/* A process that is not known keeps no list: its threads go when others need their room. */
static void thread_start(struct tasks *t, struct thread *thread, uint32_t pid, uint32_t tid)
{
	struct task *task = tasks_find(t, pid);

	*thread = (struct thread){.tid = tid, .pid = pid};
	if (!task)
		return;
	thread->next = task->threads;
	if (task->threads)
		task->threads->prev = thread;
	task->threads = thread;
}

static void thread_leave(struct tasks *t, struct thread *thread)
{
	struct task *task = tasks_find(t, thread->pid);

	if (thread->prev)
		thread->prev->next = thread->next;
	else if (task && task->threads == thread)
		task->threads = thread->next;
	if (thread->next)
		thread->next->prev = thread->prev;
}

static void thread_forget(struct tasks *t, struct thread *thread)
{
	thread_leave(t, thread);
	table_remove(&t->by_tid, thread->tid);
	*thread = (struct thread){.next = t->free_threads};
	t->free_threads = thread;
}

void tasks_exit(struct tasks *t, uint32_t pid)
{
	struct task *task = tasks_find(t, pid);
	uint32_t main_thread = table_find(&t->by_tid, pid);

	/* the only one whose number lives on, in the program that the process executed */
	if (main_thread != TABLE_NONE)
		thread_forget(t, &t->threads[main_thread]);
	/* requests may still be open on sockets that others hold; the number can come again */
	if (!task)
		return;
	while (task->threads)
		thread_forget(t, task->threads);
	table_remove(&t->by_pid, pid);
	for (struct trace_node *n = task->open, *next; n; n = next) {
		next = n->next;
		n->open = false;
		n->prev = n->next = NULL;
		unindex(n);
	}
	memset(task, 0, sizeof(*task));
	t->free_tasks[t->free_count++] = (uint32_t)(task - t->v);
}

/* Second chance: one that nothing was recorded of since the search last came by. */
static struct thread *quiet_thread(struct tasks *t)
{
	uint32_t i = t->thread_hand;

	while (t->threads[i].touched) {
		t->threads[i].touched = false;
		i = (i + 1) % t->max_threads;
	}
	t->thread_hand = (i + 1) % t->max_threads;
	return &t->threads[i];
}

struct thread *tasks_thread(struct tasks *t, uint32_t pid, uint32_t tid)
{
	uint32_t i;
	struct thread *thread;

	if (!tid) { /* of whom nothing is remembered */
		t->nobody = (struct thread){.pid = pid};
		return &t->nobody;
	}
	i = table_find(&t->by_tid, tid);
	if (i != TABLE_NONE) {
		thread = &t->threads[i];
		if (thread->pid != pid) { /* the number was used again */
			thread_leave(t, thread);
			thread_start(t, thread, pid, tid);
		}
		thread->touched = true;
		return thread;
	}
	if (t->free_threads) {
		thread = t->free_threads;
		t->free_threads = thread->next;
	} else if (t->used_threads < t->max_threads) {
		thread = &t->threads[t->used_threads++];
	} else {
		thread = quiet_thread(t);
		thread_leave(t, thread);
		table_remove(&t->by_tid, thread->tid);
	}
	thread_start(t, thread, pid, tid);
	table_put(&t->by_tid, tid, (uint32_t)(thread - t->threads));
	return thread;
}

static void index_put(
	struct tasks *t, enum node_index which, uint32_t hash, struct trace_node *node)
{
	struct trace_node **at = &t->indexes[which][hash & t->index_mask];
	struct node_link *link = &node->links[which];

	link->next = *at;
	link->at = at;
	if (*at)
		(*at)->links[which].at = &link->next;
	*at = node;
}

static uint32_t trace_hash(const uint8_t *trace_id)
{
	return (uint32_t)XXH3_64bits(trace_id, TRACE_ID_LEN);
}

void tasks_fixed(struct tasks *t, struct trace_node *node)
{
	if (node->open && node->fixed && !node->links[INDEX_TRACE].at)
		index_put(t, INDEX_TRACE, trace_hash(node->trace_id), node);
}

struct trace_node *tasks_by_trace(
	const struct tasks *t, const uint8_t trace_id[static TRACE_ID_LEN])
{
	return t->indexes[INDEX_TRACE][trace_hash(trace_id) & t->index_mask];
}

struct trace_node *tasks_by_head(const struct tasks *t, uint32_t head)
{
	return t->indexes[INDEX_HEAD][head & t->index_mask];
}

void tasks_open(struct tasks *t, struct task *task, struct trace_node *node)
{
	node->open = true;
	node->prev = NULL;
	node->next = task->open;
	if (task->open)
		task->open->prev = node;
	task->open = node;
	task->open_count++;
	index_put(t, INDEX_HEAD, node->head, node);
	tasks_fixed(t, node);
}

void task_close(struct task *task, struct trace_node *node, uint64_t now_ns)
{
	if (!node->open)
		return;
	node->open = false;
	if (node->prev)
		node->prev->next = node->next;
	else
		task->open = node->next;
	if (node->next)
		node->next->prev = node->prev;
	node->prev = node->next = NULL;
	unindex(node);
	if (--task->open_count == 0)
		task->idle_since_ns = now_ns;
}

enum signature_state task_signature(const struct task *task, uint32_t hash)
{
	for (unsigned i = 0; i < task->signature_count; i++)
		if (task->signatures[i].hash == hash)
			return task->signatures[i].state;
	return SIGNATURE_NEW;
}

void task_mark(struct task *task, uint32_t hash, enum signature_state state)
{
	unsigned i;

	for (i = 0; i < task->signature_count; i++)
		if (task->signatures[i].hash == hash) {
			if (task->signatures[i].state != SIGNATURE_BROKEN)
				task->signatures[i].state = state;
			return;
		}
	if (task->signature_count < TASK_SIGNATURES) {
		i = task->signature_count++;
	} else {
		/* forget one, but no broken one if that can be helped */
		for (unsigned n = 0; n < TASK_SIGNATURES; n++) {
			i = task->signature_hand;
			task->signature_hand = (uint8_t)((i + 1) % TASK_SIGNATURES);
			if (task->signatures[i].state != SIGNATURE_BROKEN)
				break;
		}
	}
	task->signatures[i].hash = hash;
	task->signatures[i].state = state;
}

static uint32_t shape(const struct exchange *ex, XXH64_hash_t hash)
{
	struct slice path, rest = ex->http.target;

	path = slice_cut(&rest, '?');
	hash = XXH3_64bits_withSeed(ex->http.method.ptr, ex->http.method.len, hash);
	/* segments with a digit are taken for names of things: their place counts, not their value
	 */
	while (path.len) {
		struct slice segment = slice_cut(&path, '/');
		bool name = false;

		for (size_t i = 0; i < segment.len; i++)
			name |= segment.ptr[i] >= '0' && segment.ptr[i] <= '9';
		if (name)
			segment = SLICE("{}");
		hash = XXH3_64bits_withSeed(segment.ptr, segment.len, hash + 1);
	}
	return (uint32_t)hash;
}

uint32_t signature_of(const struct exchange *ex)
{
	const struct endpoints *to = ex->ends;

	if (ex->role == ROLE_SERVER)
		return shape(ex, 0);
	return shape(
		ex, to->path ? to->path_hash
			     : XXH3_64bits_withSeed(to->remote_addr, ADDR_LEN, to->remote_port));
}

uint32_t signature_within(uint32_t call, uint32_t request)
{
	return (uint32_t)XXH3_64bits_withSeed(&request, sizeof(request), call);
}
