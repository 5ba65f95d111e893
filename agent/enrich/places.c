/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/places.h"

#include "core/clock.h"
#include "core/table.h"
#include "enrich/container.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM         (1u << 20) /* bytes of spans that wait */
#define AGE_NS       (100 * NS_PER_MS) /* between two looks at what waits for too long */
#define LATE_NS      (10 * NS_PER_SEC) /* spans are held for no longer before they come here */
#define CONTAINER_NS (10 * NS_PER_SEC) /* until a pod's status names a new container, at most */

enum state { STATE_FREE, STATE_WAITS, STATE_SETTLED, STATE_UNWANTED };

/* A resource whose pod is not known yet, or was not until lately. */
struct pending {
	enum state state;
	uint32_t resource; /* what the process was described as */
	uint32_t settled; /* what it is */
	uint64_t since_ns; /* of the state */
	bool lost; /* it is to be told that its pod did not become known */
	struct proc proc; /* the first that waits, as it was then, and what is known since */
};

/* A span in the room, followed by itself as it is packed. */
struct waiting {
	uint32_t pending, len;
};

struct places {
	struct places_env env;
	const struct places_ops *ops;
	void *ctx;
	struct table by_key; /* index into v */
	struct pending *v;
	unsigned capacity, fresh; /* of them; from `fresh` on they were never used */
	unsigned in_use, waits;
	uint64_t aged_ns; /* when they were last looked at */
	bool settled; /* one since the room was last looked through */
	bool lost; /* one of them is */
	_Atomic unsigned count; /* spans in the room */
	uint32_t used;
	_Alignas(8) char room[ROOM]; /* pages that no span needed are not resident */
};

int places_new(const struct places_env *env, const struct places_ops *ops, void *ctx,
	struct places **ret_places)
{
	struct places *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	/* so that there is one for every resource, and for every pod without one */
	p->capacity = resource_capacity(env->resources) + env->options->max_pods;
	p->v = calloc(p->capacity, sizeof(*p->v));
	if (!p->v || table_init(&p->by_key, p->capacity)) {
		places_free(p);
		return -ENOMEM;
	}
	p->env = *env;
	p->ops = ops;
	p->ctx = ctx;
	*ret_places = p;
	return 0;
}

void places_free(struct places *p)
{
	if (!p)
		return;
	table_release(&p->by_key);
	free(p->v);
	free(p);
}

static const char *label_of(const void *object, struct slice key)
{
	return kube_pod_label(object, key);
}

static const char *note_of(const void *object, struct slice key)
{
	return kube_pod_note(object, key);
}

static void describe_pod(const struct kube_pod *pod, int container, struct rule_pod *ret_pod)
{
	*ret_pod = (struct rule_pod){
		.namespace = kube_pod_text(pod, pod->namespace),
		.name = kube_pod_text(pod, pod->name),
		.object = pod,
		.label = label_of,
		.annotation = note_of,
	};
	if (container >= 0)
		ret_pod->container = kube_pod_text(pod, pod->containers[container].name);
	for (unsigned i = 0; i < RULE_OWNERS && i < KUBE_OWNERS; i++)
		if (pod->owners[i].kind) {
			ret_pod->owners[i].kind = kube_pod_text(pod, pod->owners[i].kind);
			ret_pod->owners[i].name = kube_pod_text(pod, pod->owners[i].name);
		}
}

static enum pod_wish wish_of(const struct kube_pod *pod)
{
	const char *wish = kube_pod_note(pod, SLICE("weft.io/trace"));

	return !wish                            ? POD_SILENT
	       : strcasecmp(wish, "true") == 0  ? POD_YES
	       : strcasecmp(wish, "false") == 0 ? POD_NO
						: POD_SILENT;
}

/* Azure's and OpenTelemetry's own ways of instrumenting a pod mark it so. */
static bool is_injected(const struct kube_pod *pod)
{
	static const struct slice PREFIX = {"instrumentation.opentelemetry.io/inject-", 40};

	for (unsigned i = 0; i < pod->note_count; i++) {
		const char *value = kube_pod_text(pod, pod->notes[i].value);

		if (slice_starts(slice_str(kube_pod_text(pod, pod->notes[i].key)), PREFIX) &&
			value[0] && strcasecmp(value, "false") != 0)
			return true;
	}
	return false;
}

