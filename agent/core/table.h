/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table of fixed size from 64-bit keys to 32-bit values: open addressing, no allocation
 * after init. Keys are the caller's own numbers (connections, pids), or well-mixed hashes. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define TABLE_NONE UINT32_MAX

struct table_slot {
	uint64_t key;
	uint32_t held; /* the value + 1; 0: free */
};

struct table {
	struct table_slot *slots;
	uint32_t mask;
	uint32_t count;
	uint32_t capacity;
};

/* Room for `capacity` keys, at most 2^29. 0 or -ENOMEM. */
int table_init(struct table *table, unsigned capacity);
void table_release(struct table *table);

/* The key's value, or TABLE_NONE. */
uint32_t table_find(const struct table *table, uint64_t key);

/* Sets or replaces; value must not be TABLE_NONE. 0 or -ENOSPC. */
int table_put(struct table *table, uint64_t key, uint32_t value);

/* Whether the key was there. */
bool table_remove(struct table *table, uint64_t key);
