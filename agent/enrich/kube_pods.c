/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/kube_pods.h"

#include "core/clock.h"
#include "core/table.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define GONE_NS (60 * NS_PER_SEC) /* that one stays known after its deletion */

struct entry {
	bool used;
	uint32_t list; /* the latest list that it was in */
	uint64_t gone_ns; /* 0: it is not */
	struct kube_pod pod;
};

struct kube_pods {
	struct entry *v; /* pages that no pod needed are not resident */
	uint32_t *free;
	unsigned max, free_count;
	struct table by_uid, by_container, by_ip; /* index into v */
	uint32_t list; /* number of the latest one */
	kube_pod_fn on_pod;
	void *ctx;
	_Atomic uint64_t known, full, cut;
};

int kube_pods_new(unsigned max, kube_pod_fn on_pod, void *ctx, struct kube_pods **ret_pods)
{
	struct kube_pods *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->v = calloc(max, sizeof(p->v[0]));
	p->free = calloc(max, sizeof(p->free[0]));
	if (!p->v || !p->free || table_init(&p->by_uid, 2 * max) ||
		table_init(&p->by_container, 4 * max) ||
		table_init(&p->by_ip, KUBE_POD_IPS * max)) {
		kube_pods_free(p);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < max; i++)
		p->free[i] = max - 1 - i;
	p->max = p->free_count = max;
	p->on_pod = on_pod;
	p->ctx = ctx;
	*ret_pods = p;
	return 0;
}

void kube_pods_free(struct kube_pods *p)
{
	if (!p)
		return;
	table_release(&p->by_uid);
	table_release(&p->by_container);
	table_release(&p->by_ip);
	free(p->v);
	free(p->free);
	free(p);
}

static uint64_t key_of(const char *text)
{
	return XXH64(text, strlen(text), 0);
}

uint64_t kube_pod_key(struct slice uid)
{
	uint64_t key = XXH64(uid.ptr, uid.len, 0);

	return key ? key : 1;
}

static uint64_t uid_key(const char *uid)
{
	return kube_pod_key(slice_str(uid));
}

/* Of a pod that shares its node's address nothing follows. */
static bool has_own_address(const struct kube_pod *pod)
{
	return !pod->host_network;
}

/* Two that claim to be the same static pod: the first is, for as long as it is there. A mirror of
 * it that is made anew has another uid. */
static void claim_static(struct kube_pods *p, struct entry *e)
{
	uint64_t key = uid_key(e->pod.static_uid);
	uint32_t holder = table_find(&p->by_uid, key);

	if (e->pod.static_uid[0] && (holder == TABLE_NONE || p->v[holder].gone_ns))
		table_put(&p->by_uid, key, (uint32_t)(e - p->v));
}

static void index_add(struct kube_pods *p, struct entry *e)
{
	const struct kube_pod *pod = &e->pod;
	uint32_t i = (uint32_t)(e - p->v);

	table_put(&p->by_uid, uid_key(pod->uid), i);
	claim_static(p, e);
	for (unsigned c = 0; c < pod->container_count; c++)
		if (pod->containers[c].id[0])
			table_put(&p->by_container, key_of(pod->containers[c].id), i);
	for (unsigned a = 0; has_own_address(pod) && a < pod->ip_count; a++)
		table_put(&p->by_ip, addr_key(pod->ips[a], 0, 0), i);
}

/* What has become another's meanwhile stays. */
static void index_drop(struct table *table, uint64_t key, uint32_t i)
{
	if (table_find(table, key) == i)
		table_remove(table, key);
}

static void index_remove(struct kube_pods *p, const struct entry *e)
{
	const struct kube_pod *pod = &e->pod;
	uint32_t i = (uint32_t)(e - p->v);

	index_drop(&p->by_uid, uid_key(pod->uid), i);
	if (pod->static_uid[0])
		index_drop(&p->by_uid, uid_key(pod->static_uid), i);
	for (unsigned c = 0; c < pod->container_count; c++)
		if (pod->containers[c].id[0])
			index_drop(&p->by_container, key_of(pod->containers[c].id), i);
	for (unsigned a = 0; has_own_address(pod) && a < pod->ip_count; a++)
		index_drop(&p->by_ip, addr_key(pod->ips[a], 0, 0), i);
}

static void forget(struct kube_pods *p, struct entry *e)
{
	index_remove(p, e);
	e->used = false;
	e->gone_ns = 0;
	p->free[p->free_count++] = (uint32_t)(e - p->v);
}

/* The one that has been gone for longest makes room. */
static struct entry *take(struct kube_pods *p)
{
	struct entry *oldest = NULL;

	for (unsigned i = 0; !p->free_count && i < p->max; i++)
		if (p->v[i].gone_ns && (!oldest || p->v[i].gone_ns < oldest->gone_ns))
			oldest = &p->v[i];
	if (oldest)
		forget(p, oldest);
	if (!p->free_count)
		return NULL;
	return &p->v[p->free[--p->free_count]];
}

static struct entry *find(const struct kube_pods *p, const char *uid)
{
	uint32_t i = table_find(&p->by_uid, uid_key(uid));

