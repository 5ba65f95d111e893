/* SPDX-License-Identifier: Apache-2.0 */
#include "core/table.h"

#include <errno.h>
#include <stdlib.h>

/* murmur3's finalizer: sequential keys spread, and their low bits with them */
static uint64_t mix(uint64_t k)
{
	k ^= k >> 33;
	k *= 0xff51afd7ed558ccdull;
	k ^= k >> 33;
	k *= 0xc4ceb9fe1a85ec53ull;
	return k ^ k >> 33;
}

int table_init(struct table *t, unsigned capacity)
{
	uint32_t size = 16;

	while (size < capacity + capacity / 2)
		size *= 2;
	/* zeroed slots are free, so that pages no key has reached are not resident */
	t->slots = calloc(size, sizeof(t->slots[0]));
	if (!t->slots)
		return -ENOMEM;
	t->mask = size - 1;
	t->count = 0;
	t->capacity = capacity;
	return 0;
}

void table_release(struct table *t)
{
	free(t->slots);
	t->slots = NULL;
}

static uint32_t slot_of(const struct table *t, uint64_t key)
{
	uint32_t i = (uint32_t)mix(key) & t->mask;

	while (t->slots[i].held && t->slots[i].key != key)
		i = (i + 1) & t->mask;
	return i;
}

uint32_t table_find(const struct table *t, uint64_t key)
{
	return t->slots[slot_of(t, key)].held - 1;
}

int table_put(struct table *t, uint64_t key, uint32_t value)
{
	uint32_t i = slot_of(t, key);

	if (!t->slots[i].held) {
		if (t->count == t->capacity)
			return -ENOSPC;
		t->count++;
	}
	t->slots[i] = (struct table_slot){key, value + 1};
	return 0;
}

bool table_remove(struct table *t, uint64_t key)
{
	uint32_t hole = slot_of(t, key), i = hole;

	if (!t->slots[hole].held)
		return false;
	/* move back what the probe for it would no longer reach (Knuth 6.4, algorithm R) */
	for (;;) {
		uint32_t home;

		i = (i + 1) & t->mask;
		if (!t->slots[i].held)
			break;
		home = (uint32_t)mix(t->slots[i].key) & t->mask;
		if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
			t->slots[hole] = t->slots[i];
			hole = i;
		}
	}
	t->slots[hole].held = 0;
	t->count--;
	return true;
}
