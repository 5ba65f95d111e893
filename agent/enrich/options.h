/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdbool.h>

enum kubernetes_use {
	KUBERNETES_AUTO, /* on inside of a cluster: where a pod finds its API server and its token
			  */
	KUBERNETES_OFF,
	KUBERNETES_ON,
};

/* Whose names processes get in Kubernetes, and which pods are left out. */
struct kubernetes_options {
	enum kubernetes_use use;
	char node[256]; /* this node's name; empty: that of the host */
	char cluster_name[256]; /* k8s.cluster.name; empty: what the node's labels say, if anything
				 */
	char api[512]; /* URL of the API server; empty: from KUBERNETES_SERVICE_HOST and _PORT */
	char credentials[256]; /* directory of token, ca.crt and namespace */
	unsigned max_pods; /* of this node, those that ended lately included */
	unsigned max_services;
	unsigned max_endpoints;
	unsigned wait_ms; /* longest time that spans wait for the name of their pod */
	bool trace_system; /* kube-system as well */
	bool trace_instrumented; /* pods that export their own telemetry as well */
	bool trace_probes; /* the kubelet's probes as well */
};
