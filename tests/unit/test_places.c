/* SPDX-License-Identifier: Apache-2.0 */
/* Processes whose pod is not known yet, and their spans. */
#include "places_rig.h"

TestSuite(places, .init = start, .fini = stop);

Test(places, a_pod_that_is_known)
{
	struct proc proc = proc_in_pod();
	struct proc_place at;
	struct span span;
	uint32_t id;

	know();
	places_find(places, &proc, &at);
	cr_assert_eq(at.place, PLACE_POD);
	cr_expect_str_eq(at.pod.namespace, "bank");
	cr_expect_str_eq(at.pod.container, "app");
	cr_expect_str_eq(at.pod.owners[1].kind, "Deployment");
	id = describe(&proc);
	cr_expect_str_eq(value(id, "service.name"), "api");
	cr_expect_str_eq(value(id, "service.namespace"), "bank");
	cr_expect_str_eq(value(id, "service.version"), "1.2.3");
	cr_expect_str_eq(value(id, "service.instance.id"), "bank.api-7d4b-x.app");
	cr_expect_str_eq(value(id, "k8s.namespace.name"), "bank");
	cr_expect_str_eq(value(id, "k8s.pod.name"), "api-7d4b-x");
	cr_expect_str_eq(value(id, "k8s.pod.uid"), UID);
	cr_expect_str_eq(value(id, "k8s.container.name"), "app");
	cr_expect_str_eq(value(id, "k8s.container.restart_count"), "0");
	cr_expect_str_eq(value(id, "k8s.replicaset.name"), "api-7d4b");
	cr_expect_str_eq(value(id, "k8s.deployment.name"), "api");
	cr_expect_str_eq(value(id, "k8s.node.name"), "n1");
	cr_expect_str_eq(value(id, "k8s.cluster.name"), "prod");
	cr_expect_str_eq(value(id, "k8s.cluster.uid"), "c-uid");
	cr_expect_str_eq(value(id, "container.id"), ID);
	cr_expect_str_eq(value(id, "container.image.name"), "reg.example.com:5000/bank/api");
	cr_expect_str_eq(value(id, "process.executable.name"), "python3");
	span = span_of(id, "GET");
	cr_expect(places_settle(places, &span));
	cr_expect_eq(span.resource, id);
	cr_expect_eq(places_waiting(places), 0);
}

/* Spans that come before the pod is known get its name, though their process is gone. */
Test(places, a_pod_that_becomes_known)
{
	struct proc proc = proc_in_pod();
	struct proc_place at;
	uint32_t id = describe(&proc);
	struct span first = span_of(id, "one"), second = span_of(id, "two"), third;

	places_find(places, &proc, &at);
	cr_expect_eq(at.place, PLACE_WAITS);
	cr_expect_not(places_settle(places, &first));
	cr_expect_not(places_settle(places, &second));
	cr_expect_eq(places_waiting(places), 2);
	places_tick(places, clock_monotonic(), false);
	cr_expect_eq(released_count, 0);
	become_known();
	cr_assert_eq(released_count, 2);
	cr_expect_str_eq(released[0], "api/one", "in their order");
	cr_expect_str_eq(released[1], "api/two");
	cr_expect_eq(places_waiting(places), 0);
	places_name(places, &proc);
	cr_expect_neq(proc.resource, id);
	cr_expect_str_eq(value(proc.resource, "k8s.pod.name"), "api-7d4b-x");
	cr_expect_str_eq(value(proc.resource, "process.executable.name"), "python3");
	cr_expect_str_eq(value(proc.resource, "service.instance.id"), "bank.api-7d4b-x.app");
	third = span_of(id, "three");
	cr_expect(places_settle(places, &third), "one that comes late");
	cr_expect_eq(third.resource, proc.resource);
	cr_expect_eq(count_get(&counters, COUNT_SPANS_UNPLACED), 0);
}

Test(places, a_pod_that_turns_out_not_to_be_selected)
{
	struct proc proc = proc_in_pod();
	uint32_t id = describe(&proc);
	struct span span = span_of(id, "one");

	cr_expect_not(places_settle(places, &span));
	wanted = false;
	become_known();
	cr_expect_eq(released_count, 0);
	cr_expect_eq(places_waiting(places), 0);
	cr_expect_not(places_settle(places, &span));
	cr_expect_eq(count_get(&counters, COUNT_SPANS_UNSELECTED), 2);
}

