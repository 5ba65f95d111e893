/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API server, followed by one thread: this node's pods, the cluster's services and their
 * EndpointSlices, each listed in pages and then watched, this node, and the uid of kube-system,
 * which stands for the cluster's (Kubernetes API concepts: "Efficient detection of changes",
 * "Retrieving large results sets in chunks").
 *
 * A watch goes on from the latest version that it saw, bookmarks included. A version that the
 * server no longer has (410) is followed by a new list, of which the pipeline keeps what it knew
 * until the list is whole; so is a watch that is refused, that fails time after time, or that told
 * what could not be read. An object that cannot be read is passed over. Failures are tried again
 * after a time that doubles, up to a minute, of which a random part is waited; after Retry-After if
 * the server says so. The token is read for each request, since it is replaced before it ends, and
 * the server's certificate is checked against ca.crt as it is then.
 */
#pragma once
#include "enrich/kube_queue.h"
#include "enrich/options.h"

struct kube_api;

/* Whether a pod's means to reach the API server are here; *ret_why (static) if not. */
bool kube_api_available(const struct kubernetes_options *options, const char **ret_why);

#define KUBE_PROBLEM 200

/* Asks for one object of each kind, waiting for the answers (`weft doctor`). 0, or -errno and
 * what fails. */
int kube_api_try(const struct kubernetes_options *options, const char *node,
	char ret_problem[static KUBE_PROBLEM]);

/* Starts the thread. options and queue are borrowed until kube_api_free. node: this node's name. 0
 * or -errno. */
int kube_api_new(const struct kubernetes_options *options, const char *node,
	struct kube_queue *queue, struct kube_api **ret_api);
/* Ends it, at once. */
void kube_api_free(struct kube_api *api);

/* Any thread. */
struct kube_api_stats {
	uint64_t requests, lists, watches, events, errors, bytes;
	uint64_t last_ok_ns; /* CLOCK_MONOTONIC; 0: never */
	bool synced[KUBE_KINDS]; /* a list was whole, and is being followed */
	char problem[KUBE_PROBLEM]; /* what fails at present, and what to do; empty: nothing */
};
void kube_api_stats(struct kube_api *api, struct kube_api_stats *ret_stats);
const char *kube_kind_name(enum kube_kind kind); /* "pods" */
