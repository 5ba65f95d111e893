/* SPDX-License-Identifier: Apache-2.0 */
/* Which process is traced. */
#include "procs_rig.h"

TestSuite(procs, .init = rig_start, .fini = rig_stop);

static uint64_t traced_count(void)
{
	struct procs_stats stats;

	procs_stats(rig.procs, &stats);
	return stats.traced;
}

static uint64_t ended_unseen(void)
{
	struct procs_stats stats;

	procs_stats(rig.procs, &stats);
	return stats.ended_unseen;
}

static void scan(void)
{
	procs_scan(rig.procs, true);
}

/* As the agent does when announcements were lost: one step a turn. */
static void rescan(void)
{
	procs_rescan(rig.procs);
	while (procs_scanning(rig.procs))
		procs_scan_step(rig.procs);
}

Test(procs, no_rule_takes_listeners_and_their_clients)
{
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server", .listens = 80});
	rig_live((struct rig_proc){.pid = 11, .exe = "/bin/client", .client_of = 80});
	rig_live((struct rig_proc){.pid = 12, .exe = "/bin/other"});
	scan();
	cr_assert(rig.local_clients, "the kernel is to ask about clients of this host");
	cr_assert(rig_traced(10));
	cr_assert(rig_traced(11));
	cr_assert_not(rig_traced(12));
	cr_assert_eq(traced_count(), 2);
}

Test(procs, no_rule_finds_a_client_that_comes_later)
{
	scan();
	rig_live((struct rig_proc){.pid = 11, .exe = "/bin/client"});
	rig_announce(11, 1, WEFT_LOCAL_CLIENT);
	cr_assert(rig_traced(11));
}

Test(procs, no_rule_finds_who_listens_later)
{
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server"});
	rig_announce(10, 1, WEFT_EXEC);
	cr_assert_eq(rig_verdict(10), 0, "no server yet");
	rig_listen(10, 80);
	cr_assert(rig_traced(10));
	cr_assert(listeners_have(rig.listeners, RIG_NETNS, 80));
}

Test(procs, with_a_rule_a_listener_alone_is_not_enough)
{
	rig_rule("exe=/bin/other", false);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server", .listens = 80});
	rig_live((struct rig_proc){.pid = 11, .exe = "/bin/client", .client_of = 80});
	rig_live((struct rig_proc){.pid = 12, .exe = "/bin/other"});
	scan();
	cr_assert_not(rig.local_clients);
	cr_assert_not(rig_traced(10));
	cr_assert_not(rig_traced(11));
	cr_assert(rig_traced(12));
}

Test(procs, exclude_rules_alone_leave_the_default)
{
	rig_rule("exe=/bin/server", true);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server", .listens = 80});
	rig_live((struct rig_proc){.pid = 11, .exe = "/bin/web", .listens = 81});
	scan();
	cr_assert_not(rig_traced(10));
	cr_assert(rig_traced(11));
}

static const struct {
	const char *what, *include, *exclude;
	struct rig_proc proc;
	bool traced;
} rule_cases[] = {
	{"by executable", "exe=/bin/s*", NULL, {.exe = "/bin/server"}, true},
	{"by its base name", "exe=server", NULL, {.exe = "/opt/server"}, true},
	{"by pid", "pid=10", NULL, {.exe = "/bin/server"}, true},
	{"another pid", "pid=9", NULL, {.exe = "/bin/server"}, false},
	{"by port", "port=80", NULL, {.exe = "/bin/server", .listens = 80}, true},
	{"another port", "port=81", NULL, {.exe = "/bin/server", .listens = 80}, false},
	{"by cgroup", "cgroup=/a", NULL, {.exe = "/bin/server", .cgroup = "/a/b"}, true},
	{"another cgroup", "cgroup=/a", NULL, {.exe = "/bin/server", .cgroup = "/b"}, false},
	{"exclude beats include", "exe=server", "cgroup=/a", {.exe = "/bin/server", .cgroup = "/a"},
		false},
	{"by pid, too", "exe=server", "pid=10", {.exe = "/bin/server"}, false},
	{"its only port is excluded", "exe=other", "port=80", {.exe = "/bin/server", .listens = 80},
		false},
	{"the rule that names it counts more than its port's", "exe=server", "port=80",
		{.exe = "/bin/server", .listens = 80}, true},
	{"a client of an excluded port", NULL, "port=80", {.exe = "/bin/client", .client_of = 80},
		true},
	{"a server whose only port is excluded", NULL, "port=80",
		{.exe = "/bin/server", .listens = 80}, false},
};

