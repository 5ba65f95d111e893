/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/kube_object.h"

#include "core/cleanup.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

/* NULL if it is none, or holds a NUL. */
static const char *text_in(const json_t *value)
{
	const char *text = json_string_value(value);

	return text && strlen(text) == json_string_length(value) ? text : NULL;
}

/* The text of a member, or NULL. */
static const char *text_of(const json_t *object, const char *key)
{
	return text_in(json_object_get(object, key));
}

/* false: it does not fit, or is not there. */
static bool copy_text(const char *text, char *ret, size_t cap)
{
	size_t len = text ? strlen(text) : 0;

	if (!len || len >= cap)
		return false;
	memcpy(ret, text, len + 1);
	return true;
}

static kube_text keep(struct kube_pod *pod, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	uint16_t at = pod->used;

	if (!len)
		return 0;
	if (len >= (size_t)KUBE_POD_TEXT - pod->used) {
		pod->cut = true;
		return 0;
	}
	memcpy(pod->text + at, text, len + 1);
	pod->used = (uint16_t)(at + len + 1);
	return at;
}

static bool read_ip(const char *text, uint8_t ret_addr[static ADDR_LEN])
{
	static const uint8_t MAPPED[12] = {[10] = 0xff, [11] = 0xff};

	if (!text)
		return false;
	if (inet_pton(AF_INET, text, ret_addr + sizeof(MAPPED)) == 1) {
		memcpy(ret_addr, MAPPED, sizeof(MAPPED));
		return true;
	}
	return inet_pton(AF_INET6, text, ret_addr) == 1;
}

static const json_t *metadata_of(const json_t *object)
{
	return json_object_get(object, "metadata");
}

/* "containerd://<64 hex>" */
static bool read_container_id(const char *text, char ret_id[static CONTAINER_ID_LEN + 1])
{
	const char *id = text ? strstr(text, "://") : NULL;

	return id && strlen(id + 3) == CONTAINER_ID_LEN &&
	       copy_text(id + 3, ret_id, CONTAINER_ID_LEN + 1);
}

static void read_statuses(const json_t *statuses, struct kube_pod *pod)
{
	const json_t *status;
	size_t i;

	json_array_foreach(statuses, i, status)
	{
		const char *name = text_of(status, "name");
		json_int_t restarts = json_integer_value(json_object_get(status, "restartCount"));

		if (!name)
			continue;
		if (pod->container_count == KUBE_POD_CONTAINERS) {
			pod->cut = true;
			return;
		}
		pod->containers[pod->container_count].name = keep(pod, name);
		pod->containers[pod->container_count].image = keep(pod, text_of(status, "image"));
		pod->containers[pod->container_count].restarts =
			restarts > 0 && restarts < UINT32_MAX ? (uint32_t)restarts : 0;
		if (!read_container_id(text_of(status, "containerID"),
			    pod->containers[pod->container_count].id))
			pod->containers[pod->container_count].id[0] = '\0';
		pod->container_count++;
	}
}

static void read_ips(const json_t *status, struct kube_pod *pod)
{
	const json_t *ip;
	size_t i;

	json_array_foreach(json_object_get(status, "podIPs"), i, ip)
	{
		if (pod->ip_count < KUBE_POD_IPS &&
			read_ip(text_of(ip, "ip"), pod->ips[pod->ip_count]))
			pod->ip_count++;
	}
	if (!pod->ip_count && read_ip(text_of(status, "podIP"), pod->ips[0]))
		pod->ip_count = 1;
}

static void read_pairs(const json_t *map, bool (*wanted)(const char *key, const char *value),
	struct kube_pair *pairs, uint8_t *count, uint8_t max, struct kube_pod *pod)
{
	const char *key;
	const json_t *value;

	/* jansson's iterator takes no const */
	json_object_foreach((json_t *)(uintptr_t)map, key, value)
	{
		const char *text = text_in(value);
		struct kube_pair pair;

		if (!text || (wanted && !wanted(key, text)))
			continue;
		if (*count == max) {
			pod->cut = true;
			return;
		}
		pair.key = keep(pod, key);
		pair.value = pair.key ? keep(pod, text) : 0;
		/* half a pair would say that the value is empty */
		if (pair.key && (pair.value || !text[0]))
			pairs[(*count)++] = pair;
	}
}

#define STATIC_UID_LEN 32
#define NOTE_MAX       256 /* annotations hold anything, whole manifests even */

static bool starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static bool is_note_for_weft(const char *key, const char *value)
{
	(void)value;
	return starts(key, "weft.io/") || starts(key, "resource.opentelemetry.io/") ||
	       starts(key, "instrumentation.opentelemetry.io/inject-");
}

/* Rules may ask for it. */
static bool is_other_note(const char *key, const char *value)
{
	return !is_note_for_weft(key, value) && strlen(value) < NOTE_MAX;
}

