/* SPDX-License-Identifier: Apache-2.0 */
#include "core/table.h"

#include "core/endpoints.h"

#include <criterion/criterion.h>
#include <string.h>

#define CAPACITY 100
#define KEYS     300

Test(table, agrees_with_an_array_under_random_use)
{
	uint32_t model[KEYS], count = 0;
	uint64_t random = 1;
	struct table t;

	memset(model, 0xff, sizeof(model));
	cr_assert_eq(table_init(&t, CAPACITY), 0);
	for (unsigned i = 0; i < 200000; i++) {
		uint32_t k;
		/* clustered, and with equal low bits */
		uint64_t key;

		random = random * 6364136223846793005ull + 1442695040888963407ull;
		k = (uint32_t)(random >> 33) % KEYS;
		key = k & 1 ? k : (uint64_t)k << 32;
		switch (random >> 60 & 3) {
		case 0:
		case 1: {
			int err = table_put(&t, key, i);

			if (model[k] == TABLE_NONE && count == CAPACITY) {
				cr_assert_neq(err, 0);
				break;
			}
			cr_assert_eq(err, 0);
			count += model[k] == TABLE_NONE;
			model[k] = i;
			break;
		}
		case 2:
			cr_assert_eq(table_remove(&t, key), model[k] != TABLE_NONE);
			count -= model[k] != TABLE_NONE;
			model[k] = TABLE_NONE;
			break;
		default:
			cr_assert_eq(table_find(&t, key), model[k]);
		}
		cr_assert_eq(t.count, count);
	}
	for (uint32_t k = 0; k < KEYS; k++)
		cr_assert_eq(table_find(&t, k & 1 ? k : (uint64_t)k << 32), model[k]);
	table_release(&t);
}

Test(table, a_namespace_counts_for_loopback_only)
{
	uint8_t loop[ADDR_LEN] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
	uint8_t other[ADDR_LEN] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1};
	uint8_t six[ADDR_LEN] = {[15] = 1};

	cr_assert(addr_is_loopback(loop) && addr_is_loopback(six) && !addr_is_loopback(other));
	cr_assert_neq(addr_key(loop, 80, 1), addr_key(loop, 80, 2));
	cr_assert_neq(addr_key(six, 80, 1), addr_key(six, 80, 2));
	cr_assert_eq(addr_key(other, 80, 1), addr_key(other, 80, 2));
	cr_assert_neq(addr_key(other, 80, 1), addr_key(other, 81, 1));
}