Test(procs, rules)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rule_cases); i++) {
		struct rig_proc it = rule_cases[i].proc;

		/* found at the start, and announced by its exec */
		for (int announced = 0; announced < 2; announced++) {
			rig_stop();
			rig_start();
			if (rule_cases[i].include)
				rig_rule(rule_cases[i].include, false);
			if (rule_cases[i].exclude)
				rig_rule(rule_cases[i].exclude, true);
			it.pid = 10;
			if (announced) {
				rig_live((struct rig_proc){
					.pid = 10, .exe = it.exe, .cgroup = it.cgroup});
				rig_announce(10, 1, WEFT_EXEC);
				if (it.listens)
					rig_listen(10, it.listens);
				if (it.client_of && rig.rules.v[0].exclude)
					rig_announce(10, 1, WEFT_LOCAL_CLIENT);
			} else {
				rig_live(it);
				scan();
			}
			cr_assert_eq(rig_traced(10), rule_cases[i].traced, "%s (%d)",
				rule_cases[i].what, announced);
		}
	}
}

Test(procs, excluded_ports_are_told_apart)
{
	rig_rule("port=80", true);
	cr_assert(procs_port_excluded(rig.procs, 80));
	cr_assert_not(procs_port_excluded(rig.procs, 81));
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server", .listens = 80});
	scan();
	cr_assert_not(rig_traced(10));
	rig_listen(10, 81);
	cr_assert(rig_traced(10), "one port is left out, not the process that has another");
}

Test(procs, weft_itself_never)
{
	rig_rule("cgroup=/", false);
	rig_live((struct rig_proc){.pid = RIG_SELF, .exe = "/bin/weft", .listens = 9464});
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server"});
	scan();
	rescan();
	cr_assert_eq(rig_verdict(RIG_SELF), 0);
	cr_assert(rig_traced(10));
}

Test(procs, children_follow_their_parents)
{
	rig_rule("pid=10", false);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server", .cgroup = "/a"});
	rig_live((struct rig_proc){.pid = 11, .parent = 10, .exe = "/bin/server"});
	scan();
	cr_assert(rig_traced(11), "one that was there before");
	/* a child of the child, which is gone before it is looked at */
	rig_announce(12, 11, WEFT_FORKED);
	cr_assert(rig_traced(12));
	cr_assert_str_eq(procs_get(rig.procs, 12)->exe, "/bin/server");
	cr_assert_eq(rig.described, 2, "what described the parent describes the child");
	/* and an exec does not make it another's */
	rig_live((struct rig_proc){.pid = 12, .parent = 11, .exe = "/bin/tool"});
	rig_announce(12, 11, WEFT_EXEC | WEFT_FORKED);
	cr_assert(rig_traced(12));
	cr_assert_str_eq(procs_get(rig.procs, 12)->exe, "/bin/tool");
	cr_assert_eq(rig.described, 3);
}

Test(procs, a_child_can_be_excluded)
{
	rig_rule("pid=10", false);
	rig_rule("exe=tool", true);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server"});
	scan();
	rig_announce(11, 10, WEFT_FORKED);
	cr_assert(rig_traced(11));
	rig_live((struct rig_proc){.pid = 11, .parent = 10, .exe = "/bin/tool"});
	rig_announce(11, 10, WEFT_EXEC | WEFT_FORKED);
	cr_assert_not(rig_traced(11));
	cr_assert_eq(traced_count(), 1);
}

Test(procs, children_of_others_do_not)
{
	rig_rule("pid=10", false);
	rig_live((struct rig_proc){.pid = 20, .exe = "/bin/shell"});
	rig_live((struct rig_proc){.pid = 21, .parent = 20, .exe = "/bin/tool"});
	scan();
	rig_announce(21, 20, WEFT_EXEC);
	cr_assert_not(rig_traced(21));
}

