/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/kube_attrs.h"

#include "core/cleanup.h"
#include "span/text.h"

#include <stdio.h>
#include <string.h>

static const struct slice NOTE_PREFIX = {"resource.opentelemetry.io/", 26};

static void set(struct process_attrs *attrs, const char *key, const char *value)
{
	char buf[1024];
	struct text text = {.buf = buf, .cap = sizeof(buf)};

	if (value && value[0])
		process_attr_set(attrs, slice_str(key), text_utf8(&text, slice_str(value)));
}

static const struct attr *find(const struct process_attrs *attrs, const char *key)
{
	for (unsigned i = 0; i < attrs->n; i++)
		if (slice_eq(attrs->attrs[i].key, slice_str(key)))
			return &attrs->attrs[i];
	return NULL;
}

static void set_if_absent(struct process_attrs *attrs, const char *key, const char *value)
{
	if (!find(attrs, key))
		set(attrs, key, value);
}

/* "…/subscriptions/<id>/resourceGroups/…" → id */
static struct slice subscription_of(const char *provider_id)
{
	static const char mark[] = "/subscriptions/";
	const char *at = strcasestr(provider_id, mark);
	const char *from = at ? at + sizeof(mark) - 1 : NULL;

	return from ? slice_of(from, strcspn(from, "/")) : (struct slice){NULL, 0};
}

/* AKS calls the resource group of a cluster's nodes MC_<group>_<cluster>_<region>, unless told
 * otherwise. With further underscores it could be split in several ways. */
bool kube_aks_of(const struct kube_node *node, struct kube_aks *ret_aks)
{
	struct slice rest = slice_str(node->cluster), prefix = slice_cut(&rest, '_');
	struct slice group = slice_cut(&rest, '_'), cluster = slice_cut(&rest, '_');
	struct slice subscription = subscription_of(node->provider_id);

	if (strncmp(node->provider_id, "azure://", 8) != 0 || !subscription.len)
		return false;
	if (!slice_eq_nocase(prefix, SLICE("MC")) || !group.len || !cluster.len ||
		!slice_eq_nocase(rest, slice_str(node->region)))
		return false;
	snprintf(ret_aks->cluster, sizeof(ret_aks->cluster), "%.*s", (int)cluster.len, cluster.ptr);
	snprintf(ret_aks->resource_id, sizeof(ret_aks->resource_id),
		"/subscriptions/%.*s/resourceGroups/%.*s/providers/"
		"Microsoft.ContainerService/managedClusters/%.*s",
		(int)subscription.len, subscription.ptr, (int)group.len, group.ptr,
		(int)cluster.len, cluster.ptr);
	return true;
}

static void add_place(struct process_attrs *attrs, const struct kube_where *where)
{
	const struct kube_node *node = where->node;
	struct kube_aks aks = {0};

	set(attrs, "k8s.node.name", where->node_name);
	set(attrs, "k8s.cluster.uid", where->cluster_uid);
	if (node && strncmp(node->provider_id, "azure://", 8) == 0) {
		set(attrs, "cloud.provider", "azure");
		if (node->cluster[0])
			set(attrs, "cloud.platform", "azure.aks");
		if (kube_aks_of(node, &aks))
			set(attrs, "cloud.resource_id", aks.resource_id);
	}
	if (node) {
		set(attrs, "cloud.region", node->region);
		set(attrs, "cloud.availability_zone", node->zone);
		set(attrs, "host.type", node->instance_type);
		set(attrs, "k8s.node.uid", node->uid);
	}
	set(attrs, "k8s.cluster.name", where->cluster_name[0] ? where->cluster_name : aks.cluster);
}

/* "k8s.deployment.name" for a Deployment. A kind that the conventions do not know has no attribute.
 */
static void add_owner(
	struct process_attrs *attrs, const struct kube_pod *pod, enum kube_owner which)
{
	static const struct {
		const char *kind, *key;
	} KEYS[] = {
		{"Deployment", "k8s.deployment.name"},
		{"ReplicaSet", "k8s.replicaset.name"},
		{"StatefulSet", "k8s.statefulset.name"},
		{"DaemonSet", "k8s.daemonset.name"},
		{"CronJob", "k8s.cronjob.name"},
		{"Job", "k8s.job.name"},
	};
	const char *kind = kube_pod_text(pod, pod->owners[which].kind);

