/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster's services by their addresses, for naming whom a call goes to: the address of a
 * service, or of a pod behind one, on whatever node. Pipeline thread. A fixed number of each; what
 * does not fit is left out and counted.
 */
#pragma once
#include "enrich/kube_object.h"

struct kube_peers;

int kube_peers_new(unsigned max_services, unsigned max_endpoints, struct kube_peers **ret_peers);
void kube_peers_free(struct kube_peers *peers);

void kube_peers_put_service(struct kube_peers *peers, const struct kube_service *service);
void kube_peers_put_slice(struct kube_peers *peers, const struct kube_slice *slice);
void kube_peers_service_gone(struct kube_peers *peers, const char *namespace, const char *name);
void kube_peers_slice_gone(struct kube_peers *peers, const char *namespace, const char *name);
/* Of services, or of slices: all there are follow, each by a put; what was not among them is gone
 * at the end. */
void kube_peers_list_begin(struct kube_peers *peers, bool slices);
void kube_peers_list_end(struct kube_peers *peers, bool slices);

/* The service with this address, or the only one that has address and port for an endpoint: what is
 * behind several services tells of none, and nor does another port of a pod that may share its
 * node's address. Slices live until the next put. */
struct kube_peer {
	struct slice namespace, name;
};
bool kube_peers_find(const struct kube_peers *peers, const uint8_t addr[static ADDR_LEN],
	uint16_t port, struct kube_peer *ret_peer);

/* Any thread. */
struct kube_peers_stats {
	uint64_t services, endpoints; /* now */
	uint64_t full; /* left out: no room */
	uint64_t cut; /* slices with more endpoints or ports than are read */
};
void kube_peers_stats(const struct kube_peers *peers, struct kube_peers_stats *ret_stats);
