/* SPDX-License-Identifier: Apache-2.0 */
/* Processes whose pod is not known yet, and their spans. */
#include "enrich/places.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "sample_pod.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct kubernetes_options options;
static struct kube_where where = {
	.node_name = "n1", .cluster_name = "prod", .cluster_uid = "c-uid"};
static struct counters counters;
static struct resource_table *resources;
static struct kube_pods *pods;
static struct places *places;
static bool wanted;
static struct rules rules; /* if there are any, these say what is wanted */
static struct proc *living; /* whom the end of a wait, or a pod that becomes known, is told */
static unsigned lost;
static char released[8][64]; /* service.name of each span that waited */
static unsigned released_count;

static void on_pod(void *ctx, uint64_t key, bool words)
{
	(void)ctx;
	(void)words;
	places_known(places, key);
	if (living && living->pod == key)
		places_name(places, living);
}

static enum choice choice_of(struct proc *proc)
{
	struct choose_subject subject = {
		.rules = {.pid = proc->pid, .exe = proc->exe, .cgroup = proc->cgroup},
		.kubernetes = true,
	};
	struct proc_place at;

	places_find(places, proc, &at);
	if (at.place == PLACE_POD)
		subject.rules.pod = &at.pod;
	subject.place = at.place;
	subject.wish = at.wish;
	subject.left_out = at.left_out;
	return choose(&rules, &subject);
}

static bool on_wanted(void *ctx, struct proc *proc)
{
	(void)ctx;
	return rules.n ? choice_traced(choice_of(proc)) : wanted;
}

static bool on_strict(void *ctx)
{
	(void)ctx;
	return rules_have_pods(&rules);
}

static void on_lost(void *ctx, uint64_t pod)
{
	lost++;
	on_pod(ctx, pod, false);
}

static void on_release(void *ctx, struct span *span)
{
	struct slice name = resource_service(resource_get(resources, span->resource));

	(void)ctx;
	snprintf(released[released_count++ % 8], sizeof(released[0]), "%.*s/%.*s", (int)name.len,
		name.ptr, (int)span->name.len, span->name.ptr);
}

static const struct places_ops OPS = {on_wanted, on_strict, on_lost, on_release};

static void start_with(unsigned max_resources, unsigned max_pods)
{
	struct places_env env;

	options = (struct kubernetes_options){.wait_ms = 10000, .max_pods = max_pods};
	wanted = true;
	cr_assert_eq(resource_table_new(max_resources, &resources), 0);
	cr_assert_eq(kube_pods_new(max_pods, on_pod, NULL, &pods), 0);
	env = (struct places_env){&options, &where, pods, resources, &counters, "weft-abc", "weft"};
	cr_assert_eq(places_new(&env, &OPS, NULL, &places), 0);
}

static void start(void)
{
	start_with(64, 8);
}

static void stop(void)
{
	places_free(places);
	kube_pods_free(pods);
	resource_table_free(resources);
}

static void restart_with(unsigned max_resources, unsigned max_pods)
{
	stop();
	start_with(max_resources, max_pods);
}

static void rule(const char *text, bool exclude)
{
	char why[RULE_ERROR_BYTES];

	cr_assert_eq(rule_parse(slice_str(text), exclude, &rules.v[rules.n++], why), 0);
}

static void know(void)
{
	struct kube_pod pod = pod_named("bank", "api-7d4b-x");

	kube_pods_put(pods, &pod);
}

static struct proc proc_in_pod(void)
{
	return (struct proc){.pid = 10,
		.seen_ns = clock_monotonic(),
		.exe = "/usr/bin/python3",
		.cgroup = "/kubepods/burstable/pod" UID "/" ID};
}

static struct proc proc_number(unsigned i)
{
	struct proc proc = proc_in_pod();

	snprintf(proc.cgroup, sizeof(proc.cgroup),
		"/kubepods/pod%08x-5c1e-4c1f-9a53-0f1c2d3e4f50/%064x", i, i);
	return proc;
}

static uint32_t describe_with(struct proc *proc, const char *env, size_t len)
{
	struct process_attrs attrs;
	struct proc_place at;

	attrs_of(env, len, &attrs);
	places_find(places, proc, &at);
	places_describe(places, proc, &attrs);
	proc->described = true;
	return proc->resource;
}

static uint32_t describe(struct proc *proc)
{
	return describe_with(proc, "", 0);
}

static struct span span_of(uint32_t resource, const char *name)
{
	return (struct span){.resource = resource, .name = slice_str(name), .kind = SPAN_SERVER};
}

static const char *value(uint32_t resource, const char *key)
{
	static char text[256];
	const struct resource *r = resource_get(resources, resource);

	for (unsigned i = 0; i < r->n; i++)
		if (slice_eq(r->attrs[i].key, slice_str(key))) {
			snprintf(text, sizeof(text), "%.*s", (int)r->attrs[i].str.len,
				r->attrs[i].str.ptr);
			if (r->attrs[i].type == ATTR_INT)
				snprintf(text, sizeof(text), "%lld", (long long)r->attrs[i].num);
			return text;
		}
	return "";
}

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
	know();
	places_tick(places, clock_monotonic(), false);
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
	know();
	places_tick(places, clock_monotonic(), false);
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

/* What may be of a pod that is left out does not go, whatever there is no room for. */
Test(places, no_room_to_wait_and_rules_about_pods)
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
Test(places, no_room_to_wait_and_a_rule_that_includes)
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
Test(places, many_pods_that_are_not_known)
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
Test(places, processes_that_begin_to_wait_later)
{
	struct proc first = proc_in_pod(), second = proc_in_pod(), third = proc_in_pod(), child;
	uint64_t now = clock_monotonic();
	struct span span;

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
	span = span_of(third.resource, "one");
	cr_expect_not(places_settle(places, &span));
	cr_expect_eq(places_waiting(places), 1);
	places_tick(places, now + 22 * NS_PER_SEC, false);
	cr_expect_eq(lost, 2);
	cr_expect_eq(choice_of(&third), CHOICE_LOST);
	cr_expect_eq(released_count, 0);
}

/* Resource 0 is of all for which there was no room. */
Test(places, no_room_for_a_resource)
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
	span = span_of(b.resource, "one");
	cr_expect_not(places_settle(places, &span));
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
	span = span_of(describe(&first), "one");
	cr_expect_not(places_settle(places, &span));
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

Test(places, a_short_wait_for_a_container_of_an_excluded_pod)
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
Test(places, a_span_that_comes_very_late)
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
Test(places, resources_of_what_is_not_wanted)
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
}

Test(places, a_container_that_the_pods_status_does_not_name_yet)
{
	struct kube_pod pod = pod_named("bank", "api-7d4b-x");
	struct proc proc = proc_in_pod();
	struct proc_place at;
	struct span span;

	pod.containers[0].id[0] = '\0';
	kube_pods_put(pods, &pod);
	places_find(places, &proc, &at);
	cr_expect_eq(at.place, PLACE_WAITS);
	span = span_of(describe(&proc), "one");
	cr_expect_not(places_settle(places, &span));
	know();
	places_tick(places, clock_monotonic(), false);
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
