/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/node.h"

#include "core/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <sys/random.h>

#define DEPTH_MAX 256 /* of parents; longer chains start anew */

struct node_pool {
	struct trace_node *free;
	unsigned fresh; /* v[fresh..] were never taken */
	unsigned capacity;
	uint64_t random[4];
	struct trace_node v[];
};

int node_pool_new(unsigned capacity, struct node_pool **ret_pool)
{
	struct node_pool *p = calloc(1, sizeof(*p) + capacity * sizeof(p->v[0]));

	if (!p)
		return -ENOMEM;
	p->capacity = capacity;
	if (getrandom(p->random, sizeof(p->random), 0) != sizeof(p->random)) {
		free(p);
		return -EIO;
	}
	*ret_pool = p;
	return 0;
}

void node_pool_free(struct node_pool *p)
{
	free(p);
}

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

/* xoshiro256** (Blackman, Vigna 2018), seeded by the kernel: ids must be unique, not secret */
static uint64_t random_u64(struct node_pool *p)
{
	uint64_t *s = p->random, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

struct trace_node *node_take(struct node_pool *p)
{
	struct trace_node *n = p->free;
	uint64_t id;
	uint32_t generation;

	if (n)
		p->free = n->next;
	else if (p->fresh < p->capacity)
		n = &p->v[p->fresh++];
	else
		return NULL;
	generation = n->generation;
	memset(n, 0, offsetof(struct trace_node, lines));
	n->generation = generation + 1;
	n->refs = 1;
	id = random_u64(p);
	memcpy(n->trace_id, &id, sizeof(id));
	id = random_u64(p) | 1; /* an id of zeroes is invalid */
	memcpy(n->trace_id + 8, &id, sizeof(id));
	id = random_u64(p) | 1;
	memcpy(n->span_id, &id, sizeof(id));
	return n;
}

void node_unref(struct node_pool *p, struct trace_node *n)
{
	while (n && --n->refs == 0) {
		struct trace_node *parent = n->parent;

		n->generation++;
		n->next = p->free;
		p->free = n;
		n = parent;
	}
}

bool node_set_parent(
	struct node_pool *p, struct trace_node *n, struct trace_node *parent, enum link link)
{
	struct trace_node *old = n->parent;
	unsigned depth = 0;

	for (const struct trace_node *at = parent; at; at = at->parent)
		if (at == n || ++depth > DEPTH_MAX)
			return false;
	if (parent)
		parent->refs++;
	n->parent = parent;
	n->link = link;
	node_unref(p, old);
	return true;
}

struct trace_node *node_root(struct trace_node *n)
{
	while (n->parent)
		n = n->parent;
	return n;
}

node_ref node_ref_of(const struct node_pool *p, const struct trace_node *n)
{
	return n ? (uint64_t)n->generation << 32 | (uint32_t)(n - p->v) : 0;
}

struct trace_node *node_deref(struct node_pool *p, node_ref ref)
{
	uint32_t index = (uint32_t)ref;
	struct trace_node *n;

	if (!ref || index >= p->fresh)
		return NULL;
	n = &p->v[index];
	return n->generation == ref >> 32 ? n : NULL;
}
