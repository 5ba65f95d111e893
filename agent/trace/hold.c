/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/hold.h"

#include "core/cleanup.h"

#include <errno.h>

struct held {
	struct trace_node *node;
	uint32_t len;
	_Alignas(8) char packed[SPAN_PACK_MAX];
};

struct hold {
	unsigned capacity;
	_Atomic unsigned count;
	uint32_t *order; /* the first count ones are in use; the rest are free */
	struct held v[];
};

int hold_new(unsigned capacity, struct hold **ret_hold)
{
	/* calloc'ed pages that no span needed are not resident */
	struct hold *h = calloc(1, sizeof(*h) + capacity * sizeof(h->v[0]));

	if (!h)
		return -ENOMEM;
	h->order = malloc(capacity * sizeof(h->order[0]));
	if (!h->order) {
		free(h);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < capacity; i++)
		h->order[i] = i;
	h->capacity = capacity;
	*ret_hold = h;
	return 0;
}

void hold_free(struct hold *h)
{
	if (!h)
		return;
	free(h->order);
	free(h);
}

int hold_put(struct hold *h, const struct span *span, struct trace_node *node)
{
	struct held *held;
	int len;

	if (h->count == h->capacity)
		return -ENOSPC;
	held = &h->v[h->order[h->count]];
	len = span_pack(span, held->packed, sizeof(held->packed));
	if (len < 0)
		return len;
	held->len = (uint32_t)len;
	held->node = node;
	h->count++;
	return 0;
}

void hold_each(struct hold *h, const struct hold_ops *ops, void *ctx)
{
	unsigned kept = 0, n = h->count;

	for (unsigned i = 0; i < n; i++) {
		uint32_t index = h->order[i];
		struct held *held = &h->v[index];
		struct span span;

		if (ops->ready(ctx, held->node)) {
			span_unpack(held->packed, held->len, &span);
			ops->take(ctx, held->node, &span);
			continue;
		}
		h->order[i] = h->order[kept];
		h->order[kept++] = index;
	}
	h->count = kept;
}

unsigned hold_count(const struct hold *h)
{
	return h->count;
}
