/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This node's pods, as the API server told them last. Pipeline thread. A fixed number; what does
 * not fit is left out and counted. A pod that is deleted stays known for a while: its last spans
 * are still to come.
 */
#pragma once
#include "enrich/kube_object.h"

struct kube_pods;

/* A pod became known, or something about it changed; words: its labels or annotations, when it was
 * known before. key: see kube_pod_key. */
typedef void (*kube_pod_fn)(void *ctx, uint64_t key, bool words);

int kube_pods_new(unsigned max, kube_pod_fn on_pod, void *ctx, struct kube_pods **ret_pods);
void kube_pods_free(struct kube_pods *pods);

/* Of pod->text only what is used is read. */
void kube_pods_put(struct kube_pods *pods, const struct kube_pod *pod);
void kube_pods_gone(struct kube_pods *pods, const char *uid, uint64_t now_ns);
/* All there are follow, each by a put; what was not among them is gone at the end. */
void kube_pods_list_begin(struct kube_pods *pods);
void kube_pods_list_end(struct kube_pods *pods, uint64_t now_ns);
/* Forgets those that have been gone for long. Now and then. */
void kube_pods_tick(struct kube_pods *pods, uint64_t now_ns);

/* The same for all processes of a pod, by the uid that is in their cgroup's path; never 0. */
uint64_t kube_pod_key(struct slice uid);

/* The pod of a container; *ret_container is the container's index in it, or -1 if the pod's status
 * does not name it (yet, or it is the pod's sandbox). NULL: not known. */
const struct kube_pod *kube_pods_find(
	const struct kube_pods *pods, const struct container *container, int *ret_container);

/* Every pod that is not gone. */
typedef void (*kube_pod_each_fn)(void *ctx, const struct kube_pod *pod);
void kube_pods_each(const struct kube_pods *pods, kube_pod_each_fn fn, void *ctx);

/* Whether one of them has this address for its own. */
bool kube_pods_have(const struct kube_pods *pods, const uint8_t addr[static ADDR_LEN]);

/* Any thread. */
struct kube_pods_stats {
	uint64_t known; /* now, without those that are gone */
	uint64_t full; /* left out: no room */
	uint64_t cut; /* of which something was left out */
};
void kube_pods_stats(const struct kube_pods *pods, struct kube_pods_stats *ret_stats);