Test(procs, an_exec_changes_the_rules_that_match)
{
	rig_rule("exe=server", false);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/shell"});
	rig_announce(10, 1, WEFT_EXEC);
	cr_assert_not(rig_traced(10));
	rig_find(10)->exe = "/bin/server";
	rig_announce(10, 1, WEFT_EXEC);
	cr_assert(rig_traced(10));
	/* and back: the kernel knows it as traced now */
	rig_find(10)->exe = "/bin/shell";
	rig_announce(10, 1, WEFT_EXEC | WEFT_FORKED);
	cr_assert_not(rig_traced(10));
	cr_assert_eq(traced_count(), 0);
}

Test(procs, a_move_to_another_cgroup)
{
	rig_rule("cgroup=/a", false);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server", .cgroup = "/b"});
	scan();
	cr_assert_not(rig_traced(10));
	rig_find(10)->cgroup = "/a";
	rig_announce(10, 1, 0);
	cr_assert(rig_traced(10));
	rig_find(10)->cgroup = "/b";
	rig_announce(10, 1, 0);
	cr_assert_not(rig_traced(10));
}

Test(procs, one_that_is_gone_goes_by_what_the_kernel_told)
{
	struct weft_proc rec = {
		.head = {clock_monotonic(), WEFT_RECORD_PROC, WEFT_EXEC, sizeof(rec), 10, 10, 0},
		.cgroup = 5,
		.exe = "/bin/brief",
	};

	rig_rule("cgroup=/known", false);
	procs_on_proc(rig.procs, &rec);
	cr_assert(procs_get(rig.procs, 10));
	cr_assert_str_eq(procs_get(rig.procs, 10)->exe, "/bin/brief");
}

Test(procs, one_that_was_never_announced_is_decided_on_by_its_first_record)
{
	rig_rule("exe=server", false);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server"});
	rig_live((struct rig_proc){.pid = 11, .exe = "/bin/other"});
	capture_trace(NULL, 11, WEFT_UNDECIDED);
	cr_assert(procs_get(rig.procs, 10));
	cr_assert_null(procs_get(rig.procs, 11));
	cr_assert_eq(rig_verdict(10), WEFT_LOOKING);
	cr_assert_eq(rig_verdict(11), 0);
}

Test(procs, reload_drops_and_takes_in)
{
	rig_rule("exe=one", false);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/one"});
	rig_live((struct rig_proc){.pid = 11, .exe = "/bin/two"});
	rig_live((struct rig_proc){.pid = 12, .parent = 10, .exe = "/bin/child"});
	scan();
	cr_assert(rig_traced(10) && rig_traced(12));
	rig.rules.n = 0;
	rig_rule("exe=two", false);
	scan();
	cr_assert_not(rig_traced(10));
	cr_assert(rig_traced(11));
	cr_assert_not(rig_traced(12), "its parent was brought in by a rule that is gone");
	cr_assert_eq(traced_count(), 1);
}

Test(procs, an_orphan_stays_while_the_rules_do)
{
	rig_rule("pid=10", false);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server"});
	rig_live((struct rig_proc){.pid = 11, .parent = 10, .exe = "/bin/server"});
	scan();
	rig_exit(10);
	rig_find(11)->parent = 1;
	rescan();
	cr_assert(rig_traced(11));
	scan();
	cr_assert_not(rig_traced(11));
}

/* What was lost */

Test(procs, a_lost_exit_is_found_by_looking)
{
	rig_rule("cgroup=/a", false);
	for (uint32_t pid = 10; pid < 20; pid++)
		rig_live((struct rig_proc){.pid = pid, .exe = "/bin/server", .cgroup = "/a"});
	scan();
	cr_assert_eq(traced_count(), 10);
	for (uint32_t pid = 10; pid < 19; pid++)
		rig_die(pid);
	rescan();
	cr_assert_eq(traced_count(), 1);
	cr_assert_eq(ended_unseen(), 9);
	cr_assert_eq(rig.ended, 9);
	for (uint32_t pid = 10; pid < 19; pid++)
		cr_assert_eq(rig_verdict(pid), 0, "%u", pid);
	cr_assert(rig_traced(19));
}