	return i != TABLE_NONE && strcmp(p->v[i].pod.uid, uid) == 0 ? &p->v[i] : NULL;
}

static bool pairs_differ(const struct kube_pod *a, const struct kube_pair *in_a, unsigned n_a,
	const struct kube_pod *b, const struct kube_pair *in_b, unsigned n_b)
{
	if (n_a != n_b)
		return true;
	for (unsigned i = 0; i < n_a; i++)
		if (strcmp(kube_pod_text(a, in_a[i].key), kube_pod_text(b, in_b[i].key)) != 0 ||
			strcmp(kube_pod_text(a, in_a[i].value), kube_pod_text(b, in_b[i].value)) !=
				0)
			return true;
	return false;
}

static bool words_differ(const struct kube_pod *a, const struct kube_pod *b)
{
	return pairs_differ(a, a->labels, a->label_count, b, b->labels, b->label_count) ||
	       pairs_differ(a, a->notes, a->note_count, b, b->notes, b->note_count);
}

void kube_pods_put(struct kube_pods *p, const struct kube_pod *pod)
{
	struct entry *e = find(p, pod->uid);
	bool words = e && words_differ(&e->pod, pod);

	if (e)
		index_remove(p, e);
	else
		e = take(p);
	if (!e) {
		p->full++;
		return;
	}
	p->cut += pod->cut;
	p->known += !e->used || e->gone_ns;
	e->used = true;
	e->list = p->list;
	e->gone_ns = 0;
	/* the rest of its text is not there */
	memcpy(&e->pod, pod, offsetof(struct kube_pod, text) + pod->used);
	index_add(p, e);
	p->on_pod(p->ctx, uid_key(pod->uid), words);
	if (pod->static_uid[0])
		p->on_pod(p->ctx, uid_key(pod->static_uid), words);
}

static void gone(struct kube_pods *p, struct entry *e, uint64_t now_ns)
{
	if (e->gone_ns)
		return;
	e->gone_ns = now_ns;
	p->known--;
	for (unsigned i = 0; e->pod.static_uid[0] && i < p->max; i++)
		if (p->v[i].used && !p->v[i].gone_ns &&
			strcmp(p->v[i].pod.static_uid, e->pod.static_uid) == 0)
			claim_static(p, &p->v[i]);
}

void kube_pods_gone(struct kube_pods *p, const char *uid, uint64_t now_ns)
{
	struct entry *e = find(p, uid);

	if (e)
		gone(p, e, now_ns);
}

void kube_pods_list_begin(struct kube_pods *p)
{
	p->list++;
}

void kube_pods_list_end(struct kube_pods *p, uint64_t now_ns)
{
	for (unsigned i = 0; i < p->max; i++)
		if (p->v[i].used && p->v[i].list != p->list)
			gone(p, &p->v[i], now_ns);
}

void kube_pods_tick(struct kube_pods *p, uint64_t now_ns)
{
	for (unsigned i = 0; i < p->max; i++)
		if (p->v[i].used && p->v[i].gone_ns && now_ns - p->v[i].gone_ns > GONE_NS)
			forget(p, &p->v[i]);
}

static int container_index(const struct kube_pod *pod, const char *id)
{
	for (unsigned i = 0; i < pod->container_count; i++)
		if (strcmp(pod->containers[i].id, id) == 0)
			return (int)i;
	return -1;
}

const struct kube_pod *kube_pods_find(
	const struct kube_pods *p, const struct container *container, int *ret_container)
{
	uint32_t i = table_find(&p->by_container, key_of(container->id));

	*ret_container = -1;
	if (i != TABLE_NONE) {
		*ret_container = container_index(&p->v[i].pod, container->id);
		if (*ret_container >= 0)
			return &p->v[i].pod;
	}
	if (!container->pod_uid[0])
		return NULL;
	i = table_find(&p->by_uid, uid_key(container->pod_uid));
	if (i == TABLE_NONE || (strcmp(p->v[i].pod.uid, container->pod_uid) != 0 &&
				       strcmp(p->v[i].pod.static_uid, container->pod_uid) != 0))
		return NULL;
	*ret_container = container_index(&p->v[i].pod, container->id);
	return &p->v[i].pod;
}

void kube_pods_each(const struct kube_pods *p, kube_pod_each_fn fn, void *ctx)
{
	for (unsigned i = 0; i < p->max; i++)
		if (p->v[i].used && !p->v[i].gone_ns)
			fn(ctx, &p->v[i].pod);
}

bool kube_pods_have(const struct kube_pods *p, const uint8_t addr[static ADDR_LEN])
{
	uint32_t i = table_find(&p->by_ip, addr_key(addr, 0, 0));

	if (i == TABLE_NONE || p->v[i].gone_ns)
		return false;
	for (unsigned a = 0; a < p->v[i].pod.ip_count; a++)
		if (memcmp(p->v[i].pod.ips[a], addr, ADDR_LEN) == 0)
			return true;
	return false;
}

void kube_pods_stats(const struct kube_pods *p, struct kube_pods_stats *ret_stats)
{
	*ret_stats = (struct kube_pods_stats){p->known, p->full, p->cut};
}
