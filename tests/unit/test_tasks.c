/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/tasks.h"

#include <criterion/criterion.h>
#include <string.h>

Test(tasks, processes_that_ended_make_room_first)
{
	struct tasks *t;

	cr_assert_eq(tasks_new(4, 4, 5, &t), 0);
	tasks_process(t, 1, false)->serving[0].in_place = 3;
	for (uint32_t pid = 100; pid < 1000; pid++) {
		cr_assert_eq(tasks_process(t, pid, true)->idle_since_ns, 0);
		tasks_exit(t, pid);
		cr_assert_null(tasks_find(t, pid));
	}
	cr_assert_eq(tasks_find(t, 1)->serving[0].in_place, 3);
	cr_assert_eq(tasks_find(t, 1)->idle_since_ns, 5);
	for (uint32_t pid = 10; pid < 20; pid++)
		cr_assert_not_null(tasks_process(t, pid, false));
	cr_assert_null(tasks_find(t, 10));
	cr_assert_not_null(tasks_find(t, 19));
	tasks_free(t);
}

Test(tasks, one_with_open_requests_is_never_forgotten)
{
	static struct trace_node n[3];
	struct tasks *t;

	cr_assert_eq(tasks_new(2, 4, 0, &t), 0);
	tasks_open(t, tasks_process(t, 1, false), &n[0]);
	tasks_open(t, tasks_process(t, 2, false), &n[1]);
	cr_assert_null(tasks_process(t, 3, false));
	task_close(tasks_find(t, 2), &n[1], 77);
	cr_assert_not_null(tasks_process(t, 3, false));
	cr_assert_null(tasks_find(t, 2));
	cr_assert_not_null(tasks_find(t, 1));
	/* its end closes what was open, once */
	tasks_exit(t, 1);
	cr_assert_not(n[0].open);
	task_close(tasks_process(t, 1, false), &n[0], 1);
	cr_assert_eq(tasks_find(t, 1)->open_count, 0);
	tasks_free(t);
}

Test(tasks, open_requests_are_found_by_head_and_trace_while_they_are_open)
{
	static struct trace_node n[5];
	struct tasks *t;
	struct task *task;
	unsigned found = 0;

	cr_assert_eq(tasks_new(2, 4, 0, &t), 0);
	task = tasks_process(t, 1, false);
	for (unsigned i = 0; i < 5; i++) {
		n[i].head = 42;
		n[i].fixed = i & 1;
		tasks_open(t, task, &n[i]);
	}
	task_close(task, &n[2], 1);
	task_close(task, &n[4], 1);
	task_close(task, &n[0], 1);
	for (const struct trace_node *at = tasks_by_head(t, 42); at;
		at = at->links[INDEX_HEAD].next)
		found++;
	cr_assert_eq(found, 2);
	for (const struct trace_node *at = tasks_by_trace(t, n[0].trace_id); at;
		at = at->links[INDEX_TRACE].next)
		found++;
	cr_assert_eq(found, 4);
	tasks_exit(t, 1);
	cr_assert_null(tasks_by_head(t, 42));
	cr_assert_null(tasks_by_trace(t, n[0].trace_id));
	tasks_free(t);
}

Test(tasks, a_thread_at_work_outlives_ones_that_come_and_go)
{
	struct tasks *t;

	cr_assert_eq(tasks_new(2, 8, 0, &t), 0);
	tasks_thread(t, 1, 1)->current = 99;
	for (uint32_t tid = 100; tid < 1000; tid++) {
		tasks_thread(t, 1, tid);
		cr_assert_eq(tasks_thread(t, 1, 1)->current, 99, "at %u", tid);
	}
	/* another process' thread with the same number is another */
	cr_assert_eq(tasks_thread(t, 2, 1)->current, 0);
	tasks_free(t);
}

Test(tasks, threads_end_with_their_process)
{
	struct tasks *t;

	cr_assert_eq(tasks_new(4, 8, 0, &t), 0);
	for (uint32_t tid = 1; tid < 5; tid++) { /* one before its process is known */
		tasks_thread(t, 1, tid)->current = tid;
		tasks_process(t, 1, false);
	}
	for (uint32_t pid = 100; pid < 1000; pid += 10) {
		tasks_process(t, pid, false);
		for (uint32_t n = 0; n < 3; n++)
			tasks_thread(t, pid, pid + n)->current = pid;
		tasks_exit(t, pid);
		/* the room that they leave is enough for the next ones: those that live stay */
		for (uint32_t tid = 1; tid < 5; tid++)
			cr_assert_eq(tasks_thread(t, 1, tid)->current, tid, "at %u", pid);
		cr_assert_eq(tasks_thread(t, 1, pid + 1)->current, 0);
		tasks_process(t, 50, false);
		tasks_thread(t, 50, pid + 1)->current = 50; /* from one process to another */
		tasks_exit(t, 50);
		cr_assert_eq(tasks_thread(t, 1, 3)->current, 3);
	}
	tasks_exit(t, 1);
	for (uint32_t tid = 1; tid < 5; tid++)
		cr_assert_eq(tasks_thread(t, 1, tid)->current, 0);
	tasks_free(t);
}

Test(tasks, threads_outlast_the_process_that_was_forgotten_for_room)
{
	struct tasks *t;

	cr_assert_eq(tasks_new(1, 8, 0, &t), 0);
	tasks_process(t, 1, false);
	tasks_thread(t, 1, 1)->current = 1;
	tasks_thread(t, 1, 2)->current = 2;
	tasks_process(t, 3, false);
	cr_assert_null(tasks_find(t, 1));
	tasks_process(t, 1, false);
	tasks_thread(t, 1, 5)->current = 5;
	tasks_exit(t, 1);
	cr_assert_eq(tasks_thread(t, 1, 5)->current, 0);
	cr_assert_eq(tasks_thread(t, 1, 2)->current, 2);
	tasks_free(t);
}

Test(tasks, a_broken_signature_stays_broken)
{
	struct task task = {0};

	task_mark(&task, 1, SIGNATURE_PROVEN);
	cr_assert_eq(task_signature(&task, 1), SIGNATURE_PROVEN);
	task_mark(&task, 1, SIGNATURE_BROKEN);
	task_mark(&task, 1, SIGNATURE_PROVEN);
	cr_assert_eq(task_signature(&task, 1), SIGNATURE_BROKEN);
	for (uint32_t i = 2; i < 1000; i++)
		task_mark(&task, i, SIGNATURE_PROVEN);
	cr_assert_eq(task_signature(&task, 1), SIGNATURE_BROKEN);
	cr_assert_eq(task_signature(&task, 999), SIGNATURE_PROVEN);
	cr_assert_eq(task_signature(&task, 2), SIGNATURE_NEW);
}