Test(places, a_pod_that_does_not_become_known)
{
	struct proc proc = proc_in_pod();
	struct proc_place at;
	uint32_t id = describe(&proc);
	struct span span = span_of(id, "one");

	cr_expect_not(places_settle(places, &span));
	places_tick(places, clock_monotonic() + 5 * NS_PER_SEC, false);
	cr_expect_eq(released_count, 0);
	places_tick(places, clock_monotonic() + 11 * NS_PER_SEC, false);
	cr_assert_eq(released_count, 1);
	cr_expect_str_eq(released[0], "unknown_service:python3/one");
	cr_expect_eq(lost, 1);
	cr_expect_eq(count_get(&counters, COUNT_SPANS_UNPLACED), 1);
	proc.seen_ns -= 11 * NS_PER_SEC;
	places_find(places, &proc, &at);
	cr_expect_eq(at.place, PLACE_LOST);
	/* the API server was out of reach for long: who still lives gets a name all the same */
	places_tick(places, clock_monotonic() + 500 * NS_PER_SEC, false);
	places_tick(places, clock_monotonic() + 1000 * NS_PER_SEC, false);
	know();
	places_name(places, &proc);
	cr_expect_str_eq(value(proc.resource, "k8s.pod.name"), "api-7d4b-x");
	span = span_of(proc.resource, "two");
	cr_expect(places_settle(places, &span));
	cr_expect_eq(span.resource, proc.resource);
}

/* The room is of one size. */
Test(places, when_there_is_no_room_to_wait)
{
	struct proc proc = proc_in_pod();
	uint32_t id = describe(&proc);
	unsigned waited = 0;

	for (int i = 0; i < 100000; i++) {
		struct span span =
			span_of(id, "a rather long name of a span, so that it takes some room");

		waited += !places_settle(places, &span);
	}
	cr_expect_lt(waited, 100000);
	cr_expect_gt(waited, 1000);
	cr_expect_eq(places_waiting(places), waited);
	cr_expect_eq(count_get(&counters, COUNT_SPANS_UNPLACED), 100000 - waited);
	places_tick(places, clock_monotonic(), true);
	cr_expect_eq(released_count, waited, "at the end all go");
	cr_expect_eq(places_waiting(places), 0);
}

/* A span of one pod never has the name of another, however much their processes say. */
Test(places, pods_whose_processes_say_the_same)
{
	struct proc a = proc_number(1), b = proc_number(2);
	struct kube_pod pod = pod_named("bank", "A");
	char env[16384];
	size_t len = (size_t)snprintf(env, sizeof(env), "OTEL_RESOURCE_ATTRIBUTES=k=v");
	struct span span;

	for (int size = 256, i = 0; size; size /= 2) /* until nothing fits any more */
		for (int end = i + 20; i < end; i++)
			len += (size_t)snprintf(
				env + len, sizeof(env) - len, ",key%02d=%0*d", i, size, 0);
	describe_with(&a, env, len + 1);
	describe_with(&b, env, len + 1);
	cr_expect_neq(a.resource, 0);
	cr_expect_neq(b.resource, 0);
	cr_expect_neq(a.resource, b.resource);
	strcpy(pod.uid, "00000001-5c1e-4c1f-9a53-0f1c2d3e4f50");
	snprintf(pod.containers[0].id, sizeof(pod.containers[0].id), "%064x", 1);
	kube_pods_put(pods, &pod);
	stays(b.resource, "one");
	span = span_of(a.resource, "two");
	cr_expect(places_settle(places, &span));
	cr_expect_str_eq(value(span.resource, "k8s.pod.name"), "A");
	cr_expect_str_eq(value(span.resource, "key00"), value(b.resource, "key00"));
}

/* Where the time is shorter than that in which a pod's status names a new container. */
Test(places, a_short_wait_for_a_container)
{
	struct kube_pod pod = pod_named("bank", "api-7d4b-x");
	struct proc first = proc_in_pod(), second = proc_in_pod();
	uint64_t now = clock_monotonic();
	struct span span;

	options.wait_ms = 2000;
	pod.containers[0].id[0] = '\0';
	kube_pods_put(pods, &pod);
	stays(describe(&first), "one");
	describe(&second);
	living = &second; /* it came late */
	places_tick(places, now + 2100 * NS_PER_MS, false);
	cr_expect_eq(released_count, 1);
	cr_expect(second.named);
	cr_expect_str_eq(value(second.resource, "k8s.pod.name"), "api-7d4b-x");
	span = span_of(second.resource, "two");
	places_tick(places, now + 60 * NS_PER_SEC, false);
	cr_expect(places_settle(places, &span));
	cr_expect_str_eq(value(span.resource, "service.name"), "api");
}

