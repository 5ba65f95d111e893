/* SPDX-License-Identifier: Apache-2.0 */
#include "trace_rig.h"

#define T1 "0af7651916cd43dd8448eb211c80319c"
#define S1 "b7ad6b7169203331"
#define S2 "00f067aa0ba902b7"
#define MS NS_PER_MS

Test(trace, a_blocking_thread_is_its_requests)
{
	struct rig r;
	struct rig_ex *s, *c, *leaf;

	rig_open(&r);
	s = rig_ask(&r, ROLE_SERVER, 10, 11, 5000, 1, BLOCKS, "server", "/a");
	r.now += MS;
	c = rig_ask(&r, ROLE_CLIENT, 10, 11, 6000, 2, POLL, "call", "/b");
	leaf = rig_ask(&r, ROLE_SERVER, 20, 20, 6000, 2, EPOLL, "leaf", "/b");
	r.now += MS;
	rig_done(&r, leaf, 20);
	rig_done(&r, c, 11);
	rig_done(&r, s, 11);
	/* at once: nothing had to be waited for */
	cr_assert_eq(r.n, 3);
	rig_root(&r, "server");
	rig_child(&r, "call", "server", LINK_THREAD);
	rig_child(&r, "leaf", "call", LINK_SOCKET);
	rig_close(&r);
}

Test(trace, what_comes_after_the_reply_or_from_another_thread_has_no_parent)
{
	struct rig r;
	struct rig_ex *s, *c;

	rig_open(&r);
	s = rig_ask(&r, ROLE_SERVER, 10, 11, 5000, 1, BLOCKS, "server", "/a");
	c = rig_ask(&r, ROLE_CLIENT, 10, 12, 6000, 2, BLOCKS, "beat", "/b");
	rig_done(&r, c, 12);
	rig_done(&r, s, 11);
	c = rig_ask(&r, ROLE_CLIENT, 10, 11, 6000, 3, BLOCKS, "after", "/b");
	rig_done(&r, c, 11);
	rig_close(&r);
}

Test(trace, the_servers_record_can_come_first)
{
	struct rig r;
	struct rig_ex *s, *c, *leaf;
	struct endpoints ends = {.local_port = 6000, .remote_port = 80, .netns = 1};

	rig_open(&r);
	rig_addr(ends.local_addr, 1);
	rig_addr(ends.remote_addr, 2);
	s = rig_ask(&r, ROLE_SERVER, 10, 11, 5000, 1, BLOCKS, "server", "/a");
	trace_connected(r.trace, &ends);
	leaf = rig_ask(&r, ROLE_SERVER, 20, 20, 6000, 2, EPOLL, "leaf", "/b");
	r.now += MS;
	rig_done(&r, leaf, 20);
	cr_assert_eq(r.n, 0);
	c = rig_ask(&r, ROLE_CLIENT, 10, 11, 6000, 2, BLOCKS, "call", "/b");
	rig_done(&r, c, 11);
	rig_done(&r, s, 11);
	trace_tick(r.trace, r.now, false);
	rig_child(&r, "call", "server", LINK_THREAD);
	rig_child(&r, "leaf", "call", LINK_SOCKET);
	rig_close(&r);
}

Test(trace, a_client_that_never_shows_is_waited_for_two_seconds)
{
	struct rig r;
	struct rig_ex *leaf, *call;
	struct endpoints ends = {.local_port = 6000, .remote_port = 80, .netns = 1};

	rig_open(&r);
	rig_addr(ends.local_addr, 1);
	trace_connected(r.trace, &ends);
	leaf = rig_ask(&r, ROLE_SERVER, 20, 20, 6000, 2, BLOCKS, "leaf", "/b");
	call = rig_ask(&r, ROLE_CLIENT, 20, 20, 7000, 3, BLOCKS, "call", "/c");
	rig_done(&r, call, 20);
	r.now += 1900 * MS;
	trace_tick(r.trace, r.now, false);
	cr_assert_eq(r.n, 0);
	r.now += 200 * MS;
	trace_tick(r.trace, r.now, false);
	cr_assert_eq(r.n, 1);
	/* too late: its trace is out */
	call = rig_ask(&r, ROLE_CLIENT, 10, 11, 6000, 2, BLOCKS, "late", "/b");
	rig_done(&r, leaf, 20);
	rig_done(&r, call, 11);
	rig_child(&r, "call", "leaf", LINK_THREAD);
	rig_root(&r, "leaf");
	rig_root(&r, "late");
	rig_close(&r);
}

