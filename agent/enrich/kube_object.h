/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What weft needs of the API server's objects, read from their JSON (Kubernetes API v1,
 * discovery.k8s.io/v1). Pure, but for memory that is given back before the call returns. Whatever
 * is too long or too many is left out, and `cut` is set.
 */
#pragma once
#include "core/endpoints.h"
#include "core/slice.h"
#include "enrich/container.h"

#include <stdbool.h>
#include <stdint.h>

#define KUBE_NAME           254 /* with its NUL: a DNS subdomain (RFC 1123) */
#define KUBE_LABEL          64 /* the same of a DNS label: of namespaces and services */
#define KUBE_VERSION        64
#define KUBE_POD_TEXT       3072
#define KUBE_POD_IPS        2 /* one an address family */
#define KUBE_POD_LABELS     32
#define KUBE_POD_NOTES      16
#define KUBE_POD_CONTAINERS 16
#define KUBE_SERVICE_IPS    2
#define KUBE_SLICE_PORTS    16
#define KUBE_SLICE_MAX      1000 /* endpoints in a slice, as the API has it */
#define KUBE_OBJECT_MAX     (2u << 20) /* longest text of one object: etcd takes 1.5 MiB */
#define KUBE_VALUES_MAX     100000 /* most values in it, for each takes memory while it is read */

/* Offset of a NUL-terminated string in the object's text; 0: empty. */
typedef uint16_t kube_text;

struct kube_pair {
	kube_text key, value;
};

enum kube_owner { KUBE_DIRECT, KUBE_TOP, KUBE_OWNERS };

struct kube_pod {
	char uid[POD_UID_LEN + 1];
	char static_uid[POD_UID_LEN + 1]; /* in the cgroup paths of a static pod (32 digits, which
					     no other pod's uid is); else empty */
	kube_text namespace, name, start_time;
	struct {
		kube_text kind, name;
	} owners[KUBE_OWNERS]; /* a ReplicaSet and its Deployment; the same twice if there is but
				  one */
	bool host_network;
	bool cut;
	uint8_t ip_count, label_count, note_count, container_count;
	uint8_t ips[KUBE_POD_IPS][ADDR_LEN];
	struct kube_pair labels[KUBE_POD_LABELS];
	struct kube_pair notes[KUBE_POD_NOTES]; /* annotations, those that weft reads */
	struct {
		kube_text name, image;
		char id[CONTAINER_ID_LEN + 1]; /* empty: has none yet */
		uint32_t restarts;
	} containers[KUBE_POD_CONTAINERS];
	uint16_t used;
	char text[KUBE_POD_TEXT];
};

struct kube_service {
	char namespace[KUBE_LABEL], name[KUBE_LABEL];
	uint8_t ip_count;
	uint8_t ips[KUBE_SERVICE_IPS][ADDR_LEN];
};

struct kube_slice {
	char namespace[KUBE_LABEL], service[KUBE_LABEL]; /* service empty: of none */
	char name[KUBE_NAME];
	bool cut;
	uint8_t port_count;
	uint16_t ports[KUBE_SLICE_PORTS]; /* of each endpoint */
	unsigned count;
	uint8_t ips[KUBE_SLICE_MAX][ADDR_LEN];
};

struct kube_node {
	char name[KUBE_NAME], uid[POD_UID_LEN + 1];
	char provider_id[512];
	char region[64], zone[64], instance_type[64];
	char cluster[KUBE_NAME]; /* AKS: the resource group of the nodes, which names the cluster */
};

/* Each: 0; -EINVAL: not such an object; -E2BIG: too long or too deep; -ENOMEM. */
struct json_t;
int kube_pod_read(const struct json_t *object, struct kube_pod *ret_pod);
int kube_service_read(const struct json_t *object, struct kube_service *ret_service);
int kube_slice_read(const struct json_t *object, struct kube_slice *ret_slice);
int kube_node_read(const struct json_t *object, struct kube_node *ret_node);
/* metadata.uid */
int kube_uid_read(const struct json_t *object, char ret_uid[static POD_UID_LEN + 1]);

const char *kube_pod_text(const struct kube_pod *pod, kube_text text);
/* NULL if it has none. */
const char *kube_pod_label(const struct kube_pod *pod, struct slice key);
const char *kube_pod_note(const struct kube_pod *pod, struct slice key);

/* One object's text. 0 and *ret_object, to be freed by json_decref; else as above. */
int kube_parse(struct slice text, struct json_t **ret_object);

/* A page of a list: calls item for each of its objects that can be read, and gives what leads on.
 * 0, or the first error of the text or of item. */
struct kube_page {
	char version[KUBE_VERSION]; /* metadata.resourceVersion */
	char next[2048]; /* metadata.continue; empty: this is the last page */
	unsigned unread; /* objects that are too long, or make no sense */
};
typedef int (*kube_item_fn)(void *ctx, const struct json_t *object);
int kube_page_read(struct slice text, kube_item_fn item, void *ctx, struct kube_page *ret_page);

/* A line of a watch. *ret_object is NULL for an error, else to be freed by json_decref. */
enum kube_event { KUBE_ADDED, KUBE_MODIFIED, KUBE_DELETED, KUBE_BOOKMARK, KUBE_ERROR };
struct kube_line {
	enum kube_event event;
	int code; /* of an error: an HTTP status */
	char version[KUBE_VERSION]; /* metadata.resourceVersion of the object */
	struct json_t *object;
};
int kube_line_read(struct slice text, struct kube_line *ret_line);
