/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/tasks.h"

#include "core/cleanup.h"
#include "core/table.h"

#include <errno.h>
#include <xxhash.h>

struct tasks {
	struct table by_pid, by_tid;
	struct task *v;
	struct thread *threads;
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
	if (!t->v || !t->threads || table_init(&t->by_pid, max_tasks) || table_init(&t->by_tid, max_threads)) {
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
	free(t->v);
	free(t->threads);
	free(t);
}

struct task *tasks_find(struct tasks *t, uint32_t pid)
{
	uint32_t i = table_find(&t->by_pid, pid);

	return i == TABLE_NONE ? NULL : &t->v[i];
}

struct task *tasks_process(struct tasks *t, uint32_t pid, bool born)
{
	struct task *task = tasks_find(t, pid);
	uint32_t i;

	if (task)
		return task;
	if (t->used_tasks < t->max_tasks) {
		i = t->used_tasks++;
	} else {
		uint32_t tries = 0;

		do {
			i = t->task_hand;
			t->task_hand = (t->task_hand + 1) % t->max_tasks;
		} while (t->v[i].open_count && ++tries < t->max_tasks);
		if (t->v[i].open_count)
			return NULL;
		if (t->v[i].pid)
			table_remove(&t->by_pid, t->v[i].pid);
	}
	task = &t->v[i];
	memset(task, 0, sizeof(*task));
	task->pid = pid;
	task->idle_since_ns = born ? 0 : t->start_ns;
	table_put(&t->by_pid, pid, i);
	return task;
}

void tasks_exit(struct tasks *t, uint32_t pid)
{
	struct task *task = tasks_find(t, pid);

	/* requests may still be open on sockets that others hold; the number can come again */
	if (!task)
		return;
	table_remove(&t->by_pid, pid);
	for (struct trace_node *n = task->open, *next; n; n = next) {
		next = n->next;
		n->open = false;
		n->prev = n->next = NULL;
	}
	memset(task, 0, sizeof(*task));
}

struct thread *tasks_thread(struct tasks *t, uint32_t pid, uint32_t tid)
{
	uint32_t i = table_find(&t->by_tid, tid);
	struct thread *thread;

	if (i == TABLE_NONE) {
		if (t->used_threads < t->max_threads) {
			i = t->used_threads++;
		} else {
			i = t->thread_hand;
			t->thread_hand = (t->thread_hand + 1) % t->max_threads;
			table_remove(&t->by_tid, t->threads[i].tid);
		}
		t->threads[i] = (struct thread){.tid = tid, .pid = pid};
		table_put(&t->by_tid, tid, i);
	}
	thread = &t->threads[i];
	if (thread->pid != pid) /* the number was used again */
		*thread = (struct thread){.tid = tid, .pid = pid};
	return thread;
}

void task_open(struct task *task, struct trace_node *node)
{
	node->open = true;
	node->prev = NULL;
	node->next = task->open;
	if (task->open)
		task->open->prev = node;
	task->open = node;
	task->open_count++;
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

uint32_t signature_of(const struct exchange *ex)
{
	XXH64_hash_t hash = XXH3_64bits_withSeed(ex->ends->remote_addr, ADDR_LEN, ex->ends->remote_port);
	struct slice path = ex->http.target, rest;

	rest = path;
	path = slice_cut(&rest, '?');
	hash = XXH3_64bits_withSeed(ex->http.method.ptr, ex->http.method.len, hash);
	/* segments with a digit are taken for names of things: their place counts, not their value */
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