Test(trace, on_an_older_connection_the_servers_record_can_come_first)
{
	struct rig r;
	struct rig_ex *leaf, *call;

	rig_open(&r);
	leaf = rig_ex(&r, ROLE_SERVER, 20, 20, 6000, 2, EPOLL, "leaf", "/b");
	leaf->ex.older = true;
	rig_asked(&r, leaf);
	r.now += MS;
	rig_done(&r, leaf, 20);
	cr_assert_eq(r.n, 0);
	call = rig_ask(&r, ROLE_CLIENT, 10, 11, 6000, 2, BLOCKS, "call", "/b");
	rig_done(&r, call, 11);
	trace_tick(r.trace, r.now, false);
	rig_child(&r, "leaf", "call", LINK_SOCKET);
	rig_close(&r);
}

Test(trace, a_call_whose_head_was_cut_short_waits_for_the_servers_record)
{
	struct rig r;
	struct rig_ex *call, *leaf;
	struct endpoints ends = {.local_port = 6000, .remote_port = 80, .netns = 1};

	rig_open(&r);
	rig_addr(ends.local_addr, 1);
	trace_connected(r.trace, &ends);
	call = rig_ask(&r, ROLE_CLIENT, 10, 11, 6000, 2, BLOCKS, "call", "/b");
	call->ex.http.status = 414;
	r.now += MS;
	rig_done(&r, call, 11);
	cr_assert_eq(r.n, 0);
	/* its clock reading is a little earlier, and its reply's later */
	leaf = rig_ex(&r, ROLE_SERVER, 20, 20, 6000, 2, EPOLL, "leaf", "/b");
	r.now -= 2 * MS;
	rig_asked(&r, leaf);
	r.now += 3 * MS;
	rig_done(&r, leaf, 20);
	trace_tick(r.trace, r.now, false);
	rig_child(&r, "leaf", "call", LINK_SOCKET);
	cr_assert_eq(rig_find(&r, "leaf")->start_ns, rig_find(&r, "call")->start_ns);
	cr_assert_eq(rig_find(&r, "leaf")->end_ns, rig_find(&r, "call")->end_ns);
	/* one of another node */
	call = rig_ask(&r, ROLE_CLIENT, 10, 11, 7000, 3, BLOCKS, "away", "/b");
	call->ex.http.status = 408;
	rig_done(&r, call, 11);
	r.now += 1900 * MS;
	trace_tick(r.trace, r.now, false);
	cr_assert_eq(r.n, 2);
	r.now += 200 * MS;
	trace_tick(r.trace, r.now, false);
	rig_root(&r, "away");
	rig_close(&r);
}

Test(trace, an_event_loop_is_not_its_only_requests_timer)
{
	struct rig r;
	struct rig_ex *s, *c;

	rig_open(&r);
	/* a synchronous call in a timer: no epoll watches it, but the loop's requests */
	s = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 1, EPOLL, "server", "/a");
	r.now += 2 * NS_PER_SEC;
	c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 2, POLL, "timer", "/metrics");
	rig_done(&r, c, 10);
	rig_done(&r, s, 10);
	rig_close(&r);
}

/* Number 0 stands for the workers of an io_uring. */
Test(trace, a_rings_worker_is_no_thread)
{
	struct rig r;
	struct rig_ex *a, *b, *c;

	rig_open(&r);
	/* whatever two workers do one after the other has nothing to do with one another */
	a = rig_ask(&r, ROLE_SERVER, 10, 0, 5000, 1, EPOLL, "a", "/a");
	c = rig_ask(&r, ROLE_CLIENT, 10, 0, 6000, 2, EPOLL, "call", "/b");
	b = rig_ask(&r, ROLE_SERVER, 10, 0, 5001, 3, EPOLL, "b", "/a");
	rig_done(&r, c, 0);
	rig_done(&r, a, 0);
	rig_done(&r, b, 0);
	/* several threads serve, but one of them has what a worker received as well */
	a = rig_ask(&r, ROLE_SERVER, 20, 21, 5002, 4, EPOLL, "c", "/a");
	b = rig_ask(&r, ROLE_SERVER, 20, 22, 5003, 5, EPOLL, "d", "/a");
	rig_done(&r, b, 22);
	b = rig_ask(&r, ROLE_SERVER, 20, 0, 5004, 6, EPOLL, "e", "/a");
	c = rig_ask(&r, ROLE_CLIENT, 20, 21, 6000, 7, POLL, "doubt", "/b");
	rig_done(&r, c, 21);
	rig_done(&r, a, 21);
	rig_done(&r, b, 0);
	r.now += 10 * NS_PER_SEC;
	trace_tick(r.trace, r.now, false);
	rig_root(&r, "call");
	rig_root(&r, "doubt");
	rig_close(&r);
}

