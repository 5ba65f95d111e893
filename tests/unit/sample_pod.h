/* SPDX-License-Identifier: Apache-2.0 */
/* A pod as the API server tells of it, and a process as it is described, for the tests of what
 * makes names of them. */
#pragma once
#include "enrich/kube_object.h"
#include "enrich/process.h"

#include <string.h>

#define UID "8d2ad8a4-5c1e-4c1f-9a53-0f1c2d3e4f50"
#define ID  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static inline kube_text keep(struct kube_pod *pod, const char *text)
{
	kube_text at = pod->used;

	strcpy(pod->text + at, text);
	pod->used = (uint16_t)(pod->used + strlen(text) + 1);
	return at;
}

static inline struct kube_pod pod_named(const char *namespace, const char *name)
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

static inline void note(struct kube_pod *pod, const char *key, const char *value)
{
	pod->notes[pod->note_count].key = keep(pod, key);
	pod->notes[pod->note_count++].value = keep(pod, value);
}

static inline void attrs_of(const char *env, size_t len, struct process_attrs *ret_attrs)
{
	struct process_info info = {
		.exe = SLICE("/usr/bin/python3"), .environ = slice_of(env, len)};
	struct process_host host = {.host_name = SLICE("n1")};

	process_attrs_make(&info, &host, ret_attrs);
}
