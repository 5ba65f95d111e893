/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pod as resource attributes, on top of those of the process (process.h), by OpenTelemetry's
 * conventions for Kubernetes:
 *
 *   k8s.*, container.*, cloud.*   what the API server says of container, pod, owners, node, cluster
 *   service.name                  what the process' environment gives, else the outermost owner (a
 *                                 Deployment, …), else the pod
 *   service.namespace             the environment's, else the pod's namespace
 *   service.version               the environment's, else the label app.kubernetes.io/version, else
 *                                 the digest or the tag of the image
 *   service.instance.id           the environment's, else namespace.pod.container
 *   any                           over all of these: the annotation resource.opentelemetry.io/<any>
 */
#pragma once
#include "enrich/kube_object.h"
#include "enrich/process.h"

/* What is the same for all pods of the node; node NULL, texts empty: not known. */
struct kube_where {
	const struct kube_node *node;
	const char *node_name;
	const char *cluster_name, *cluster_uid;
};

/* container: index in the pod, or -1; container_id: empty if not known. Pure. */
void kube_attrs_add(struct process_attrs *attrs, const struct kube_where *where,
	const struct kube_pod *pod, int container, const char *container_id);

/* The AKS cluster that a node is of, as far as its labels and its provider's id say so for certain.
 */
struct kube_aks {
	char cluster[KUBE_NAME];
	char resource_id[1024];
};
bool kube_aks_of(const struct kube_node *node, struct kube_aks *ret_aks);
