/* SPDX-License-Identifier: Apache-2.0 */
/* Processes whose pod is not known yet where rules are about pods. */
#include "places_rig.h"

TestSuite(places_rules, .init = start, .fini = stop);

/* What may be of a pod that is left out does not go, whatever there is no room for. */
Test(places_rules, no_room_to_wait_and_rules_about_pods)
{
	struct proc proc = proc_in_pod();
	uint32_t id = describe(&proc);
	unsigned went = 0, waited;

	rule("namespace=secret", true);
	for (int i = 0; i < 100000; i++) {
		struct span span =
			span_of(id, "a rather long name of a span, so that it takes some room");

		went += places_settle(places, &span);
	}
	waited = places_waiting(places);
	cr_expect_eq(went, 0);
	cr_expect_gt(waited, 1000);
	cr_expect_eq(count_get(&counters, COUNT_SPANS_UNSELECTED), 100000 - waited);
	places_tick(places, clock_monotonic(), true);
	cr_expect_eq(released_count, 0, "nor at the end");
	cr_expect_eq(count_get(&counters, COUNT_SPANS_UNSELECTED), 100000);
	cr_expect_eq(count_get(&counters, COUNT_SPANS_UNPLACED), 0);
}

/* One that a rule about its program includes goes, if no rule can leave it out. */
Test(places_rules, no_room_to_wait_and_a_rule_that_includes)
{
	struct proc proc = proc_in_pod();
	uint32_t id = describe(&proc);
	unsigned went = 0;

	rule("exe=python3", false);
	rule("namespace=bank", false);
	for (int i = 0; i < 100000; i++) {
		struct span span =
			span_of(id, "a rather long name of a span, so that it takes some room");

		went += places_settle(places, &span);
	}
	cr_expect_gt(went, 1000);
	cr_expect_eq(went + places_waiting(places), 100000);
}

/* As many resources can wait as there are. */
Test(places_rules, many_pods_that_are_not_known)
{
	struct proc procs[700];

	restart_with(1024, 16);
	rule("namespace=secret", true);
	for (unsigned i = 0; i < ARRAY_SIZE(procs); i++) {
		struct span span;

		procs[i] = proc_number(i);
		span = span_of(describe(&procs[i]), "one");
		cr_expect_not(places_settle(places, &span), "pod %u", i);
		cr_expect_eq(choice_of(&procs[i]), CHOICE_WAITS);
	}
	cr_expect_eq(places_waiting(places), ARRAY_SIZE(procs));
	places_tick(places, clock_monotonic() + 11 * NS_PER_SEC, false);
	cr_expect_eq(lost, ARRAY_SIZE(procs));
	cr_expect_eq(places_waiting(places), 0);
	cr_expect_eq(released_count, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(procs); i++)
		cr_expect_eq(choice_of(&procs[i]), CHOICE_LOST);
	/* and there is room for more */
	places_tick(places, clock_monotonic() + 100 * NS_PER_SEC, false);
	for (unsigned i = 0; i < 1000; i++) {
		struct proc proc = proc_number(i);
		struct span span = span_of(describe(&proc), "two");

		cr_expect_not(places_settle(places, &span), "pod %u", i);
		cr_expect_eq(choice_of(&proc), CHOICE_WAITS);
	}
}

/* All that wait as one resource are decided on when its time is up, those that came late as well;
 * one that comes after that waits anew. */
Test(places_rules, processes_that_begin_to_wait_later)
{
	struct proc first = proc_in_pod(), second = proc_in_pod(), third = proc_in_pod(), child;
	uint64_t now = clock_monotonic();

	rule("namespace=secret", true);
	first.seen_ns = now - 9 * NS_PER_SEC;
	describe(&first);
	describe(&second);
	cr_assert_eq(first.resource, second.resource);
	child = second;
	cr_expect_eq(choice_of(&child), CHOICE_WAITS);
	places_tick(places, now + 11 * NS_PER_SEC, false);
	cr_expect_eq(choice_of(&first), CHOICE_LOST);
	cr_expect_eq(choice_of(&second), CHOICE_LOST);
	cr_expect_eq(choice_of(&child), CHOICE_LOST);
	cr_expect_eq(choice_of(&third), CHOICE_WAITS);
	cr_assert_eq(describe(&third), first.resource);
	stays(third.resource, "one");
	cr_expect_eq(places_waiting(places), 1);
	places_tick(places, now + 22 * NS_PER_SEC, false);
	cr_expect_eq(lost, 2);
	cr_expect_eq(choice_of(&third), CHOICE_LOST);
	cr_expect_eq(released_count, 0);
}

