/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/resource.h"

#include "core/cleanup.h"
#include "span/text.h"

#include <errno.h>
#include <stdatomic.h>
#include <xxhash.h>

/* Text for a resource, on average: equal keys are stored anew each time, a few hundred bytes. Pages
 * that nothing was written to are not resident. */
#define TEXT_PER_RESOURCE 2048

struct resource_table {
	unsigned capacity;
	unsigned n;
	unsigned slots; /* a power of two, at least twice the capacity */
	uint32_t *slot; /* index + 1 by hash, open addressing; 0: empty */
	uint64_t *hash; /* of each resource */
	struct resource *v;
	struct text text;
	_Atomic uint64_t overflows;
};

static const struct attr UNKNOWN = {
	.key = {"service.name", 12},
	.str = {"unknown_service", 15},
	.type = ATTR_STRING,
};

int resource_table_new(unsigned capacity, struct resource_table **ret_table)
{
	struct resource_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->capacity = capacity ? capacity : 1;
	for (table->slots = 4; table->slots / 2 < table->capacity;)
		table->slots *= 2;
	table->text.cap = (size_t)table->capacity * TEXT_PER_RESOURCE;
	table->slot = calloc(table->slots, sizeof(*table->slot));
	table->hash = calloc(table->capacity, sizeof(*table->hash));
	table->v = calloc(table->capacity, sizeof(*table->v));
	table->text.buf = malloc(table->text.cap);
	if (!table->slot || !table->hash || !table->v || !table->text.buf) {
		resource_table_free(table);
		return -ENOMEM;
	}
	resource_intern(table, &UNKNOWN, 1);
	*ret_table = table;
	return 0;
}

void resource_table_free(struct resource_table *table)
{
	if (!table)
		return;
	free(table->slot);
	free(table->hash);
	free(table->v);
	free(table->text.buf);
	free(table);
}

static int slice_cmp(struct slice a, struct slice b)
{
	size_t least = a.len < b.len ? a.len : b.len;
	int r = least ? memcmp(a.ptr, b.ptr, least) : 0;

	return r ? r : (a.len > b.len) - (a.len < b.len);
}

/* Sorted by key, so that the order in which attributes were found makes no difference. */
static void resource_sort(struct resource *resource)
{
	for (unsigned i = 1; i < resource->n; i++) {
		struct attr attr = resource->attrs[i];
		unsigned at = i;

		for (; at && slice_cmp(resource->attrs[at - 1].key, attr.key) > 0; at--)
			resource->attrs[at] = resource->attrs[at - 1];
		resource->attrs[at] = attr;
	}
}

static uint64_t resource_hash(const struct resource *resource)
{
	uint64_t hash = resource->n;

	for (unsigned i = 0; i < resource->n; i++) {
		const struct attr *attr = &resource->attrs[i];

		hash = XXH64(attr->key.ptr, attr->key.len, hash);
		hash = XXH64(attr->str.ptr, attr->str.len, hash + (uint64_t)attr->num);
	}
	return hash;
}

static bool resource_eq(const struct resource *a, const struct resource *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++) {
		const struct attr *x = &a->attrs[i], *y = &b->attrs[i];

		if (x->type != y->type || x->num != y->num || !slice_eq(x->key, y->key) ||
			!slice_eq(x->str, y->str))
			return false;
	}
	return true;
}

/* Replaces borrowed text by copies; false if they do not fit. */
static bool resource_own(struct text *text, struct resource *resource)
{
	struct text t = *text;

	for (unsigned i = 0; i < resource->n; i++) {
		struct attr *attr = &resource->attrs[i];
		size_t from = t.used;

		text_put(&t, attr->key);
		attr->key = text_since(&t, from);
		from = t.used;
		text_put(&t, attr->str);
		attr->str = text_since(&t, from);
	}
	if (t.cut)
		return false;
	*text = t;
	return true;
}

uint32_t resource_intern(struct resource_table *table, const struct attr *attrs, unsigned n)
{
	struct resource wanted;
	uint64_t hash;
	unsigned slot;

	wanted.n = n < RESOURCE_MAX_ATTRS ? n : RESOURCE_MAX_ATTRS;
	memcpy(wanted.attrs, attrs, wanted.n * sizeof(*attrs));
	resource_sort(&wanted);
	hash = resource_hash(&wanted);
	for (slot = hash & (table->slots - 1); table->slot[slot];
		slot = (slot + 1) & (table->slots - 1)) {
		uint32_t i = table->slot[slot] - 1;

		if (table->hash[i] == hash && resource_eq(&table->v[i], &wanted))
			return i;
	}
	if (table->n == table->capacity || !resource_own(&table->text, &wanted)) {
		atomic_fetch_add_explicit(&table->overflows, 1, memory_order_relaxed);
		return 0;
	}
	table->v[table->n] = wanted;
	table->hash[table->n] = hash;
	table->slot[slot] = table->n + 1;
	return table->n++;
}

const struct resource *resource_get(const struct resource_table *table, uint32_t index)
{
	return &table->v[index < table->capacity ? index : 0];
}

struct slice resource_service(const struct resource *resource)
{
	for (unsigned i = 0; i < resource->n; i++)
		if (slice_eq(resource->attrs[i].key, UNKNOWN.key))
			return resource->attrs[i].str;
	return UNKNOWN.str;
}

uint64_t resource_overflows(const struct resource_table *table)
{
	return atomic_load_explicit(&table->overflows, memory_order_relaxed);
}