Test(trace, an_event_loops_call_is_linked_where_it_had_no_other_request)
{
	struct rig r;
	struct rig_ex *s, *c;

	rig_open(&r);
	r.now += 2 * NS_PER_SEC;
	s = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 1, EPOLL, "one", "/a");
	c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 2, EPOLL, "call1", "/b/1");
	rig_done(&r, c, 10);
	rig_done(&r, s, 10);
	s = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 3, EPOLL, "two", "/a");
	c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 4, EPOLL, "call2", "/b/2");
	rig_done(&r, c, 10);
	rig_done(&r, s, 10);
	rig_child(&r, "call1", "one", LINK_THREAD);
	rig_child(&r, "call2", "two", LINK_THREAD);
	/* once it came while nothing was open, the kind is good for nothing */
	c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 5, EPOLL, "beat", "/b/3");
	rig_done(&r, c, 10);
	s = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 6, EPOLL, "three", "/a");
	c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 7, EPOLL, "call3", "/b/4");
	rig_done(&r, c, 10);
	rig_done(&r, s, 10);
	rig_root(&r, "beat");
	rig_root(&r, "call3");
	rig_close(&r);
}

/* What a process does by itself begins with the end of its start, as does the answer to whoever
 * waited for it: that request is not taken for quiet. */
static void start_up(unsigned listens_for_s, enum link want)
{
	struct rig r;
	struct rig_ex *s, *c;

	rig_open(&r);
	trace_born(r.trace, 10);
	r.now += 5 * NS_PER_SEC;
	if (listens_for_s)
		trace_listens(r.trace, 10, r.now - (listens_for_s * NS_PER_SEC - 1));
	s = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 1, EPOLL, "first", "/a");
	c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 2, EPOLL, "call", "/b/1");
	rig_done(&r, c, 10);
	rig_done(&r, s, 10);
	r.now += 10 * NS_PER_SEC;
	trace_tick(r.trace, r.now, false);
	s = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 3, EPOLL, "second", "/a");
	c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 4, EPOLL, "call2", "/b/2");
	rig_done(&r, c, 10);
	rig_done(&r, s, 10);
	if (want == LINK_NONE)
		rig_root(&r, "call");
	else
		rig_child(&r, "call", "first", want);
	rig_child(&r, "call2", "second", LINK_THREAD);
	rig_close(&r);
}

Test(trace, the_first_request_is_quiet_a_second_after_the_process_listens)
{
	start_up(0, LINK_NONE);
	start_up(1, LINK_NONE);
	start_up(2, LINK_THREAD);
}

/* A server that handles a connection's requests one after another has received the next one while
 * it still works for the one before, whose reply is out. */
Test(trace, a_kind_of_call_is_proven_within_a_kind_of_request)
{
	struct rig r;
	struct rig_ex *s, *c;

	rig_open(&r);
	r.now += 2 * NS_PER_SEC;
	s = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 1, EPOLL, "one", "/a/1");
	c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 2, EPOLL, "call1", "/b/1");
	rig_done(&r, c, 10);
	rig_done(&r, s, 10);
	s = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 3, EPOLL, "other", "/after/2");
	rig_done(&r, s, 10);
	s = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 4, EPOLL, "next", "/after/3");
	c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 5, EPOLL, "left over", "/b/2");
	rig_done(&r, c, 10);
	rig_done(&r, s, 10);
	s = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 6, EPOLL, "two", "/a/4");
	c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 7, EPOLL, "call2", "/b/3");
	rig_done(&r, c, 10);
	rig_done(&r, s, 10);
	r.now += 10 * NS_PER_SEC;
	trace_tick(r.trace, r.now, false);
	rig_child(&r, "call1", "one", LINK_THREAD);
	rig_child(&r, "call2", "two", LINK_THREAD);
	rig_root(&r, "left over");
	rig_close(&r);
}

