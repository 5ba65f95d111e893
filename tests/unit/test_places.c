/* SPDX-License-Identifier: Apache-2.0 */
/* Processes whose pod is not known yet, and their spans. */
#include "enrich/places.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "enrich/instrumented.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define UID "8d2ad8a4-5c1e-4c1f-9a53-0f1c2d3e4f50"
#define ID  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct kubernetes_options options;
static struct kube_where where = {
	.node_name = "n1", .cluster_name = "prod", .cluster_uid = "c-uid"};
static struct counters counters;
static struct resource_table *resources;
static struct kube_pods *pods;
static struct places *places;
static bool wanted;
static unsigned lost;
static char released[8][64]; /* service.name of each span that waited */
static unsigned released_count;

static void on_pod(void *ctx, uint64_t key, bool words)
{
	(void)ctx;
	(void)words;
	places_known(places, key);
}

static bool on_wanted(void *ctx, struct proc *proc)
{
	(void)ctx;
	(void)proc;
	return wanted;
}

static void on_lost(void *ctx, uint64_t pod)
{
	(void)ctx;
	(void)pod;
	lost++;
}

static void on_release(void *ctx, struct span *span)
{
	struct slice name = resource_service(resource_get(resources, span->resource));

	(void)ctx;
	snprintf(released[released_count++ % 8], sizeof(released[0]), "%.*s/%.*s", (int)name.len,
		name.ptr, (int)span->name.len, span->name.ptr);
}

static const struct places_ops OPS = {on_wanted, on_lost, on_release};

static void start(void)
{
	struct places_env env;

	options = (struct kubernetes_options){.wait_ms = 10000};
	wanted = true;
	cr_assert_eq(resource_table_new(64, &resources), 0);
	cr_assert_eq(kube_pods_new(8, on_pod, NULL, &pods), 0);
	env = (struct places_env){&options, &where, pods, resources, &counters, "weft-abc", "weft"};
	cr_assert_eq(places_new(&env, &OPS, NULL, &places), 0);
}

static void stop(void)
{
	places_free(places);
	kube_pods_free(pods);
	resource_table_free(resources);
}

static kube_text keep(struct kube_pod *pod, const char *text)
{
	kube_text at = pod->used;

	strcpy(pod->text + at, text);
	pod->used = (uint16_t)(pod->used + strlen(text) + 1);
	return at;
}

static struct kube_pod pod_named(const char *namespace, const char *name)
{
	struct kube_pod pod = {.uid = UID, .used = 1, .container_count = 1};

	pod.namespace = keep(&pod, namespace);
	pod.name = keep(&pod, name);
	pod.owners[KUBE_DIRECT].kind = keep(&pod, "ReplicaSet");
	pod.owners[KUBE_DIRECT].name = keep(&pod, "api-7d4b");
	pod.owners[KUBE_TOP].kind = keep(&pod, "Deployment");
	pod.owners[KUBE_TOP].name = keep(&pod, "api");
	pod.containers[0].name = keep(&pod, "app");
	pod.containers[0].image = keep(&pod, "reg.example.com:5000/bank/api:1.2.3");
	strcpy(pod.containers[0].id, ID);
	return pod;
}

