/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/kube_peers.h"

#include "core/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define NONE UINT32_MAX

/* A service, or a slice of one's endpoints. */
struct group {
	bool used;
	uint32_t list; /* the latest list that it was in */
	uint32_t first; /* address */
	uint64_t key; /* of its own name */
	char namespace[KUBE_LABEL], service[KUBE_LABEL];
	uint8_t port_count; /* of a slice */
	uint16_t ports[KUBE_SLICE_PORTS];
};

struct address {
	uint8_t addr[ADDR_LEN];
	uint32_t group;
	uint32_t next; /* of its group; or free */
	uint32_t same; /* the next with the same hash */
};

/* Groups of one kind and their addresses. */
struct book {
	struct group *groups;
	uint32_t *free;
	unsigned max, free_count;
	struct table by_name, by_addr; /* index into groups; head of a chain of addresses */
	struct address *addresses;
	uint32_t free_address, fresh_address, max_addresses;
	uint32_t list;
	_Atomic uint64_t group_count, address_count, full;
};

struct kube_peers {
	struct book services, slices;
	_Atomic uint64_t cut;
};

static int book_init(struct book *b, unsigned groups, unsigned addresses)
{
	b->groups = calloc(groups, sizeof(b->groups[0]));
	b->free = calloc(groups, sizeof(b->free[0]));
	b->addresses = calloc(addresses, sizeof(b->addresses[0]));
	if (!b->groups || !b->free || !b->addresses || table_init(&b->by_name, groups) ||
		table_init(&b->by_addr, addresses))
		return -ENOMEM;
	for (unsigned i = 0; i < groups; i++)
		b->free[i] = groups - 1 - i;
	b->max = b->free_count = groups;
	b->max_addresses = addresses;
	b->free_address = NONE;
	return 0;
}

static void book_release(struct book *b)
{
	table_release(&b->by_name);
	table_release(&b->by_addr);
	free(b->groups);
	free(b->free);
	free(b->addresses);
}

int kube_peers_new(unsigned max_services, unsigned max_endpoints, struct kube_peers **ret_peers)
{
	struct kube_peers *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	/* most services have one slice an address family */
	if (book_init(&p->services, max_services, KUBE_SERVICE_IPS * max_services) ||
		book_init(&p->slices, 2 * max_services, max_endpoints)) {
		kube_peers_free(p);
		return -ENOMEM;
	}
	*ret_peers = p;
	return 0;
}

void kube_peers_free(struct kube_peers *p)
{
	if (!p)
		return;
	book_release(&p->services);
	book_release(&p->slices);
	free(p);
}

static uint64_t name_key(const char *namespace, const char *name)
{
	return XXH64(name, strlen(name), XXH64(namespace, strlen(namespace), 0));
}

static uint64_t addr_hash(const uint8_t addr[static ADDR_LEN])
{
	return XXH64(addr, ADDR_LEN, 0);
}

static void address_add(struct book *b, struct group *g, const uint8_t addr[static ADDR_LEN])
{
	uint64_t key = addr_hash(addr);
	uint32_t i = b->free_address, head = table_find(&b->by_addr, key);

	if (i != NONE)
		b->free_address = b->addresses[i].next;
	else if (b->fresh_address < b->max_addresses)
		i = b->fresh_address++;
	if (i == NONE) {
		b->full++;
		return;
	}
	memcpy(b->addresses[i].addr, addr, ADDR_LEN);
	b->addresses[i].group = (uint32_t)(g - b->groups);
	b->addresses[i].same = head == TABLE_NONE ? NONE : head;
	b->addresses[i].next = g->first;
	g->first = i;
	table_put(&b->by_addr, key, i);
	b->address_count++;
}

/* Out of the chain of those with the same hash. */
static void address_unchain(struct book *b, uint32_t i)
{
	uint64_t key = addr_hash(b->addresses[i].addr);
	uint32_t at = table_find(&b->by_addr, key);

	if (at == i) {
		if (b->addresses[i].same == NONE)
			table_remove(&b->by_addr, key);
		else
			table_put(&b->by_addr, key, b->addresses[i].same);
		return;
	}
	while (b->addresses[at].same != i)
		at = b->addresses[at].same;
	b->addresses[at].same = b->addresses[i].same;
}

static void addresses_drop(struct book *b, struct group *g)
{
	while (g->first != NONE) {
		uint32_t i = g->first;

		address_unchain(b, i);
		g->first = b->addresses[i].next;
		b->addresses[i].next = b->free_address;
		b->free_address = i;
		b->address_count--;
	}
}