Test(trace, a_call_that_the_request_did_not_wait_for_proves_nothing)
{
	struct rig r;
	struct rig_ex *s, *c;

	rig_open(&r);
	r.now += 2 * NS_PER_SEC;
	s = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 1, EPOLL, "one", "/a");
	c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 2, EPOLL, "beat", "/beat");
	rig_done(&r, s, 10);
	rig_done(&r, c, 10);
	rig_root(&r, "beat");
	rig_close(&r);
}

Test(trace, a_worker_without_epoll_proves_itself_by_waiting)
{
	struct rig r;
	char name[16], call[16];

	rig_open(&r);
	for (unsigned i = 0; i < 20; i++) {
		struct rig_ex *s, *c;

		snprintf(name, sizeof(name), "s%u", i);
		snprintf(call, sizeof(call), "c%u", i);
		s = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 2 * i + 1, POLL, name, "/a");
		r.now += MS;
		c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 2 * i + 2, POLL, call, "/b");
		r.now += MS;
		rig_done(&r, c, 10);
		rig_done(&r, s, 10);
	}
	trace_tick(r.trace, r.now, false);
	/* even those that were made before the proof */
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		snprintf(call, sizeof(call), "c%u", i);
		rig_child(&r, call, name, LINK_THREAD);
	}
	rig_close(&r);
}

Test(trace, calls_are_not_waited_for_where_a_quarter_of_the_room_is_taken)
{
	struct rig r;

	rig_open(&r);
	for (unsigned i = 0; i < RIG_HELD / 4 + 10; i++) {
		struct rig_ex *call =
			rig_ask(&r, ROLE_CLIENT, 10, 11, 6000, i + 1, BLOCKS, "call", "/b");

		call->ex.http.status = 400;
		rig_done(&r, call, 11);
	}
	cr_assert_eq(trace_held(r.trace), RIG_HELD / 4);
	cr_assert_eq(r.n, 10);
	rig_close(&r);
}

Test(trace, headers_give_ids_and_flags)
{
	struct rig r;
	struct rig_ex *s, *c, *again;

	rig_open(&r);
	s = rig_ex(&r, ROLE_SERVER, 10, 11, 5000, 1, BLOCKS, "server", "/a");
	rig_header(s, T1, S1, "01");
	snprintf(s->state, sizeof(s->state), "a=1");
	s->ex.http.tracestate = slice_str(s->state);
	rig_asked(&r, s);
	/* passed on unchanged, twice: no span takes the caller's id */
	c = rig_ex(&r, ROLE_CLIENT, 10, 11, 6000, 2, BLOCKS, "call", "/b");
	rig_header(c, T1, S1, "01");
	rig_asked(&r, c);
	rig_done(&r, c, 11);
	again = rig_ex(&r, ROLE_CLIENT, 10, 11, 6000, 3, BLOCKS, "again", "/b");
	rig_header(again, T1, S1, "01");
	rig_asked(&r, again);
	rig_done(&r, again, 11);
	rig_done(&r, s, 11);
	rig_child(&r, "call", "server", LINK_HEADER);
	rig_child(&r, "again", "server", LINK_HEADER);
	cr_assert(rig_get(&r, "server")->remote);
	cr_assert_eq(rig_get(&r, "server")->trace_id[0], 0x0a);
	cr_assert_eq(rig_get(&r, "server")->parent_id[0], 0xb7);
	cr_assert_str_eq(rig_get(&r, "server")->state, "a=1");
	cr_assert_str_eq(rig_get(&r, "call")->state, "");
	cr_assert_eq(rig_get(&r, "call")->flags, 1);
	rig_close(&r);
}