/* Resource 0 is of all for which there was no room. */
Test(places_rules, no_room_for_a_resource)
{
	struct proc a = proc_number(1), b = proc_number(2);
	struct kube_pod pod = pod_named("bank", "A");
	struct span span;

	restart_with(1, 8);
	cr_assert_eq(describe(&a), 0);
	cr_assert_eq(describe(&b), 0);
	strcpy(pod.uid, "00000001-5c1e-4c1f-9a53-0f1c2d3e4f50");
	snprintf(pod.containers[0].id, sizeof(pod.containers[0].id), "%064x", 1);
	kube_pods_put(pods, &pod);
	span = span_of(b.resource, "one");
	cr_expect(places_settle(places, &span), "without a name");
	cr_expect_eq(span.resource, 0);
	rule("namespace=secret", true);
	cr_expect_not(places_settle(places, &span));
	cr_expect_eq(places_waiting(places), 0);
	cr_expect_eq(count_get(&counters, COUNT_SPANS_UNSELECTED), 1);
	cr_expect_eq(choice_of(&b), CHOICE_WAITS);
	places_tick(places, clock_monotonic() + 11 * NS_PER_SEC, false);
	cr_expect_eq(lost, 1);
	cr_expect_eq(choice_of(&b), CHOICE_LOST);
}

Test(places_rules, a_short_wait_for_a_container_of_an_excluded_pod)
{
	struct kube_pod pod = pod_named("secret", "api-7d4b-x");
	struct proc proc = proc_in_pod();
	struct span span;

	options.wait_ms = 2000;
	rule("namespace=secret", true);
	pod.containers[0].id[0] = '\0';
	kube_pods_put(pods, &pod);
	span = span_of(describe(&proc), "one");
	cr_expect_eq(choice_of(&proc), CHOICE_WAITS);
	cr_expect_not(places_settle(places, &span));
	places_tick(places, clock_monotonic() + 2100 * NS_PER_MS, false);
	cr_expect_eq(places_waiting(places), 0);
	cr_expect_eq(released_count, 0);
	cr_expect_eq(choice_of(&proc), CHOICE_EXCLUDED);
	/* and by the clock alone, of one that was never described */
	proc.described = false;
	proc.seen_ns -= 3 * NS_PER_SEC;
	cr_expect_eq(choice_of(&proc), CHOICE_EXCLUDED);
}

/* A request that was open when its process was left out ends much later. */
Test(places_rules, a_span_that_comes_very_late)
{
	struct proc proc = proc_in_pod();
	uint64_t now = clock_monotonic();
	struct span span;

	rule("namespace=bank", true);
	span = span_of(describe(&proc), "one");
	know();
	for (unsigned i = 1; i < 20; i++) {
		places_tick(places, now + i * 60 * NS_PER_SEC, false);
		cr_expect_not(places_settle(places, &span));
	}
	rules.n = 0; /* they were read again */
	places_tick(places, now + 1200 * NS_PER_SEC, false);
	cr_expect(places_settle(places, &span));
}

/* What is not wanted takes no resource from what is, nor a place here when that is gone. */
Test(places_rules, resources_of_what_is_not_wanted)
{
	struct span span;

	restart_with(8, 1);
	rule("namespace=secret", true);
	for (unsigned i = 0; i < 100; i++) {
		struct proc proc = proc_number(i);

		span = span_of(describe(&proc), "one");
		cr_expect_neq(span.resource, 0, "pod %u", i);
		cr_expect_not(places_settle(places, &span), "pod %u", i);
		places_tick(places, clock_monotonic() + (100 * i + 50) * NS_PER_SEC, false);
		places_mark(places);
		resource_retire(resources);
		resource_reuse(resources);
		places_tick(places, clock_monotonic() + (100 * i + 100) * NS_PER_SEC, false);
	}
	cr_expect_eq(lost, 100);
	cr_expect_eq(released_count, 0);
	/* of a request that was open all the time */
	cr_expect_eq(resource_get(resources, 1), resource_get(resources, 0));
	stays(1, "late");
}

/* What it listens on is known only after it was described, at its exec. */
Test(places_rules, ports_that_become_known_while_it_waits)
{
	struct proc proc = proc_in_pod(), other = proc_in_pod();

	rule("port=8080", false);
	stays(describe(&proc), "one");
	other.resource = proc.resource;
	other.described = true;
	other.ports[other.port_count++] = 9; /* a second process of the same program */
	places_decided(places, &other);
	proc.ports[proc.port_count++] = 8080;
	places_decided(places, &proc);
	become_known();
	cr_assert_eq(released_count, 1);
}

Test(places_rules, rules_that_change_are_asked_again)
{
	struct proc proc = proc_in_pod();
	struct span span;

	rule("namespace=bank", true);
	stays(describe(&proc), "one");
	become_known();
	cr_assert_eq(released_count, 0);
	rules.n = 0;
	places_reselect(places);
	span = span_of(proc.resource, "three");
	cr_expect(places_settle(places, &span));
}
