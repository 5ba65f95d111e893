/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/claims.h"

#include "core/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct claims {
	struct table ids;
	uint32_t capacity, used, hand;
	uint64_t order[]; /* a ring: the oldest at hand, once all are used */
};

int claims_new(unsigned capacity, struct claims **ret_claims)
{
	struct claims *c = calloc(1, sizeof(*c) + capacity * sizeof(c->order[0]));

	if (!c)
		return -ENOMEM;
	if (table_init(&c->ids, capacity)) {
		free(c);
		return -ENOMEM;
	}
	c->capacity = capacity;
	*ret_claims = c;
	return 0;
}

void claims_free(struct claims *c)
{
	if (!c)
		return;
	table_release(&c->ids);
	free(c);
}

bool claims_take(struct claims *c, const uint8_t id[static SPAN_ID_LEN])
{
	uint64_t key;

	memcpy(&key, id, sizeof(key));
	if (table_find(&c->ids, key) != TABLE_NONE)
		return false;
	if (c->used < c->capacity)
		c->used++;
	else
		table_remove(&c->ids, c->order[c->hand]);
	c->order[c->hand] = key;
	c->hand = (c->hand + 1) % c->capacity;
	table_put(&c->ids, key, 1);
	return true;
}