Test(trace, the_applications_own_header_names_its_call_and_its_trace)
{
	struct rig r;
	struct rig_ex *s, *c, *leaf, *retry;

	rig_open(&r);
	s = rig_ask(&r, ROLE_SERVER, 10, 11, 5000, 1, BLOCKS, "server", "/a");
	c = rig_ex(&r, ROLE_CLIENT, 10, 11, 6000, 2, BLOCKS, "call", "/b");
	rig_header(c, T1, S2, "01");
	rig_asked(&r, c);
	leaf = rig_ex(&r, ROLE_SERVER, 20, 20, 6000, 2, EPOLL, "leaf", "/b");
	rig_header(leaf, T1, S2, "01");
	rig_asked(&r, leaf);
	rig_done(&r, leaf, 20);
	rig_done(&r, c, 11);
	retry = rig_ex(&r, ROLE_CLIENT, 10, 11, 6000, 3, BLOCKS, "retry", "/b");
	rig_header(retry, T1, S2, "01");
	rig_asked(&r, retry);
	rig_done(&r, retry, 11);
	rig_done(&r, s, 11);
	rig_child(&r, "call", "server", LINK_THREAD);
	rig_child(&r, "leaf", "call", LINK_SOCKET);
	rig_child(&r, "retry", "server", LINK_HEADER);
	cr_assert_eq(rig_get(&r, "server")->trace_id[0], 0x0a);
	cr_assert_eq(rig_get(&r, "call")->span_id[1], 0xf0);
	rig_close(&r);
}

Test(trace, an_id_is_the_callers_even_where_the_servers_record_comes_first)
{
	struct rig r;
	struct rig_ex *c, *leaf;
	struct endpoints ends = {.local_port = 6000, .netns = 1};

	rig_open(&r);
	rig_addr(ends.local_addr, 1);
	trace_connected(r.trace, &ends);
	leaf = rig_ex(&r, ROLE_SERVER, 20, 20, 6000, 2, EPOLL, "leaf", "/b");
	rig_header(leaf, T1, S2, "01");
	rig_asked(&r, leaf);
	c = rig_ex(&r, ROLE_CLIENT, 10, 11, 6000, 2, BLOCKS, "call", "/b");
	rig_header(c, T1, S2, "01");
	rig_asked(&r, c);
	rig_done(&r, leaf, 20);
	rig_done(&r, c, 11);
	rig_child(&r, "leaf", "call", LINK_SOCKET);
	cr_assert_eq(rig_get(&r, "call")->span_id[1], 0xf0);
	rig_close(&r);
}

Test(trace, a_trace_that_its_caller_does_not_sample_is_not)
{
	struct rig r;
	struct rig_ex *s, *c;

	rig_open(&r);
	s = rig_ex(&r, ROLE_SERVER, 10, 11, 5000, 1, BLOCKS, "server", "/a");
	rig_header(s, T1, S1, "00");
	rig_asked(&r, s);
	c = rig_ask(&r, ROLE_CLIENT, 10, 11, 6000, 2, BLOCKS, "call", "/b");
	rig_done(&r, c, 11);
	rig_done(&r, s, 11);
	cr_assert_eq(r.n, 0);
	cr_assert_eq(count_get(&r.counters, COUNT_SPANS_SAMPLED_OUT), 2);
	rig_close(&r);
}

Test(trace, a_proxys_pipelined_twins_stay_unlinked)
{
	struct rig r;
	struct rig_ex *one, *two, *c;

	rig_open(&r);
	one = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 1, EPOLL, "one", "/a");
	/* the same record brings the second */
	two = rig_ex(&r, ROLE_SERVER, 10, 10, 5000, 50, EPOLL, "two", "/a");
	two->ex.request_start_ns = r.now;
	trace_asked(r.trace, &two->ex, &(struct field){SLICE("Accept"), SLICE("*/*")}, 1);
	c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 2, EPOLL, "call", "/a");
	rig_done(&r, c, 10);
	rig_done(&r, one, 10);
	rig_done(&r, two, 10);
	rig_close(&r);
	cr_assert_geq(count_get(&r.counters, COUNT_LINK_AMBIGUOUS), 1);
}

Test(trace, an_executed_program_inherits_nothing)
{
	struct rig r;
	struct rig_ex *s, *c;

	rig_open(&r);
	s = rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 1, BLOCKS, "server", "/a");
	trace_born(r.trace, 10);
	c = rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 2, BLOCKS, "call", "/b");
	rig_done(&r, c, 10);
	rig_done(&r, s, 10);
	rig_root(&r, "call");
	rig_close(&r);
}