Test(procs, a_scan_in_steps_ends)
{
	unsigned steps = 0;

	for (uint32_t pid = 10; pid < 60; pid++)
		rig_live((struct rig_proc){.pid = pid, .exe = "/bin/server", .listens = 80});
	cr_assert_not(procs_scanning(rig.procs));
	procs_rescan(rig.procs);
	while (!procs_scan_step(rig.procs))
		cr_assert_lt(++steps, 20);
	cr_assert_gt(steps, 6, "50 processes, twice, a few at a time");
	cr_assert_not(procs_scanning(rig.procs));
	cr_assert_eq(traced_count(), 32, "all there is room for");
}

Test(procs, a_reload_in_the_middle_of_a_scan)
{
	rig_rule("exe=one", false);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/one"});
	rig_live((struct rig_proc){.pid = 11, .exe = "/bin/two"});
	procs_rescan(rig.procs);
	procs_scan_step(rig.procs);
	rig.rules.n = 0;
	rig_rule("exe=two", false);
	scan();
	cr_assert_not(procs_scanning(rig.procs));
	cr_assert_not(rig_traced(10));
	cr_assert(rig_traced(11));
}

Test(procs, a_question_that_was_lost_is_answered)
{
	rig_rule("exe=server", false);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server"});
	rig_live((struct rig_proc){.pid = 11, .exe = "/bin/other"});
	capture_trace(NULL, 10, WEFT_UNDECIDED);
	capture_trace(NULL, 11, WEFT_UNDECIDED);
	rescan();
	cr_assert_eq(rig_verdict(10), WEFT_TRACED);
	cr_assert_eq(rig_verdict(11), 0, "no place is taken for one that is not wanted");
}

Test(procs, a_lost_listener_is_found_with_its_port)
{
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server"});
	scan();
	rig_find(10)->listens = 80;
	rescan();
	cr_assert(rig_traced(10));
	cr_assert(listeners_have(rig.listeners, RIG_NETNS, 80));
}

Test(procs, a_number_used_again_by_a_fork)
{
	rig_rule("exe=server", false);
	rig_live((struct rig_proc){.pid = 9, .exe = "/bin/server"});
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server"});
	scan();
	rig_listen(10, 80);
	/* its end is lost; a child of the other one gets the number */
	rig_announce(10, 9, WEFT_FORKED);
	cr_assert(rig_traced(10));
	cr_assert_eq(procs_get(rig.procs, 10)->port_count, 0, "the port was the other one's");
	cr_assert_eq(ended_unseen(), 1);
	cr_assert_eq(traced_count(), 2);
}

Test(procs, a_number_used_again_by_an_exec)
{
	rig_rule("pid=9", false);
	rig_live((struct rig_proc){.pid = 9, .exe = "/bin/server"});
	rig_live((struct rig_proc){.pid = 10, .parent = 9, .exe = "/bin/server"});
	scan();
	cr_assert(rig_traced(10));
	/* its end is lost; the number goes to a stranger, of which the kernel knows nothing */
	capture_untrace(NULL, 10);
	*rig_find(10) =
		(struct rig_proc){.pid = 10, .parent = 1, .exe = "/bin/tool", .cgroup = "/"};
	rig_announce(10, 1, WEFT_EXEC);
	cr_assert_not(rig_traced(10), "it inherits nothing from the one before");
	cr_assert_eq(ended_unseen(), 1);
}

Test(procs, a_number_used_again_in_silence)
{
	rig_rule("pid=9", false);
	rig_live((struct rig_proc){.pid = 9, .exe = "/bin/server"});
	rig_live((struct rig_proc){.pid = 10, .parent = 9, .exe = "/bin/server"});
	scan();
	*rig_find(10) = (struct rig_proc){.pid = 10,
		.parent = 1,
		.exe = "/bin/tool",
		.cgroup = "/",
		.started_ns = clock_monotonic()};
	rescan();
	cr_assert_not(rig_traced(10));
	cr_assert_eq(ended_unseen(), 1);
	cr_assert_eq(traced_count(), 1);
}

