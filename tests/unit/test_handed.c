/* SPDX-License-Identifier: Apache-2.0 */
/* Requests from sockets that block although an epoll watches them. */
#include "trace_rig.h"

Test(handed, a_pools_thread_has_the_request_that_a_selector_handed_it)
{
	struct rig r;
	struct rig_ex *first, *handed, *c, *next;

	rig_open(&r);
	first = rig_ask(&r, ROLE_SERVER, 10, 11, 5000, 1, BLOCKS, "first", "/a");
	handed = rig_ask(&r, ROLE_SERVER, 10, 12, 5001, 2, HANDED, "handed", "/a");
	c = rig_ask(&r, ROLE_CLIENT, 10, 12, 6000, 3, BLOCKS, "call", "/b");
	next = rig_ask(&r, ROLE_SERVER, 10, 13, 5002, 4, BLOCKS, "next", "/a");
	rig_done(&r, c, 12);
	rig_done(&r, handed, 12);
	rig_done(&r, next, 13);
	rig_done(&r, first, 11);
	r.now += 10 * NS_PER_SEC;
	trace_tick(r.trace, r.now, false);
	rig_child(&r, "call", "handed", LINK_THREAD);
	rig_close(&r);
}

Test(handed, a_loop_beside_others_that_poll_has_no_pool)
{
	struct rig r;
	struct rig_ex *first, *handed, *c, *next;

	rig_open(&r);
	first = rig_ask(&r, ROLE_SERVER, 20, 22, 5001, 5, POLL, "p", "/a");
	next = rig_ask(&r, ROLE_SERVER, 20, 23, 5002, 6, POLL, "q", "/a");
	handed = rig_ask(&r, ROLE_SERVER, 20, 21, 5000, 7, HANDED, "loop", "/a");
	c = rig_ask(&r, ROLE_CLIENT, 20, 21, 6000, 8, BLOCKS, "doubt", "/b");
	rig_done(&r, c, 21);
	rig_done(&r, next, 23);
	rig_done(&r, first, 22);
	rig_done(&r, handed, 21);
	r.now += 10 * NS_PER_SEC;
	trace_tick(r.trace, r.now, false);
	rig_root(&r, "doubt");
	rig_close(&r);
}

Test(handed, a_loop_that_had_several_at_once_is_no_pool)
{
	struct rig r;
	struct rig_ex *first, *handed, *c, *next, *again;

	rig_open(&r);
	first = rig_ask(&r, ROLE_SERVER, 30, 31, 5003, 9, BLOCKS, "r", "/a");
	next = rig_ask(&r, ROLE_SERVER, 30, 32, 5004, 10, BLOCKS, "s", "/a");
	handed = rig_ask(&r, ROLE_SERVER, 30, 33, 5005, 11, HANDED, "loop1", "/a");
	again = rig_ask(&r, ROLE_SERVER, 30, 33, 5006, 12, HANDED, "loop2", "/a");
	rig_done(&r, again, 33);
	again = rig_ask(&r, ROLE_SERVER, 30, 34, 5007, 13, HANDED, "loop3", "/a");
	c = rig_ask(&r, ROLE_CLIENT, 30, 34, 6001, 14, BLOCKS, "doubt", "/b");
	rig_done(&r, c, 34);
	rig_done(&r, again, 34);
	rig_done(&r, handed, 33);
	rig_done(&r, next, 32);
	rig_done(&r, first, 31);
	r.now += 10 * NS_PER_SEC;
	trace_tick(r.trace, r.now, false);
	rig_root(&r, "doubt");
	rig_close(&r);
}