Test(trace, where_no_more_can_wait_nothing_is_dropped)
{
	struct rig r;

	rig_open(&r);
	for (unsigned i = 0; i < 4 * RIG_HELD; i++) {
		struct rig_ex *s =
			rig_ask(&r, ROLE_SERVER, 10, 10, 5000, 2 * i + 1, EPOLL, "", "/a");
		struct rig_ex *c =
			rig_ask(&r, ROLE_CLIENT, 10, 10, 6000, 2 * i + 2, EPOLL, "", "/b");

		r.now += 1000;
		rig_done(&r, c, 10);
		rig_done(&r, s, 10);
	}
	trace_tick(r.trace, r.now, true);
	cr_assert_eq(r.n, 8 * RIG_HELD, "%u spans", r.n);
	r.n = 0;
	rig_close(&r);
}

/* A proxy's request and the very same one passed on, one millisecond apart. */
static void pass_on(struct rig *r, const char *in, const char *out, uint32_t seq)
{
	struct rig_ex *s, *c;

	s = rig_ask(r, ROLE_SERVER, 30, 30, (uint16_t)(5000 + seq), seq, EPOLL, in, "/a");
	trace_moved(r->trace, 30, 30, r->now, UINT32_MAX);
	r->now += MS;
	c = rig_ask(r, ROLE_CLIENT, 30, 30, (uint16_t)(6000 + seq), seq + 1, EPOLL, out, "/a");
	r->now += MS;
	rig_done(r, c, 30);
	rig_done(r, s, 30);
}

Test(trace, what_was_missed_is_not_taken_for_absent)
{
	struct rig r;
	struct rig_ex *s, *c;

	rig_open(&r);
	pass_on(&r, "in-1", "out-1", 10);
	/* a record was lost: its reply may have been in it, and the thread with another request */
	s = rig_ask(&r, ROLE_SERVER, 10, 11, 5000, 1, BLOCKS, "server", "/a");
	trace_unseen(r.trace, 0, r.now);
	c = rig_ask(&r, ROLE_CLIENT, 10, 11, 6000, 2, BLOCKS, "after-loss", "/b");
	rig_done(&r, c, 11);
	rig_done(&r, s, 11);
	/* a request that came since is its thread's; but another may be like the one passed on */
	r.now += MS;
	s = rig_ask(&r, ROLE_SERVER, 10, 11, 5001, 3, BLOCKS, "next", "/a");
	c = rig_ask(&r, ROLE_CLIENT, 10, 11, 6001, 4, BLOCKS, "call", "/b");
	rig_done(&r, c, 11);
	rig_done(&r, s, 11);
	pass_on(&r, "in-2", "out-2", 20);
	cr_assert_eq(count_get(&r.counters, COUNT_LINK_UNSEEN), 2);
	r.now += 11 * NS_PER_SEC;
	pass_on(&r, "in-3", "out-3", 30);
	trace_tick(r.trace, r.now + 10 * NS_PER_SEC, false);
	rig_child(&r, "out-1", "in-1", LINK_FORWARD);
	rig_root(&r, "after-loss");
	rig_child(&r, "call", "next", LINK_THREAD);
	rig_root(&r, "out-2");
	rig_child(&r, "out-3", "in-3", LINK_FORWARD);
	rig_close(&r);
}

Test(trace, a_connection_that_is_not_understood_may_hide_requests)
{
	struct rig r;

	rig_open(&r);
	trace_opaque(r.trace, 30, false, true);
	trace_opaque(r.trace, 30, true, true);
	pass_on(&r, "in-1", "out-1", 10);
	trace_opaque(r.trace, 30, false, false);
	pass_on(&r, "in-2", "out-2", 20);
	trace_unseen(r.trace, 31, r.now); /* another process */
	pass_on(&r, "in-3", "out-3", 30);
	trace_unseen(r.trace, 30, r.now);
	pass_on(&r, "in-4", "out-4", 40);
	trace_tick(r.trace, r.now + 10 * NS_PER_SEC, false);
	rig_root(&r, "out-1");
	rig_child(&r, "out-2", "in-2", LINK_FORWARD);
	rig_child(&r, "out-3", "in-3", LINK_FORWARD);
	rig_root(&r, "out-4");
	rig_close(&r);
}

