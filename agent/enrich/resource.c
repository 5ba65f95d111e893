/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/resource.h"

#include "core/cleanup.h"
#include "span/text.h"

#include <errno.h>
#include <stdatomic.h>
#include <xxhash.h>

#define INDEX_BITS 16

struct place {
	struct resource resource;
	uint64_t hash;
	_Atomic uint32_t uses; /* odd: in use; part of its id */
	bool marked, retired;
};

struct resource_table {
	unsigned capacity;
	_Atomic unsigned used;
	unsigned fresh; /* places from here on were never used */
	unsigned free_count, retired;
	uint32_t *free; /* indexes of those that are to be used again */
	unsigned slots; /* a power of two, at least twice the capacity */
	uint32_t *slot; /* index + 1 by hash, open addressing; 0: empty */
	struct place *v;
	char *text; /* RESOURCE_TEXT for each place, so that one who reads a place that is used
		     * again, against the rules, still reads text. Pages that nothing was written to
		     * are not resident. */
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
	table->slot = calloc(table->slots, sizeof(*table->slot));
	table->free = calloc(table->capacity, sizeof(*table->free));
	table->v = calloc(table->capacity, sizeof(*table->v));
	table->text = malloc((size_t)table->capacity * RESOURCE_TEXT);
	if (!table->slot || !table->free || !table->v || !table->text) {
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
	free(table->free);
	free(table->v);
	free(table->text);
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

/* Replaces borrowed text by copies in buf; false if they do not fit. */
static bool resource_own(char *buf, struct resource *resource)
{
	struct text t = {.buf = buf, .cap = RESOURCE_TEXT};

	for (unsigned i = 0; i < resource->n; i++) {
		struct attr *attr = &resource->attrs[i];
		size_t from = t.used;

		text_put(&t, attr->key);
		attr->key = text_since(&t, from);
		from = t.used;
		text_put(&t, attr->str);
		attr->str = text_since(&t, from);
	}
	return !t.cut;
}

/* Odd while in use, and never 1 twice for the same place until it wraps. Place 0 has the id 0. */
static uint32_t id_of(const struct resource_table *table, uint32_t index)
{
	uint32_t uses = atomic_load_explicit(&table->v[index].uses, memory_order_relaxed);

	return (uses >> 1) << INDEX_BITS | index;
}

static struct place *place_of(const struct resource_table *table, uint32_t id)
{
	uint32_t index = id & ((1u << INDEX_BITS) - 1);
	uint32_t uses;

	if (index >= table->capacity)
		return NULL;
	uses = atomic_load_explicit(&table->v[index].uses, memory_order_acquire);
	return uses & 1 && (uses >> 1) % (1u << (32 - INDEX_BITS)) == id >> INDEX_BITS
		       ? &table->v[index]
		       : NULL;
}

/* The slot of the resource, or the empty one where it belongs. */
static unsigned slot_find(
	const struct resource_table *table, const struct resource *wanted, uint64_t hash)
{
	unsigned slot = hash & (table->slots - 1);

	for (; table->slot[slot]; slot = (slot + 1) & (table->slots - 1)) {
		const struct place *place = &table->v[table->slot[slot] - 1];

		if (place->hash == hash && resource_eq(&place->resource, wanted))
			break;
	}
	return slot;
}

/* Takes a slot out; what follows it moves up, so that no search ends too early. */
static void slot_remove(struct resource_table *table, unsigned hole)
{
	unsigned mask = table->slots - 1;

	for (unsigned at = (hole + 1) & mask; table->slot[at]; at = (at + 1) & mask) {
		unsigned home = table->v[table->slot[at] - 1].hash & mask;

		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		table->slot[hole] = table->slot[at];
		hole = at;
	}
	table->slot[hole] = 0;
}

uint32_t resource_intern(struct resource_table *table, const struct attr *attrs, unsigned n)
{
	struct resource wanted;
	struct place *place;
	uint32_t index;
	uint64_t hash;
	unsigned slot;

	wanted.n = n < RESOURCE_MAX_ATTRS ? n : RESOURCE_MAX_ATTRS;
	memcpy(wanted.attrs, attrs, wanted.n * sizeof(*attrs));
	resource_sort(&wanted);
	hash = resource_hash(&wanted);
	slot = slot_find(table, &wanted, hash);
	if (table->slot[slot]) {
		index = table->slot[slot] - 1;
		place = &table->v[index];
		table->retired -= place->retired;
		place->retired = false;
		return id_of(table, index);
	}
	index = table->free_count ? table->free[table->free_count - 1] : table->fresh;
	if (index == table->capacity ||
		!resource_own(table->text + (size_t)index * RESOURCE_TEXT, &wanted)) {
		atomic_fetch_add_explicit(&table->overflows, 1, memory_order_relaxed);
		return 0;
	}
	if (table->free_count)
		table->free_count--;
	else
		table->fresh++;
	place = &table->v[index];
	place->resource = wanted;
	place->hash = hash;
	atomic_fetch_add_explicit(&place->uses, 1, memory_order_release);
	table->slot[slot] = index + 1;
	table->used++;
	return id_of(table, index);
}

const struct resource *resource_get(const struct resource_table *table, uint32_t id)
{
	const struct place *place = place_of(table, id);

	return place ? &place->resource : &table->v[0].resource;
}

struct slice resource_service(const struct resource *resource)
{
	for (unsigned i = 0; i < resource->n; i++)
		if (slice_eq(resource->attrs[i].key, UNKNOWN.key))
			return resource->attrs[i].str;
	return UNKNOWN.str;
}

unsigned resource_capacity(const struct resource_table *table)
{
	return table->capacity;
}

unsigned resource_count(const struct resource_table *table)
{
	return table->used;
}

uint64_t resource_overflows(const struct resource_table *table)
{
	return atomic_load_explicit(&table->overflows, memory_order_relaxed);
}

bool resource_scarce(const struct resource_table *table)
{
	return table->used > table->capacity / 2;
}

bool resource_retired(const struct resource_table *table)
{
	return table->retired;
}

void resource_mark(struct resource_table *table, uint32_t id)
{
	struct place *place = place_of(table, id);

	if (place)
		place->marked = true;
}

void resource_retire(struct resource_table *table)
{
	table->retired = 0;
	for (unsigned i = 0; i < table->fresh; i++) {
		struct place *place = &table->v[i];

		place->retired = i && place->uses & 1 && !place->marked;
		place->marked = false;
		table->retired += place->retired;
	}
}

void resource_reuse(struct resource_table *table)
{
	for (unsigned i = 0; i < table->fresh; i++) {
		struct place *place = &table->v[i];

		if (!place->retired)
			continue;
		slot_remove(table, slot_find(table, &place->resource, place->hash));
		atomic_fetch_add_explicit(&place->uses, 1, memory_order_release);
		place->retired = false;
		table->free[table->free_count++] = i;
		table->used--;
	}
	table->retired = 0;
}
