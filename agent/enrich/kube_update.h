/* SPDX-License-Identifier: Apache-2.0 */
/* What the watch of the API server tells the pipeline thread. */
#pragma once
#include "enrich/kube_object.h"

enum kube_kind { KUBE_PODS, KUBE_SERVICES, KUBE_SLICES, KUBE_KINDS, KUBE_THIS_NODE, KUBE_CLUSTER };

enum kube_op {
	KUBE_PUT, /* there is such an object, maybe a changed one */
	KUBE_GONE,
	KUBE_LIST_BEGIN, /* all there are follow, each as a PUT; another BEGIN starts over */
	KUBE_LIST_END, /* what was not among them is gone */
};

struct kube_update {
	enum kube_kind kind;
	enum kube_op op;
	union {
		struct kube_pod pod;
		struct kube_service service;
		struct kube_slice slice;
		struct kube_node node;
		char cluster_uid[POD_UID_LEN + 1];
	};
};