Test(trace, a_tunnel_may_be_the_reason_for_a_call)
{
	static const char *const in[] = {"in-0", "in-1", "in-2"};
	static const char *const out[] = {"out-0", "out-1", "out-2"};
	struct rig r;
	struct rig_ex *s, *c;

	rig_open(&r);
	/* the kind of call proves itself */
	for (unsigned i = 0; i < 3; i++) {
		if (i == 1)
			trace_opaque(r.trace, 40, true, true);
		if (i == 2)
			trace_opaque(r.trace, 40, true, false);
		r.now += 2 * NS_PER_SEC;
		s = rig_ask(&r, ROLE_SERVER, 40, 40, (uint16_t)(5000 + i), 1 + 2 * i, EPOLL, in[i],
			"/a");
		r.now += MS;
		c = rig_ask(&r, ROLE_CLIENT, 40, 40, (uint16_t)(6000 + i), 2 + 2 * i, EPOLL, out[i],
			"/b");
		r.now += MS;
		rig_done(&r, c, 40);
		rig_done(&r, s, 40);
	}
	trace_tick(r.trace, r.now + 10 * NS_PER_SEC, false);
	rig_child(&r, "out-0", "in-0", LINK_THREAD);
	rig_root(&r, "out-1");
	rig_child(&r, "out-2", "in-2", LINK_THREAD);
	rig_close(&r);
}

Test(trace, the_ends_of_a_unix_socket_match_by_its_number_and_never_by_bytes_alone)
{
	struct rig r;
	struct rig_ex *c, *s, *other;

	rig_open(&r);
	c = rig_ex(&r, ROLE_CLIENT, 10, 11, 0, 5000, BLOCKS, "call", "/a");
	s = rig_ex(&r, ROLE_SERVER, 20, 20, 0, 5000, BLOCKS, "server", "/a");
	other = rig_ex(&r, ROLE_SERVER, 30, 30, 0, 5000, BLOCKS, "other", "/a");
	c->ends.path = s->ends.path = other->ends.path = "/run/app.sock";
	other->ends.remote_addr[0] = 99;
	rig_asked(&r, c);
	rig_asked(&r, other);
	rig_asked(&r, s);
	rig_done(&r, other, 30);
	rig_done(&r, s, 20);
	rig_done(&r, c, 11);
	rig_child(&r, "server", "call", LINK_SOCKET);
	rig_root(&r, "other");
	rig_root(&r, "call");
	rig_close(&r);
}

static struct rig_ex *unix_ask(struct rig *r, enum role role, uint32_t pid, uint32_t pos,
	uint32_t opposite, const char *name)
{
	struct rig_ex *e = rig_ex(r, role, pid, pid, 0, pos, BLOCKS, name, "/a");

	e->ends = (struct endpoints){.path = "/run/s", .netns = 1};
	(role == ROLE_CLIENT ? e->ends.local_addr : e->ends.remote_addr)[0] = 77;
	(role == ROLE_CLIENT ? e->ends.remote_addr : e->ends.local_addr)[0] = 78;
	e->ex.opposite = opposite;
	rig_asked(r, e);
	return e;
}

/* Requests of 100 bytes, replies of 50; the client's first send was missed, so that its count is
 * 100 behind from then on. */
Test(trace, a_missed_call_on_a_unix_socket_shifts_no_parents)
{
	struct rig r;
	struct rig_ex *s1, *s2, *c2, *c3;
	struct endpoints ends = {.path = "/run/s", .netns = 1, .local_addr = {77}};

	rig_open(&r);
	trace_connected(r.trace, &ends);
	s1 = unix_ask(&r, ROLE_SERVER, 20, 5000, 9000, "server1");
	r.now += MS;
	rig_done(&r, s1, 20);
	s2 = unix_ask(&r, ROLE_SERVER, 20, 5100, 9050, "server2");
	c2 = unix_ask(&r, ROLE_CLIENT, 10, 5000, 9050, "client2");
	r.now += MS;
	rig_done(&r, s2, 20);
	rig_done(&r, c2, 10);
	c3 = unix_ask(&r, ROLE_CLIENT, 10, 5100, 9100, "client3");
	rig_done(&r, c3, 10);
	trace_tick(r.trace, r.now + 3 * NS_PER_SEC, false);
	rig_root(&r, "server1");
	rig_root(&r, "server2");
	rig_close(&r);
}