static enum left_out left_out(
	const struct places *p, const struct kube_pod *pod, const struct proc *proc)
{
	const char *namespace = kube_pod_text(pod, pod->namespace);

	if (p->env.own_pod[0] && strcmp(kube_pod_text(pod, pod->name), p->env.own_pod) == 0 &&
		strcmp(namespace, p->env.own_namespace) == 0)
		return LEFT_OUT_SELF;
	if (!p->env.options->trace_system && strcmp(namespace, "kube-system") == 0)
		return LEFT_OUT_SYSTEM;
	if (!p->env.options->trace_instrumented && (proc->instrumented || is_injected(pod)))
		return LEFT_OUT_INSTRUMENTED;
	return LEFT_OUT_NOT;
}

/* What a process waits as: its resource. Resource 0 is that of all for which there was no room, of
 * whatever pod: of these only processes wait, to be decided on; spans do not. */
static uint64_t key_of(const struct proc *proc)
{
	return proc->resource ? proc->resource : proc->pod;
}

static uint64_t wait_ns(const struct places *p)
{
	return p->env.options->wait_ms * NS_PER_MS;
}

/* Whether a process still waits for what the API server says. One that is described waits as long
 * as its resource, also if another began to before it: when that is settled all processes of the
 * pod are decided on, and nothing would come back to one that waits for longer. */
static bool is_waiting(const struct places *p, const struct proc *proc, uint64_t longest_ns)
{
	uint32_t i;

	if (!proc->described)
		return clock_monotonic() - proc->seen_ns < longest_ns;
	i = table_find(&p->by_key, key_of(proc));
	return i != TABLE_NONE && p->v[i].state == STATE_WAITS;
}

/* Whether a pod that is known may still say more of a process' container. */
static bool is_early(const struct places *p, const struct proc *proc, int container)
{
	uint64_t wait = wait_ns(p);

	return container < 0 && is_waiting(p, proc, wait < CONTAINER_NS ? wait : CONTAINER_NS);
}

static bool is_late(const struct places *p, const struct proc *proc)
{
	return !is_waiting(p, proc, wait_ns(p));
}

/* The pod of a process, NULL if it is not known. in: it is in one. */
static const struct kube_pod *pod_of(const struct places *p, const struct proc *proc,
	struct container *ret_container, int *ret_index, bool *ret_in)
{
	const struct kube_pod *pod;

	*ret_in = container_of_cgroup(slice_str(proc->cgroup), ret_container);
	if (!*ret_in)
		return NULL;
	pod = kube_pods_find(p->env.pods, ret_container, ret_index);
	/* a container of something else than Kubernetes */
	*ret_in = pod || ret_container->pod_uid[0];
	return pod;
}

void places_find(const struct places *p, struct proc *proc, struct proc_place *ret_place)
{
	struct container container;
	const struct kube_pod *pod;
	const char *uid;
	bool in;
	int index;

	*ret_place = (struct proc_place){.place = PLACE_HOST};
	pod = pod_of(p, proc, &container, &index, &in);
	if (!in) {
		proc->pod = 0;
		return;
	}
	uid = container.pod_uid[0] || !pod ? container.pod_uid : pod->uid;
	proc->pod = kube_pod_key(slice_str(uid));
	if (!pod || is_early(p, proc, index)) {
		ret_place->place = pod || !is_late(p, proc) ? PLACE_WAITS : PLACE_LOST;
		return;
	}
	ret_place->place = PLACE_POD;
	ret_place->wish = wish_of(pod);
	ret_place->left_out = left_out(p, pod, proc);
	describe_pod(pod, index, &ret_place->pod);
}

static uint32_t intern(struct places *p, const struct process_attrs *attrs)
{
	return resource_intern(p->env.resources, attrs->attrs, attrs->n);
}

static void set_state(struct places *p, struct pending *pending, enum state state, uint64_t now_ns)
{
	p->waits -= pending->state == STATE_WAITS;
	p->waits += state == STATE_WAITS;
	p->in_use -= pending->state != STATE_FREE;
	p->in_use += state != STATE_FREE;
	pending->state = state;
	pending->since_ns = now_ns;
	p->settled |= state != STATE_WAITS;
	if (state == STATE_FREE)
		table_remove(&p->by_key, key_of(&pending->proc));
}

/* That of this key, or one that is free; NULL: all are taken. */
static struct pending *take(struct places *p, uint64_t key)
{
	uint32_t i = table_find(&p->by_key, key);

	if (i != TABLE_NONE)
		return &p->v[i];
	for (i = p->in_use < p->fresh ? 0 : p->fresh; i < p->fresh && p->v[i].state != STATE_FREE;)
		i++;
	if (i == p->capacity || table_put(&p->by_key, key, i))
		return NULL;
	p->fresh += i == p->fresh;
	return &p->v[i];
}

