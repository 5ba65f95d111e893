/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/exchange.h"

#include "core/cleanup.h"

#include <errno.h>
#include <stddef.h>

struct exchange_pool {
	struct exchange *free; /* given back, most recent first */
	unsigned fresh; /* v[fresh..] were never taken: their pages are not resident */
	unsigned used;
	unsigned capacity;
	struct exchange v[];
};

struct slice exchange_keep(struct exchange *ex, struct slice s, bool *ret_cut)
{
	char *to = ex->text + ex->text_used;
	size_t room = EXCHANGE_TEXT - ex->text_used;

	if (s.len > room) {
		s.len = room;
		*ret_cut = true;
	}
	if (s.len)
		memcpy(to, s.ptr, s.len);
	ex->text_used += (uint32_t)s.len;
	return slice_of(to, s.len);
}

int exchange_pool_new(unsigned capacity, struct exchange_pool **ret_pool)
{
	struct exchange_pool *pool = calloc(1, sizeof(*pool) + capacity * sizeof(pool->v[0]));

	if (!pool)
		return -ENOMEM;
	pool->capacity = capacity;
	*ret_pool = pool;
	return 0;
}

void exchange_pool_free(struct exchange_pool *pool)
{
	free(pool);
}

struct exchange *exchange_take(struct exchange_pool *pool)
{
	struct exchange *ex = pool->free;

	if (ex)
		pool->free = ex->next;
	else if (pool->fresh < pool->capacity)
		ex = &pool->v[pool->fresh++];
	else
		return NULL;
	pool->used++;
	memset(ex, 0, offsetof(struct exchange, text));
	return ex;
}

void exchange_give(struct exchange_pool *pool, struct exchange *ex)
{
	ex->next = pool->free;
	pool->free = ex;
	pool->used--;
}

unsigned exchange_pool_used(const struct exchange_pool *pool)
{
	return pool->used;
}