Test(procs, an_end_that_is_told_late_ends_nobody_else)
{
	uint64_t before = clock_monotonic();

	rig_rule("exe=server", false);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server"});
	rig_announce(10, 1, WEFT_EXEC);
	procs_on_exit(rig.procs, 10, before);
	cr_assert(rig_traced(10));
	procs_on_exit(rig.procs, 10, clock_monotonic());
	cr_assert_eq(traced_count(), 0);
	cr_assert_eq(rig_verdict(10), 0);
}

Test(procs, a_decision_behind_the_end_leaves_nothing_in_the_kernel)
{
	rig_rule("exe=server", false);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server"});
	rig_announce(10, 1, WEFT_EXEC);
	rig_exit(10);
	cr_assert_eq(rig_verdict(10), 0);
	cr_assert_eq(rig.ended, 1);
	/* it never was in the agent's table, or is there no more: the kernel's is cleared */
	capture_trace(NULL, 10, WEFT_TRACED);
	procs_on_exit(rig.procs, 10, clock_monotonic());
	cr_assert_eq(rig_verdict(10), 0);
}

/* Too many */

Test(procs, a_full_table_forgets_what_it_can_spare)
{
	struct procs_stats stats;

	rig_stop();
	rig_start_sized(4);
	rig_rule("exe=server", false);
	for (uint32_t pid = 10; pid < 14; pid++) {
		rig_live(
			(struct rig_proc){.pid = pid, .exe = pid < 12 ? "/bin/server" : "/bin/no"});
		rig_announce(pid, 1, WEFT_EXEC);
	}
	cr_assert_eq(traced_count(), 2);
	for (uint32_t pid = 20; pid < 22; pid++) {
		rig_live((struct rig_proc){.pid = pid, .exe = "/bin/server"});
		rig_announce(pid, 1, WEFT_EXEC);
		cr_assert(rig_traced(pid), "in the place of one that is not traced");
	}
	rig_live((struct rig_proc){.pid = 30, .exe = "/bin/server"});
	rig_announce(30, 1, WEFT_EXEC);
	cr_assert_null(procs_get(rig.procs, 30), "four that live are not given up for a fifth");
	procs_stats(rig.procs, &stats);
	cr_assert_gt(stats.evicted, 0);
	rig_die(10);
	cr_assert(procs_get(rig.procs, 30), "one that is gone is");
	cr_assert_eq(ended_unseen(), 1);
}

Test(procs, connections_from_before_the_tracing_are_looked_at)
{
	rig_rule("cgroup=/pods", false);
	rig_live((struct rig_proc){.pid = 10, .exe = "/bin/server", .cgroup = "/pods"});
	scan();
	cr_assert_eq(rig.asked, 1, "older than weft");
	cr_assert_eq(rig_verdict(10), WEFT_LOOKING);
	rig_announce(10, 1, 0);
	cr_assert_eq(rig_verdict(10), WEFT_LOOKING, "until the answer comes");
	rig_announce(10, 1, WEFT_EXEC);
	cr_assert_eq(rig_verdict(10), WEFT_TRACED);
	rig_live((struct rig_proc){.pid = 11, .exe = "/bin/new", .cgroup = "/pods"});
	rig_announce(11, 1, WEFT_EXEC);
	cr_assert(rig_traced(11));
	cr_assert_eq(rig.asked, 1, "none of its calls was missed");
	rig_live((struct rig_proc){.pid = 12, .exe = "/bin/moved", .cgroup = "/"});
	rig_announce(12, 1, WEFT_EXEC);
	rig_find(12)->cgroup = "/pods";
	capture_trace(NULL, 12, WEFT_LOOKING); /* as the kernel does where it sees no beginning */
	rig_announce(12, 1, 0);
	cr_assert(rig_traced(12));
	cr_assert_eq(rig.asked, 2, "there was a time when it was not traced");
	rig_live((struct rig_proc){.pid = 13, .exe = "/bin/sh", .cgroup = "/"});
	rig_announce(13, 1, 0);
	rig_find(13)->cgroup = "/pods";
	rig_announce(13, 1, WEFT_EXEC);
	cr_assert(rig_traced(13));
	cr_assert_eq(rig.asked, 2, "what it executed has no connections yet");
}