/* Also of one that was settled: the process is new, and is to be decided on when its time is up. */
static void wait_for_pod(struct places *p, struct proc *proc)
{
	struct pending *pending = take(p, key_of(proc));

	if (!pending)
		proc->resource = 0; /* or its spans would go without having waited */
	if (!pending || pending->state == STATE_WAITS)
		return;
	pending->resource = pending->settled = proc->resource;
	pending->proc = *proc;
	pending->lost = false;
	set_state(p, pending, STATE_WAITS, clock_monotonic());
}

void places_decided(struct places *p, const struct proc *proc)
{
	uint32_t i = proc->described ? table_find(&p->by_key, key_of(proc)) : TABLE_NONE;

	if (i == TABLE_NONE || p->v[i].state != STATE_WAITS)
		return;
	for (unsigned port = 0; port < proc->port_count; port++)
		proc_add_port(&p->v[i].proc, proc->ports[port]);
	p->v[i].proc.local_client |= proc->local_client;
}

void places_describe(struct places *p, struct proc *proc, struct process_attrs *attrs)
{
	struct container container;
	const struct kube_pod *pod;
	bool in;
	int index;

	pod = pod_of(p, proc, &container, &index, &in);
	proc->has_instance = attrs->has_instance;
	proc->named = !in || (pod && !is_early(p, proc, index));
	if (in && proc->named)
		kube_attrs_add(attrs, p->env.where, pod, index, container.id);
	else if (in) /* for which there is room; without it others could have the same resource */
		process_attr_set(attrs, SLICE("container.id"), slice_str(container.id));
	proc->resource = intern(p, attrs);
	if (!proc->named && (pod || !is_late(p, proc)))
		wait_for_pod(p, proc);
}

/* A resource with all that is known of the process' pod; the same if that is nothing, or if there
 * is no room for another. */
static uint32_t with_pod(struct places *p, const struct proc *proc, uint32_t resource)
{
	const struct resource *was = resource_get(p->env.resources, resource);
	struct process_attrs attrs = {.has_instance = proc->has_instance};
	struct container container;
	const struct kube_pod *pod;
	bool in;
	uint32_t named;
	int index;

	pod = pod_of(p, proc, &container, &index, &in);
	if (!pod)
		return resource;
	for (unsigned i = 0; i < was->n; i++)
		process_attr_set(&attrs, was->attrs[i].key, was->attrs[i].str);
	kube_attrs_add(&attrs, p->env.where, pod, index, container.id);
	named = intern(p, &attrs);
	return named ? named : resource;
}

void places_name(struct places *p, struct proc *proc)
{
	struct container container;
	const struct kube_pod *pod;
	bool in;
	int index;

	if (proc->named || !proc->described)
		return;
	pod = pod_of(p, proc, &container, &index, &in);
	if (!pod || is_early(p, proc, index))
		return;
	proc->resource = with_pod(p, proc, proc->resource);
	proc->named = true;
}

/* Whether it is traced by what is known now: as if it had waited for long. */
static bool is_wanted(const struct places *p, const struct pending *pending)
{
	struct proc proc = pending->proc;
	uint64_t wait = wait_ns(p);

	proc.seen_ns -= wait > CONTAINER_NS ? wait : CONTAINER_NS;
	return p->ops->wanted(p->ctx, &proc);
}

void places_reselect(struct places *p)
{
	for (unsigned i = 0; i < p->fresh; i++)
		if (p->v[i].state == STATE_UNWANTED && is_wanted(p, &p->v[i]))
			set_state(p, &p->v[i], STATE_SETTLED, clock_monotonic());
}

/* What is known by now must do, or is all that there is to know. */
static void settle(struct places *p, struct pending *pending)
{
	if (pending->resource)
		pending->settled = with_pod(p, &pending->proc, pending->resource);
	set_state(p, pending, is_wanted(p, pending) ? STATE_SETTLED : STATE_UNWANTED,
		clock_monotonic());
}

void places_known(struct places *p, uint64_t key)
{
	for (unsigned i = 0; p->waits && i < p->fresh; i++) {
		struct pending *pending = &p->v[i];
		struct container container;
		bool in;
		int index = -1;

		if (pending->state != STATE_WAITS || pending->proc.pod != key)
			continue;
		if (pod_of(p, &pending->proc, &container, &index, &in) &&
			!is_early(p, &pending->proc, index))
			settle(p, pending);
	}
}

static bool leave_out(struct places *p)
{
	count(p->env.counters, COUNT_SPANS_UNSELECTED);
	return false;
}

/* The span as it is to go out; false: not at all. */
static bool dress(struct places *p, const struct pending *pending, struct span *span)
{
	if (pending->state == STATE_UNWANTED ||
		(pending->state == STATE_WAITS && !is_wanted(p, pending)))
		return leave_out(p);
	if (pending->settled == pending->resource)
		count(p->env.counters, COUNT_SPANS_UNPLACED);
	span->resource = pending->settled;
	return true;
}

