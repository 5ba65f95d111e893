/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes and their pods. A process in a container whose pod is not known yet is described as far
 * as it can be, and its spans wait here, in a buffer of fixed size, until the pod is known or the
 * time is up: then they go out with the pod's name, or without it, or, if the pod turns out not to
 * be selected, or may be one of those, not at all. When there is no room to wait, the time is up at
 * once. That holds as well for processes that are gone by then. Pipeline thread.
 */
#pragma once
#include "capture/procs.h"
#include "core/counters.h"
#include "enrich/kube_attrs.h"
#include "enrich/kube_pods.h"
#include "enrich/options.h"
#include "enrich/resource.h"

struct places;

struct places_ops {
	/* Whether a process is traced, now that its pod is known or that it is too late. */
	bool (*wanted)(void *ctx, struct proc *proc);
	/* Whether there are rules about pods, so that no span goes out of which nobody knows whose
	 * it is. */
	bool (*strict)(void *ctx);
	/* It is too late: the pod of these processes did not become known. */
	void (*lost)(void *ctx, uint64_t pod);
	/* A span that waited. Its slices die with the call. */
	void (*release)(void *ctx, struct span *span);
};

/* All are borrowed. options and where are read at each call, but for max_pods. */
struct places_env {
	const struct kubernetes_options *options;
	const struct kube_where *where;
	struct kube_pods *pods;
	struct resource_table *resources;
	struct counters *counters;
	const char *own_pod; /* weft's own: name and namespace; empty: it runs in none */
	const char *own_namespace;
};

int places_new(const struct places_env *env, const struct places_ops *ops, void *ctx,
	struct places **ret_places);
void places_free(struct places *places);

/* Where a process is; sets proc->pod. The answer's texts live until the pods change. */
void places_find(const struct places *places, struct proc *proc, struct proc_place *ret_place);

/* Sets the resource of a process that was just described by attrs, to which those of its pod are
 * added if it is known. */
void places_describe(struct places *places, struct proc *proc, struct process_attrs *attrs);

/* A process that waits was decided on: what is known of it by now decides on its spans. */
void places_decided(struct places *places, const struct proc *proc);
/* Rules have changed. */
void places_reselect(struct places *places);

/* The pod of these processes became known: for those that are gone. */
void places_known(struct places *places, uint64_t pod);
/* The same for one that lives: its resource becomes that of its pod, however long that took. */
void places_name(struct places *places, struct proc *proc);

/* Whether the span can go now; its resource is the right one then. Else it waits here, or is left
 * out. */
bool places_settle(struct places *places, struct span *span);

/* Lets go what has waited long enough; all: everything. Call every few milliseconds while
 * places_waiting. */
void places_tick(struct places *places, uint64_t now_ns, bool all);
unsigned places_waiting(const struct places *places); /* spans; any thread */

/* Marks the resources that are needed here: see resource.h. */
void places_mark(const struct places *places);
