/* SPDX-License-Identifier: Apache-2.0 */
/* The API server's answers: pages, lines of a watch, objects of every kind, and cgroup paths. */
#include "enrich/container.h"
#include "enrich/kube_object.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_pod(const struct kube_pod *pod)
{
	if (!pod->used || pod->used > KUBE_POD_TEXT || pod->text[pod->used - 1] ||
		pod->label_count > KUBE_POD_LABELS || pod->note_count > KUBE_POD_NOTES ||
		pod->container_count > KUBE_POD_CONTAINERS || pod->ip_count > KUBE_POD_IPS)
		abort();
	for (unsigned i = 0; i < pod->label_count; i++)
		if (!kube_pod_label(pod, slice_str(kube_pod_text(pod, pod->labels[i].key))))
			abort();
}

static int read_all(void *ctx, const json_t *object)
{
	static struct kube_pod pod;
	static struct kube_service service;
	static struct kube_slice endpoints;
	static struct kube_node node;
	char uid[POD_UID_LEN + 1];

	(void)ctx;
	if (kube_pod_read(object, &pod) == 0)
		check_pod(&pod);
	kube_service_read(object, &service);
	if (kube_slice_read(object, &endpoints) == 0 && endpoints.count > KUBE_SLICE_MAX)
		abort();
	kube_node_read(object, &node);
	kube_uid_read(object, uid);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);
	struct container container;
	struct kube_page page;
	struct kube_line line;
	json_t *object;

	if (container_of_cgroup(text, &container) && strlen(container.id) != CONTAINER_ID_LEN)
		abort();
	kube_page_read(text, read_all, NULL, &page);
	if (kube_line_read(text, &line) == 0 && line.object) {
		read_all(NULL, line.object);
		json_decref(line.object);
	}
	if (kube_parse(text, &object) == 0) {
		read_all(NULL, object);
		json_decref(object);
	}
	return 0;
}
