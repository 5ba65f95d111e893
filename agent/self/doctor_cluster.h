/* SPDX-License-Identifier: Apache-2.0 */
/* What `weft doctor` finds in a pod: of the cluster, and not of the kernel. */
#pragma once
#include "capture/features.h"
#include "config.h"

#include <stdbool.h>
#include <stdio.h>

struct finding {
	const char *name, *label;
	bool ok; /* else weft works with less */
	char detail[256];
	const char *means, *to_do; /* if not ok */
};

enum {
	FINDING_API, /* the API server answers what weft asks */
	FINDING_RIGHTS, /* the pod has what the chart asks for */
	FINDING_NETWORK, /* another user of eBPF on the node */
	FINDINGS,
};

struct findings {
	unsigned n; /* 0: not in a pod */
	struct finding v[FINDINGS];
};

/* Asks the API server, for some seconds at most. */
void doctor_cluster(
	const struct config *config, const struct features *features, struct findings *ret);

/* The pod's rights, against those that the chart asks for with this configuration. */
struct finding doctor_rights(
	const struct capture_options *options, const struct features *features);

/* The node's network, by its interfaces. False: nothing to say. interfaces: as /proc/net/dev. */
bool doctor_network(FILE *interfaces, struct finding *ret);