static const json_t *owner_of(const json_t *metadata)
{
	const json_t *owners = json_object_get(metadata, "ownerReferences"), *owner;
	size_t i;

	json_array_foreach(owners, i, owner)
	{
		if (json_is_true(json_object_get(owner, "controller")))
			return owner;
	}
	return json_array_get(owners, 0);
}

/* Without its last "-part"; empty if there is none. */
static struct slice stem(const char *name)
{
	const char *dash = strrchr(name, '-');

	return slice_of(name, dash ? (size_t)(dash - name) : 0);
}

/* A ReplicaSet is called after its Deployment and the pods' template, a Job after its CronJob and
 * the minute it was due. */
static bool is_of_deployment(const json_t *metadata, const char *kind, const char *name)
{
	const char *hash = text_of(json_object_get(metadata, "labels"), "pod-template-hash");
	struct slice base = stem(name);

	return strcmp(kind, "ReplicaSet") == 0 && hash && base.len &&
	       strcmp(name + base.len + 1, hash) == 0;
}

static bool is_of_cronjob(const char *kind, const char *name)
{
	struct slice base = stem(name);
	const char *minute = name + base.len + 1;

	return strcmp(kind, "Job") == 0 && base.len && strlen(minute) >= 8 &&
	       strspn(minute, "0123456789") == strlen(minute);
}

static void read_owner(const json_t *metadata, struct kube_pod *pod)
{
	const json_t *owner = owner_of(metadata);
	const char *kind = text_of(owner, "kind"), *name = text_of(owner, "name");
	const char *top;
	char base[KUBE_NAME];

	if (!kind || !name || strlen(name) >= sizeof(base))
		return;
	pod->owners[KUBE_DIRECT].kind = keep(pod, kind);
	pod->owners[KUBE_DIRECT].name = keep(pod, name);
	pod->owners[KUBE_TOP] = pod->owners[KUBE_DIRECT];
	top = is_of_deployment(metadata, kind, name) ? "Deployment"
	      : is_of_cronjob(kind, name)            ? "CronJob"
						     : NULL;
	if (!top)
		return;
	memcpy(base, name, stem(name).len);
	base[stem(name).len] = '\0';
	pod->owners[KUBE_TOP].kind = keep(pod, top);
	pod->owners[KUBE_TOP].name = keep(pod, base);
}

/* A static pod has another uid in its cgroups than in the API: a hash, of which the kubelet puts
 * this annotation on the pod that mirrors it there. */
static void read_static_uid(const json_t *annotations, struct kube_pod *pod)
{
	const char *hash = text_of(annotations, "kubernetes.io/config.hash");

	if (hash && text_of(annotations, "kubernetes.io/config.mirror") &&
		strspn(hash, "0123456789abcdef") == STATIC_UID_LEN)
		copy_text(hash, pod->static_uid, STATIC_UID_LEN + 1);
}

int kube_pod_read(const json_t *object, struct kube_pod *ret_pod)
{
	const json_t *metadata = metadata_of(object), *spec = json_object_get(object, "spec");
	const json_t *status = json_object_get(object, "status");
	const json_t *annotations = json_object_get(metadata, "annotations");
	struct kube_pod *pod = ret_pod;

	memset(pod, 0, sizeof(*pod));
	pod->used = 1; /* text[0] is the empty string */
	if (!copy_text(text_of(metadata, "uid"), pod->uid, sizeof(pod->uid)))
		return -EINVAL;
	pod->namespace = keep(pod, text_of(metadata, "namespace"));
	pod->name = keep(pod, text_of(metadata, "name"));
	if (!pod->namespace || !pod->name)
		return -EINVAL;
	read_static_uid(annotations, pod);
	pod->host_network = json_is_true(json_object_get(spec, "hostNetwork"));
	pod->start_time = keep(pod, text_of(status, "startTime"));
	read_ips(status, pod);
	/* first what decides whether it is traced, and what its service is called */
	read_pairs(
		annotations, is_note_for_weft, pod->notes, &pod->note_count, KUBE_POD_NOTES, pod);
	read_owner(metadata, pod);
	read_statuses(json_object_get(status, "containerStatuses"), pod);
	read_statuses(json_object_get(status, "initContainerStatuses"), pod);
	read_statuses(json_object_get(status, "ephemeralContainerStatuses"), pod);
	read_pairs(json_object_get(metadata, "labels"), NULL, pod->labels, &pod->label_count,
		KUBE_POD_LABELS, pod);
	read_pairs(annotations, is_other_note, pod->notes, &pod->note_count, KUBE_POD_NOTES, pod);
	return 0;
}

const char *kube_pod_text(const struct kube_pod *pod, kube_text text)
{
	return pod->text + text;
}

