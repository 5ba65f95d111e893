/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wiring of what weft knows of Kubernetes: the API server's thread fills the tables of pods and
 * services, which decide with the processes (capture/procs.h) what is traced, and give spans their
 * names. For agent.c; all but cluster_snapshot in the pipeline thread.
 */
#pragma once
#include "capture/procs.h"
#include "config.h"
#include "core/counters.h"
#include "enrich/process.h"
#include "enrich/resource.h"
#include "proto/exchange.h"
#include "self/roster.h"
#include "span/span.h"

struct cluster;

struct cluster_ops {
	/* Other processes are traced than before. */
	void (*reselected)(void *ctx);
	/* A span that waited for the name of its pod. */
	void (*release)(void *ctx, struct span *span);
};

/* 0 and *ret_cluster NULL where Kubernetes is off; -errno, logged. options (kubernetes) are read at
 * each call, the rest is borrowed too. */
int cluster_new(const struct kubernetes_options *options, struct resource_table *resources,
	struct counters *counters, const struct cluster_ops *ops, void *ctx,
	struct cluster **ret_cluster);
void cluster_free(struct cluster *cluster);
/* This node's name. */
const char *cluster_node(const struct cluster *cluster);
/* From here on it decides on these. */
void cluster_follow(struct cluster *cluster, struct procs *procs);

/* For struct procs_ops. */
void cluster_place(struct cluster *cluster, struct proc *proc, struct proc_place *ret_place);
void cluster_decided(struct cluster *cluster, const struct proc *proc);
/* Rules have changed. */
void cluster_reselect(struct cluster *cluster);
/* Sets the resource of a process that was just described. */
void cluster_describe(struct cluster *cluster, struct proc *proc, struct process_attrs *attrs);

/* Whether a request is a probe of the kubelet's that nobody wants to see. */
bool cluster_is_probe(const struct cluster *cluster, const struct exchange *ex);
/* Connections of this process are not understood. */
void cluster_hidden(struct cluster *cluster, const struct proc *proc);

/* It uses TLS that is not traced. False: it is in no pod that is known, and nothing was said. */
bool cluster_unread(struct cluster *cluster, const struct proc *proc, const char *why);
/* Names whom a call goes to. */
void cluster_name_peer(const struct cluster *cluster, const struct exchange *ex, struct span *span);

/* Whether the span can go on now; else it waits here, or is left out. */
bool cluster_settle(struct cluster *cluster, struct span *span);

/* Once a turn. all: whatever waits goes. Whether there is more to do soon. */
bool cluster_tick(struct cluster *cluster, uint64_t now_ns, bool all);
/* Spans that wait; any thread. */
unsigned cluster_waiting(const struct cluster *cluster);
/* Marks the resources in use: see enrich/resource.h. */
void cluster_mark(const struct cluster *cluster);

/* A row for each container of this node, with its processes. */
void cluster_roster(struct cluster *cluster, struct roster *roster);

/* Any thread. */
void cluster_snapshot(struct cluster *cluster, struct snapshot_kube *ret);
