/* SPDX-License-Identifier: Apache-2.0 */
/* Ends that waited beside a full ring buffer, with a queue of our own in place of the kernel's. */
#include "capture/kept.h"
#include "core/clock.h"

#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <errno.h>

static struct weft_shut queue[1024];
static unsigned queued, popped;
static struct weft_control control;
static struct kept kept;
static uint64_t told[1024];
static unsigned told_count;

/* libbpf's, for this program. */
int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value)
{
	cr_assert_eq(fd, 7);
	cr_assert_null(key);
	if (popped == queued) {
		errno = ENOENT;
		return -ENOENT;
	}
	memcpy(value, &queue[popped++], sizeof(queue[0]));
	return 0;
}

static void start(void)
{
	kept_init(&kept, 7, &control);
}

/* What the programs do where the ring is full. */
static void keep(uint64_t conn, uint64_t time_ns)
{
	queue[queued++] = (struct weft_shut){
		.head = {time_ns, WEFT_RECORD_CLOSE, 0, sizeof(queue[0]), 1, 1, 0}, .conn = conn};
	control.ends_kept++;
}

static void on_end(void *ctx, const void *record, size_t size)
{
	const struct weft_shut *end = record;

	(void)ctx;
	cr_assert_eq(size, end->head.size);
	cr_assert_lt(control.ends_taken, control.ends_kept, "not handled yet");
	told[told_count++] = end->conn;
}

static int turn(uint64_t now_ns, bool all)
{
	kept_fetch(&kept);
	return kept_deliver(&kept, now_ns, all, on_end, NULL);
}

TestSuite(kept, .init = start);

Test(kept, nothing)
{
	cr_assert_eq(turn(NS_PER_SEC, false), 0);
	cr_assert_eq(turn(NS_PER_SEC, true), 0);
}

Test(kept, in_order_and_behind_what_is_older)
{
	uint64_t now = NS_PER_SEC;

	keep(1, now - 2 * KEPT_MARGIN_NS);
	keep(2, now - KEPT_MARGIN_NS / 2);
	keep(3, now);
	cr_assert_eq(turn(now, false), 3, "it is worth looking again");
	cr_assert_eq(told_count, 1, "older records of the others may be unread");
	cr_assert_eq(control.ends_taken, 1);
	cr_assert_eq(turn(now + KEPT_MARGIN_NS, false), 2);
	cr_assert_eq(told_count, 2);
	cr_assert_eq(turn(now + KEPT_MARGIN_NS + 1, false), 1);
	cr_assert_eq(told_count, 3);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(told[i], i + 1);
	cr_assert_eq(control.ends_taken, control.ends_kept);
	cr_assert_eq(turn(2 * now, false), 0);
}

Test(kept, at_the_end_all)
{
	keep(1, NS_PER_SEC);
	cr_assert_eq(turn(0, true), 1);
	cr_assert_eq(told_count, 1);
}

Test(kept, a_bounded_number_a_turn)
{
	for (unsigned i = 0; i < 1000; i++)
		keep(i, i);
	cr_assert_eq(turn(NS_PER_SEC, false), KEPT_BATCH);
	cr_assert_eq(told_count, KEPT_BATCH);
	while (turn(NS_PER_SEC, false))
		;
	cr_assert_eq(told_count, 1000);
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_eq(told[i], i);
	cr_assert_eq(control.ends_taken, 1000);
}

Test(kept, counted_before_it_can_be_seen)
{
	control.ends_kept++; /* another CPU is between its two steps */
	cr_assert_eq(turn(NS_PER_SEC, false), 0);
	queue[queued++] = (struct weft_shut){.conn = 9};
	cr_assert_eq(turn(NS_PER_SEC, false), 1);
	cr_assert_eq(told[0], 9);
}