static void note(struct kube_pod *pod, const char *key, const char *value)
{
	pod->notes[pod->note_count].key = keep(pod, key);
	pod->notes[pod->note_count++].value = keep(pod, value);
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

static void attrs_of(const char *env, size_t len, struct process_attrs *ret_attrs)
{
	struct process_info info = {
		.exe = SLICE("/usr/bin/python3"), .environ = slice_of(env, len)};
	struct process_host host = {.host_name = SLICE("n1")};

	process_attrs_make(&info, &host, ret_attrs);
}

static uint32_t describe(struct proc *proc)
{
	struct process_attrs attrs;
	struct proc_place at;

	attrs_of("", 0, &attrs);
	places_find(places, proc, &at);
	places_describe(places, proc, &attrs);
	proc->described = true;
	return proc->resource;
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

/* Which of the sources of service.* counts. */
Test(places, names_of_the_service)
{
	static const char ENVIRON[] = "OTEL_SERVICE_NAME=from-env\0OTEL_RESOURCE_ATTRIBUTES="
				      "service.version=9,service.instance.id=i-1,team=pay";
	struct kube_pod pod = pod_named("bank", "api-7d4b-x");
	struct process_attrs attrs;
	uint32_t id;

	attrs_of(ENVIRON, sizeof(ENVIRON), &attrs);
	kube_attrs_add(&attrs, &where, &pod, 0, ID);
	id = resource_intern(resources, attrs.attrs, attrs.n);
	cr_expect_str_eq(value(id, "service.name"), "from-env");
	cr_expect_str_eq(value(id, "service.version"), "9");
	cr_expect_str_eq(value(id, "service.instance.id"), "i-1");
	cr_expect_str_eq(value(id, "service.namespace"), "bank");
	cr_expect_str_eq(value(id, "team"), "pay");
	note(&pod, "resource.opentelemetry.io/service.name", "from-note");
	note(&pod, "resource.opentelemetry.io/deployment.environment.name", "prod");
	note(&pod, "resource.opentelemetry.io/", "nothing");
	attrs_of(ENVIRON, sizeof(ENVIRON), &attrs);
	kube_attrs_add(&attrs, &where, &pod, -1, "");
	id = resource_intern(resources, attrs.attrs, attrs.n);
	cr_expect_str_eq(value(id, "service.name"), "from-note");
	cr_expect_str_eq(value(id, "deployment.environment.name"), "prod");
	cr_expect_str_eq(value(id, "k8s.container.name"), "");
	cr_expect_str_eq(value(id, "container.id"), "");
	pod = pod_named("bank", "lonely");
	pod.owners[0].kind = pod.owners[1].kind = pod.owners[0].name = pod.owners[1].name = 0;
	attrs_of("", 0, &attrs);
	kube_attrs_add(&attrs, &where, &pod, 0, ID);
	id = resource_intern(resources, attrs.attrs, attrs.n);
	cr_expect_str_eq(value(id, "service.name"), "lonely");
}

/* Images by tag and by digest. */
Test(places, versions)
{
	static const struct {
		const char *image, *name, *version;
	} CASES[] = {
		{"nginx", "nginx", ""},
		{"nginx:1.25", "nginx", "1.25"},
		{"reg:5000/nginx", "reg:5000/nginx", ""},
		{"reg:5000/a/b:2", "reg:5000/a/b", "2"},
		{"nginx@sha256:ab", "nginx", "sha256:ab"},
		{"nginx:1@sha256:ab", "nginx", "1@sha256:ab"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct kube_pod pod = pod_named("bank", "api");
		struct process_attrs attrs;
		uint32_t id;

		attrs_of("", 0, &attrs);
		pod.containers[0].image = keep(&pod, CASES[i].image);
		kube_attrs_add(&attrs, &where, &pod, 0, ID);
		id = resource_intern(resources, attrs.attrs, attrs.n);
		cr_expect_str_eq(value(id, "container.image.name"), CASES[i].name);
		cr_expect_str_eq(value(id, "service.version"), CASES[i].version);
	}
}

Test(places, azure)
{
	static const struct {
		const char *provider, *label, *region, *cluster, *id;
	} CASES[] = {
		{"azure:///subscriptions/s-1/resourceGroups/mc_rg_shop_westeurope/providers/x",
			"MC_rg_shop_westeurope", "westeurope", "shop",
			("/subscriptions/s-1/resourceGroups/rg/providers/"
			 "Microsoft.ContainerService/managedClusters/shop")},
		/* could be split in two ways */
		{"azure:///subscriptions/s-1/resourceGroups/x", "MC_my_rg_shop_westeurope",
			"westeurope", NULL, NULL},
		{"azure:///subscriptions/s-1/resourceGroups/x", "my-nodes", "westeurope", NULL,
			NULL},
		{"azure:///nothing", "MC_rg_shop_westeurope", "westeurope", NULL, NULL},
		{"aws:///eu-west-1a/i-0", "MC_rg_shop_westeurope", "westeurope", NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct kube_node node = {.name = "n1"};
		struct kube_aks aks;

		strcpy(node.provider_id, CASES[i].provider);
		strcpy(node.cluster, CASES[i].label);
		strcpy(node.region, CASES[i].region);
		cr_expect_eq(kube_aks_of(&node, &aks), CASES[i].id != NULL, "case %zu", i);
		if (!CASES[i].id)
			continue;
		cr_expect_str_eq(aks.cluster, CASES[i].cluster);
		cr_expect_str_eq(aks.resource_id, CASES[i].id);
	}
}

/* With the NUL that ends the literal, as environments have it. */
#define ENVIRON_OF(literal)                                                                        \
	(struct slice)                                                                             \
	{                                                                                          \
		(literal), sizeof(literal)                                                         \
	}

Test(places, processes_that_export_their_own_telemetry)
{
	const struct {
		struct slice environ;
		bool is;
	} CASES[] = {
		{ENVIRON_OF("PATH=/bin"), false},
		{ENVIRON_OF("OTEL_SERVICE_NAME=x"), false},
		{ENVIRON_OF("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318"), true},
		{ENVIRON_OF("OTEL_EXPORTER_OTLP_ENDPOINT="), false},
		{ENVIRON_OF("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318\0OTEL_SDK_DISABLED=true"),
			false},
		{ENVIRON_OF("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318\0OTEL_TRACES_EXPORTER=none"),
			false},
		{ENVIRON_OF("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c:4318"), false},
		{ENVIRON_OF("APPLICATIONINSIGHTS_CONNECTION_STRING=InstrumentationKey=0"), true},
		{ENVIRON_OF("JAVA_TOOL_OPTIONS=-Xmx1g -javaagent:/a/opentelemetry-javaagent.jar"),
			true},
		{ENVIRON_OF("JAVA_TOOL_OPTIONS=-javaagent:/a/applicationinsights-agent.jar"), true},
		{ENVIRON_OF("JAVA_TOOL_OPTIONS=-javaagent:/a/jacoco.jar"), false},
		{ENVIRON_OF("NODE_OPTIONS=--require @azure/monitor-opentelemetry"), true},
		{ENVIRON_OF("NODE_OPTIONS=--max-old-space-size=512"), false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++)
		cr_expect_eq(instrumented_by_environ(CASES[i].environ), CASES[i].is, "case %zu", i);
}