static void group_forget(struct book *b, struct group *g)
{
	addresses_drop(b, g);
	table_remove(&b->by_name, g->key);
	g->used = false;
	b->free[b->free_count++] = (uint32_t)(g - b->groups);
	b->group_count--;
}

static void group_gone(struct book *b, const char *namespace, const char *name)
{
	uint32_t i = table_find(&b->by_name, name_key(namespace, name));

	if (i != TABLE_NONE)
		group_forget(b, &b->groups[i]);
}

/* The group of this name, without addresses; NULL if there is no room. */
static struct group *group_take(struct book *b, const char *namespace, const char *name)
{
	uint64_t key = name_key(namespace, name);
	uint32_t i = table_find(&b->by_name, key);

	if (i != TABLE_NONE) {
		addresses_drop(b, &b->groups[i]);
	} else if (b->free_count) {
		i = b->free[--b->free_count];
		table_put(&b->by_name, key, i);
		b->group_count++;
	} else {
		b->full++;
		return NULL;
	}
	b->groups[i].used = true;
	b->groups[i].list = b->list;
	b->groups[i].first = NONE;
	b->groups[i].key = key;
	memcpy(b->groups[i].namespace, namespace, strlen(namespace) + 1);
	return &b->groups[i];
}

void kube_peers_put_service(struct kube_peers *p, const struct kube_service *service)
{
	struct group *g = group_take(&p->services, service->namespace, service->name);

	if (!g)
		return;
	memcpy(g->service, service->name, sizeof(g->service));
	for (unsigned i = 0; i < service->ip_count; i++)
		address_add(&p->services, g, service->ips[i]);
}

void kube_peers_put_slice(struct kube_peers *p, const struct kube_slice *slice)
{
	struct group *g;

	if (!slice->service[0]) { /* of none (any more) */
		kube_peers_slice_gone(p, slice->namespace, slice->name);
		return;
	}
	g = group_take(&p->slices, slice->namespace, slice->name);
	if (!g)
		return;
	p->cut += slice->cut;
	memcpy(g->service, slice->service, sizeof(g->service));
	g->port_count = slice->port_count;
	memcpy(g->ports, slice->ports, sizeof(g->ports));
	for (unsigned i = 0; i < slice->count; i++)
		address_add(&p->slices, g, slice->ips[i]);
}

void kube_peers_service_gone(struct kube_peers *p, const char *namespace, const char *name)
{
	group_gone(&p->services, namespace, name);
}

void kube_peers_slice_gone(struct kube_peers *p, const char *namespace, const char *name)
{
	group_gone(&p->slices, namespace, name);
}

void kube_peers_list_begin(struct kube_peers *p, bool slices)
{
	(slices ? &p->slices : &p->services)->list++;
}

void kube_peers_list_end(struct kube_peers *p, bool slices)
{
	struct book *b = slices ? &p->slices : &p->services;

	for (unsigned i = 0; i < b->max; i++)
		if (b->groups[i].used && b->groups[i].list != b->list)
			group_forget(b, &b->groups[i]);
}

static bool has_port(const struct group *g, uint16_t port)
{
	for (unsigned i = 0; i < g->port_count; i++)
		if (g->ports[i] == port)
			return true;
	return false;
}

/* The only service with this address; port: and with this port, 0: whatever the port. */
static const struct group *find(
	const struct book *b, const uint8_t addr[static ADDR_LEN], uint16_t port)
{
	const struct group *found = NULL;
	uint32_t i = table_find(&b->by_addr, addr_hash(addr));

	for (i = i == TABLE_NONE ? NONE : i; i != NONE; i = b->addresses[i].same) {
		const struct group *g = &b->groups[b->addresses[i].group];

		if (memcmp(b->addresses[i].addr, addr, ADDR_LEN) != 0 ||
			(port && !has_port(g, port)))
			continue;
		if (found && (strcmp(found->service, g->service) != 0 ||
				     strcmp(found->namespace, g->namespace) != 0))
			return NULL;
		found = g;
	}
	return found;
}

bool kube_peers_find(const struct kube_peers *p, const uint8_t addr[static ADDR_LEN], uint16_t port,
	struct kube_peer *ret_peer)
{
	const struct group *g = find(&p->services, addr, 0);

	if (!g && port)
		g = find(&p->slices, addr, port);
	if (!g)
		return false;
	ret_peer->namespace = slice_str(g->namespace);
	ret_peer->name = slice_str(g->service);
	return true;
}

void kube_peers_stats(const struct kube_peers *p, struct kube_peers_stats *ret_stats)
{
	*ret_stats = (struct kube_peers_stats){p->services.group_count, p->slices.address_count,
		p->services.full + p->slices.full, p->cut};
}
