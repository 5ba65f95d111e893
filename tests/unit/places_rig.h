/* SPDX-License-Identifier: Apache-2.0 */
/* Pods, resources and places, and a pipeline that decides and takes what is released. */
#pragma once
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

static inline void on_pod(void *ctx, uint64_t key, bool words)
{
	(void)ctx;
	(void)words;
	places_known(places, key);
	if (living && living->pod == key)
		places_name(places, living);
}

static inline enum choice choice_of(struct proc *proc)
{
	struct choose_subject subject = {
		.rules = {.pid = proc->pid, .exe = proc->exe, .cgroup = proc->cgroup},
		.ports = proc->ports,
		.port_count = proc->port_count,
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

static inline bool on_wanted(void *ctx, struct proc *proc)
{
	(void)ctx;
	return rules.n ? choice_traced(choice_of(proc)) : wanted;
}

static inline bool on_strict(void *ctx)
{
	(void)ctx;
	return rules_have_pods(&rules);
}

static inline void on_lost(void *ctx, uint64_t pod)
{
	lost++;
	on_pod(ctx, pod, false);
}

static inline void on_release(void *ctx, struct span *span)
{
	struct slice name = resource_service(resource_get(resources, span->resource));

	(void)ctx;
	snprintf(released[released_count++ % 8], sizeof(released[0]), "%.*s/%.*s", (int)name.len,
		name.ptr, (int)span->name.len, span->name.ptr);
}

static const struct places_ops OPS = {on_wanted, on_strict, on_lost, on_release};

static inline void start_with(unsigned max_resources, unsigned max_pods)
{
	struct places_env env;

	options = (struct kubernetes_options){.wait_ms = 10000, .max_pods = max_pods};
	wanted = true;
	cr_assert_eq(resource_table_new(max_resources, &resources), 0);
	cr_assert_eq(kube_pods_new(max_pods, on_pod, NULL, &pods), 0);
	env = (struct places_env){&options, &where, pods, resources, &counters, "weft-abc", "weft"};
	cr_assert_eq(places_new(&env, &OPS, NULL, &places), 0);
}

static inline void start(void)
{
	start_with(64, 8);
}

static inline void stop(void)
{
	places_free(places);
	kube_pods_free(pods);
	resource_table_free(resources);
}

static inline void restart_with(unsigned max_resources, unsigned max_pods)
{
	stop();
	start_with(max_resources, max_pods);
}

static inline void rule(const char *text, bool exclude)
{
	char why[RULE_ERROR_BYTES];

	cr_assert_eq(rule_parse(slice_str(text), exclude, &rules.v[rules.n++], why), 0);
}

static inline void know(void)
{
	struct kube_pod pod = pod_named("bank", "api-7d4b-x");

	kube_pods_put(pods, &pod);
}

static inline void become_known(void)
{
	know();
	places_tick(places, clock_monotonic(), false);
}

static inline struct proc proc_in_pod(void)
{
	return (struct proc){.pid = 10,
		.seen_ns = clock_monotonic(),
		.exe = "/usr/bin/python3",
		.cgroup = "/kubepods/burstable/pod" UID "/" ID};
}

static inline struct proc proc_number(unsigned i)
{
	struct proc proc = proc_in_pod();

	snprintf(proc.cgroup, sizeof(proc.cgroup),
		"/kubepods/pod%08x-5c1e-4c1f-9a53-0f1c2d3e4f50/%064x", i, i);
	return proc;
}

static inline uint32_t describe_with(struct proc *proc, const char *env, size_t len)
{
	struct process_attrs attrs;
	struct proc_place at;

	attrs_of(env, len, &attrs);
	places_find(places, proc, &at);
	places_describe(places, proc, &attrs);
	proc->described = true;
	return proc->resource;
}

static inline uint32_t describe(struct proc *proc)
{
	return describe_with(proc, "", 0);
}

static inline struct span span_of(uint32_t resource, const char *name)
{
	return (struct span){.resource = resource, .name = slice_str(name), .kind = SPAN_SERVER};
}

/* It waits, or is left out. */
static inline void stays(uint32_t resource, const char *name)
{
	struct span span = span_of(resource, name);

	cr_expect_not(places_settle(places, &span));
}

static inline const char *value(uint32_t resource, const char *key)
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