	for (size_t i = 0; i < ARRAY_SIZE(KEYS); i++)
		if (strcmp(kind, KEYS[i].kind) == 0)
			set(attrs, KEYS[i].key, kube_pod_text(pod, pod->owners[which].name));
}

/* name[:tag][@digest]; a port of the registry is no tag. */
struct image {
	struct slice name, tag, digest;
};

static struct image split_image(const char *text)
{
	struct image image = {.name = slice_str(text)};
	const char *at = strchr(text, '@'), *slash, *colon;

	if (at) {
		image.digest = slice_str(at + 1);
		image.name.len = (size_t)(at - text);
	}
	slash = memrchr(image.name.ptr, '/', image.name.len);
	colon = memrchr(image.name.ptr, ':', image.name.len);
	if (colon && (!slash || colon > slash)) {
		image.tag =
			slice_of(colon + 1, image.name.len - (size_t)(colon + 1 - image.name.ptr));
		image.name.len = (size_t)(colon - image.name.ptr);
	}
	return image;
}

static void add_container(struct process_attrs *attrs, const struct kube_pod *pod, int container)
{
	struct image image;

	if (container < 0)
		return;
	set(attrs, "k8s.container.name", kube_pod_text(pod, pod->containers[container].name));
	process_attr_set_int(
		attrs, SLICE("k8s.container.restart_count"), pod->containers[container].restarts);
	image = split_image(kube_pod_text(pod, pod->containers[container].image));
	if (image.name.len)
		process_attr_set(attrs, SLICE("container.image.name"), image.name);
}

static void add_version(struct process_attrs *attrs, const struct kube_pod *pod, int container)
{
	struct image image = {0};
	struct slice version;

	set_if_absent(
		attrs, "service.version", kube_pod_label(pod, SLICE("app.kubernetes.io/version")));
	if (container >= 0)
		image = split_image(kube_pod_text(pod, pod->containers[container].image));
	version = image.tag;
	if (image.tag.len && image.digest.len) /* tag@digest, as it stands there */
		version.len += 1 + image.digest.len;
	else if (image.digest.len)
		version = image.digest;
	if (version.len && !find(attrs, "service.version"))
		process_attr_set(attrs, SLICE("service.version"), version);
}

static void add_service(struct process_attrs *attrs, const struct kube_pod *pod, int container)
{
	static const struct slice UNKNOWN = {"unknown_service", 15};
	const struct attr *name = find(attrs, "service.name");
	const char *owner = kube_pod_text(pod, pod->owners[KUBE_TOP].name);
	char instance[3 * KUBE_NAME];

	if (!name || slice_starts(name->str, UNKNOWN))
		set(attrs, "service.name", owner[0] ? owner : kube_pod_text(pod, pod->name));
	set_if_absent(attrs, "service.namespace", kube_pod_text(pod, pod->namespace));
	add_version(attrs, pod, container);
	snprintf(instance, sizeof(instance), "%s.%s%s%s", kube_pod_text(pod, pod->namespace),
		kube_pod_text(pod, pod->name), container >= 0 ? "." : "",
		container >= 0 ? kube_pod_text(pod, pod->containers[container].name) : "");
	if (!attrs->has_instance)
		set(attrs, "service.instance.id", instance);
}

void kube_attrs_add(struct process_attrs *attrs, const struct kube_where *where,
	const struct kube_pod *pod, int container, const char *container_id)
{
	/* what a service is found by first: whatever else finds no room */
	add_service(attrs, pod, container);
	set(attrs, "k8s.namespace.name", kube_pod_text(pod, pod->namespace));
	set(attrs, "k8s.pod.name", kube_pod_text(pod, pod->name));
	set(attrs, "k8s.pod.uid", pod->uid);
	add_container(attrs, pod, container);
	set(attrs, "container.id", container_id);
	add_owner(attrs, pod, KUBE_DIRECT);
	add_owner(attrs, pod, KUBE_TOP);
	add_place(attrs, where);
	for (unsigned i = 0; i < pod->note_count; i++) {
		struct slice key = slice_str(kube_pod_text(pod, pod->notes[i].key));

		if (slice_starts(key, NOTE_PREFIX) && key.len > NOTE_PREFIX.len)
			set(attrs, key.ptr + NOTE_PREFIX.len,
				kube_pod_text(pod, pod->notes[i].value));
	}
}