static const char *find(
	const struct kube_pod *pod, const struct kube_pair *pairs, unsigned count, struct slice key)
{
	for (unsigned i = 0; i < count; i++)
		if (slice_eq(slice_str(kube_pod_text(pod, pairs[i].key)), key))
			return kube_pod_text(pod, pairs[i].value);
	return NULL;
}

const char *kube_pod_label(const struct kube_pod *pod, struct slice key)
{
	return find(pod, pod->labels, pod->label_count, key);
}

const char *kube_pod_note(const struct kube_pod *pod, struct slice key)
{
	return find(pod, pod->notes, pod->note_count, key);
}

/* namespace and name. */
static bool read_names(
	const json_t *object, char ret_namespace[static KUBE_LABEL], char *ret_name, size_t cap)
{
	const json_t *metadata = metadata_of(object);

	return copy_text(text_of(metadata, "namespace"), ret_namespace, KUBE_LABEL) &&
	       copy_text(text_of(metadata, "name"), ret_name, cap);
}

int kube_service_read(const json_t *object, struct kube_service *ret_service)
{
	const json_t *spec = json_object_get(object, "spec"), *ip;
	size_t i;

	memset(ret_service, 0, sizeof(*ret_service));
	if (!read_names(object, ret_service->namespace, ret_service->name, KUBE_LABEL))
		return -EINVAL;
	/* "None" of a headless service is no address */
	json_array_foreach(json_object_get(spec, "clusterIPs"), i, ip)
	{
		if (ret_service->ip_count < KUBE_SERVICE_IPS &&
			read_ip(text_in(ip), ret_service->ips[ret_service->ip_count]))
			ret_service->ip_count++;
	}
	if (!ret_service->ip_count && read_ip(text_of(spec, "clusterIP"), ret_service->ips[0]))
		ret_service->ip_count = 1;
	return 0;
}

static void read_ports(const json_t *ports, struct kube_slice *slice)
{
	const json_t *port;
	size_t i;

	json_array_foreach(ports, i, port)
	{
		json_int_t number = json_integer_value(json_object_get(port, "port"));

		if (slice->port_count == KUBE_SLICE_PORTS) {
			slice->cut = true;
			return;
		}
		if (number > 0 && number <= UINT16_MAX)
			slice->ports[slice->port_count++] = (uint16_t)number;
	}
}

int kube_slice_read(const json_t *object, struct kube_slice *ret_slice)
{
	const json_t *labels = json_object_get(metadata_of(object), "labels"), *endpoint, *ip;
	size_t i, j;

	memset(ret_slice, 0, offsetof(struct kube_slice, ips));
	if (!read_names(object, ret_slice->namespace, ret_slice->name, KUBE_NAME))
		return -EINVAL;
	copy_text(text_of(labels, "kubernetes.io/service-name"), ret_slice->service, KUBE_LABEL);
	read_ports(json_object_get(object, "ports"), ret_slice);
	json_array_foreach(json_object_get(object, "endpoints"), i, endpoint)
	{
		json_array_foreach(json_object_get(endpoint, "addresses"), j, ip)
		{
			if (ret_slice->count == KUBE_SLICE_MAX) {
				ret_slice->cut = true;
				return 0;
			}
			if (read_ip(text_in(ip), ret_slice->ips[ret_slice->count]))
				ret_slice->count++;
		}
	}
	return 0;
}

int kube_node_read(const json_t *object, struct kube_node *ret_node)
{
	const json_t *metadata = metadata_of(object);
	const json_t *labels = json_object_get(metadata, "labels");

	memset(ret_node, 0, sizeof(*ret_node));
	if (!copy_text(text_of(metadata, "name"), ret_node->name, sizeof(ret_node->name)) ||
		!copy_text(text_of(metadata, "uid"), ret_node->uid, sizeof(ret_node->uid)))
		return -EINVAL;
	copy_text(text_of(json_object_get(object, "spec"), "providerID"), ret_node->provider_id,
		sizeof(ret_node->provider_id));
	copy_text(text_of(labels, "topology.kubernetes.io/region"), ret_node->region,
		sizeof(ret_node->region));
	copy_text(text_of(labels, "topology.kubernetes.io/zone"), ret_node->zone,
		sizeof(ret_node->zone));
	copy_text(text_of(labels, "node.kubernetes.io/instance-type"), ret_node->instance_type,
		sizeof(ret_node->instance_type));
	copy_text(text_of(labels, "kubernetes.azure.com/cluster"), ret_node->cluster,
		sizeof(ret_node->cluster));
	return 0;
}

int kube_uid_read(const json_t *object, char ret_uid[static POD_UID_LEN + 1])
{
	return copy_text(text_of(metadata_of(object), "uid"), ret_uid, POD_UID_LEN + 1) ? 0
											: -EINVAL;
}