static bool keep(struct places *p, uint32_t pending, const struct span *span)
{
	struct waiting *head = (struct waiting *)(void *)(p->room + p->used);
	int len;

	if (ROOM - p->used < sizeof(*head) + SPAN_PACK_MAX)
		return false;
	len = span_pack(span, head + 1, SPAN_PACK_MAX);
	if (len < 0)
		return false;
	*head = (struct waiting){pending, (uint32_t)len};
	p->used += (uint32_t)(sizeof(*head) + (size_t)len);
	p->count++;
	return true;
}

/* It had no place, or none any more: nobody knows whose its spans are. */
static bool is_nobodys(const struct places *p, uint32_t resource)
{
	return resource_get(p->env.resources, resource) == resource_get(p->env.resources, 0);
}

bool places_settle(struct places *p, struct span *span)
{
	uint32_t i = span->resource ? table_find(&p->by_key, span->resource) : TABLE_NONE;

	if (i == TABLE_NONE)
		return !is_nobodys(p, span->resource) || !p->ops->strict(p->ctx) || leave_out(p);
	if (p->v[i].state == STATE_WAITS && keep(p, i, span))
		return false;
	/* no room to wait: what is known must do */
	return dress(p, &p->v[i], span);
}

/* Lets go of the spans whose resource waits no longer. */
static void look_through(struct places *p)
{
	uint32_t kept = 0;

	for (uint32_t at = 0; at < p->used;) {
		struct waiting *head = (struct waiting *)(void *)(p->room + at);
		uint32_t size = (uint32_t)sizeof(*head) + head->len;
		struct pending *pending = &p->v[head->pending];
		struct span span;

		if (pending->state == STATE_WAITS) {
			memmove(p->room + kept, head, size);
			kept += size;
		} else {
			p->count--;
			span_unpack(head + 1, head->len, &span);
			if (dress(p, pending, &span))
				p->ops->release(p->ctx, &span);
		}
		at += size;
	}
	p->used = kept;
	p->settled = false;
}

/* Whether one that was settled long ago is not asked for any more. A request that was open when its
 * process turned out not to be selected may end at any time after: as long as its resource is
 * known, and until the rules change. */
static bool is_over(const struct places *p, const struct pending *pending)
{
	return pending->state == STATE_SETTLED || is_nobodys(p, pending->resource) ||
	       is_wanted(p, pending);
}

/* One that waits can wait no longer; one that was settled makes room. */
static void age(struct places *p, struct pending *pending, uint64_t now_ns, bool all)
{
	uint64_t wait = wait_ns(p);

	if (pending->state == STATE_WAITS && (all || now_ns - pending->since_ns >= wait)) {
		settle(p, pending);
		pending->lost = true;
		p->lost = true;
	} else if (pending->state != STATE_WAITS &&
		   now_ns - pending->since_ns > LATE_NS + 2 * wait) {
		set_state(p, pending, is_over(p, pending) ? STATE_FREE : STATE_UNWANTED, now_ns);
	}
}

/* Each pod once, however many of its resources waited. */
static void tell_lost(struct places *p)
{
	p->lost = false;
	for (unsigned i = 0; i < p->fresh; i++) {
		uint64_t pod = p->v[i].proc.pod;

		if (!p->v[i].lost)
			continue;
		for (unsigned k = i; k < p->fresh; k++)
			if (p->v[k].proc.pod == pod)
				p->v[k].lost = false;
		p->ops->lost(p->ctx, pod);
	}
}

void places_tick(struct places *p, uint64_t now_ns, bool all)
{
	if (p->in_use && (all || now_ns - p->aged_ns >= AGE_NS)) {
		p->aged_ns = now_ns;
		for (unsigned i = 0; i < p->fresh; i++)
			if (p->v[i].state != STATE_FREE && now_ns > p->v[i].since_ns)
				age(p, &p->v[i], now_ns, all);
		if (p->lost)
			tell_lost(p);
	}
	if (p->settled && p->used)
		look_through(p);
}

unsigned places_waiting(const struct places *p)
{
	return p->count;
}

void places_mark(const struct places *p)
{
	for (unsigned i = 0; i < p->fresh; i++)
		/* what is not wanted gives way to what is */
		if (p->v[i].state == STATE_WAITS || p->v[i].state == STATE_SETTLED) {
			resource_mark(p->env.resources, p->v[i].resource);
			resource_mark(p->env.resources, p->v[i].settled);
		}
}