/* However many of its resources waited. */
Test(places, the_end_of_a_wait_is_told_once_a_pod)
{
	for (unsigned i = 0; i < 3; i++) {
		struct proc proc = proc_in_pod();

		snprintf(proc.exe, sizeof(proc.exe), "/usr/bin/program%u", i);
		describe(&proc);
	}
	places_tick(places, clock_monotonic() + 11 * NS_PER_SEC, false);
	cr_expect_eq(lost, 1);
}

Test(places, a_container_that_the_pods_status_does_not_name_yet)
{
	struct kube_pod pod = pod_named("bank", "api-7d4b-x");
	struct proc proc = proc_in_pod();
	struct proc_place at;

	pod.containers[0].id[0] = '\0';
	kube_pods_put(pods, &pod);
	places_find(places, &proc, &at);
	cr_expect_eq(at.place, PLACE_WAITS);
	stays(describe(&proc), "one");
	become_known();
	cr_assert_eq(released_count, 1);
	places_name(places, &proc);
	cr_expect_str_eq(value(proc.resource, "k8s.container.name"), "app");
}

Test(places, not_in_a_pod)
{
	static const char *const CGROUPS[] = {"/system.slice/ssh.service", ("/docker/" ID), "/"};

	for (size_t i = 0; i < ARRAY_SIZE(CGROUPS); i++) {
		struct proc proc = {.pid = 10, .seen_ns = clock_monotonic()};
		struct proc_place at;
		struct span span;

		strcpy(proc.cgroup, CGROUPS[i]);
		places_find(places, &proc, &at);
		cr_expect_eq(at.place, PLACE_HOST, "%s", CGROUPS[i]);
		cr_expect_eq(proc.pod, 0);
		span = span_of(describe(&proc), "one");
		cr_expect(places_settle(places, &span));
	}
}

/* What weft leaves out by itself, and the pod's own word. */
Test(places, left_out)
{
	static const struct {
		const char *namespace, *name, *note, *value;
		enum left_out left_out;
		enum pod_wish wish;
	} CASES[] = {
		{"bank", "api", "x", "y", LEFT_OUT_NOT, POD_SILENT},
		{"kube-system", "dns", "x", "y", LEFT_OUT_SYSTEM, POD_SILENT},
		{"weft", "weft-abc", "x", "y", LEFT_OUT_SELF, POD_SILENT},
		{"bank", "weft-abc", "x", "y", LEFT_OUT_NOT, POD_SILENT},
		{"bank", "api", "instrumentation.opentelemetry.io/inject-java", "true",
			LEFT_OUT_INSTRUMENTED, POD_SILENT},
		{"bank", "api", "instrumentation.opentelemetry.io/inject-nodejs", "otel/default",
			LEFT_OUT_INSTRUMENTED, POD_SILENT},
		{"bank", "api", "instrumentation.opentelemetry.io/inject-java", "false",
			LEFT_OUT_NOT, POD_SILENT},
		{"kube-system", "dns", "weft.io/trace", "true", LEFT_OUT_SYSTEM, POD_YES},
		{"bank", "api", "weft.io/trace", "False", LEFT_OUT_NOT, POD_NO},
		{"bank", "api", "weft.io/trace", "maybe", LEFT_OUT_NOT, POD_SILENT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct kube_pod pod = pod_named(CASES[i].namespace, CASES[i].name);
		struct proc proc = proc_in_pod();
		struct proc_place at;

		note(&pod, CASES[i].note, CASES[i].value);
		kube_pods_put(pods, &pod);
		places_find(places, &proc, &at);
		cr_expect_eq(at.left_out, CASES[i].left_out, "case %zu", i);
		cr_expect_eq(at.wish, CASES[i].wish, "case %zu", i);
	}
	options.trace_system = options.trace_instrumented = true;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct kube_pod pod = pod_named(CASES[i].namespace, CASES[i].name);
		struct proc proc = proc_in_pod();
		struct proc_place at;

		note(&pod, CASES[i].note, CASES[i].value);
		kube_pods_put(pods, &pod);
		places_find(places, &proc, &at);
		cr_expect_eq(at.left_out,
			CASES[i].left_out == LEFT_OUT_SELF ? LEFT_OUT_SELF : LEFT_OUT_NOT);
	}
}
