/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/ends.h"

#include "core/cleanup.h"

#include <errno.h>

#define NONE UINT32_MAX

struct end {
	struct end_key key;
	node_ref node; /* 0: free, or taken */
	uint32_t next; /* in its bucket */
};

struct ends {
	uint32_t capacity, mask, hand;
	uint32_t *buckets;
	struct end v[];
};

int ends_new(unsigned capacity, struct ends **ret_ends)
{
	struct ends *e = calloc(1, sizeof(*e) + capacity * sizeof(e->v[0]));
	uint32_t size = 64;

	if (!e)
		return -ENOMEM;
	while (size < capacity)
		size *= 2;
	e->buckets = malloc(size * sizeof(e->buckets[0]));
	if (!e->buckets) {
		free(e);
		return -ENOMEM;
	}
	memset(e->buckets, 0xff, size * sizeof(e->buckets[0]));
	e->capacity = capacity;
	e->mask = size - 1;
	*ret_ends = e;
	return 0;
}

void ends_free(struct ends *e)
{
	if (!e)
		return;
	free(e->buckets);
	free(e);
}

/* Initial sequence numbers are random (RFC 6528): only the low bits' regularity of small steps is
 * mixed in */
static uint32_t *bucket(struct ends *e, uint32_t seq)
{
	return &e->buckets[(seq * 2654435761u) >> 7 & e->mask];
}

static void unlink_end(struct ends *e, uint32_t index)
{
	uint32_t *at = bucket(e, e->v[index].key.seq);

	while (*at != NONE && *at != index)
		at = &e->v[*at].next;
	if (*at == index)
		*at = e->v[index].next;
}

bool ends_put(struct ends *e, const struct end_key *key, node_ref node)
{
	uint32_t i = e->hand;
	struct end *end = &e->v[i];
	uint32_t *head;
	bool lost = end->node;

	e->hand = (e->hand + 1) % e->capacity;
	if (end->node)
		unlink_end(e, i);
	end->key = *key;
	end->node = node;
	head = bucket(e, key->seq);
	end->next = *head;
	*head = i;
	return !lost;
}

node_ref ends_take(struct ends *e, const struct end_key *key)
{
	uint32_t found = NONE, fits = 0;
	node_ref node;

	for (uint32_t i = *bucket(e, key->seq); i != NONE; i = e->v[i].next) {
		const struct end_key *k = &e->v[i].key;

		if (k->seq != key->seq)
			continue;
		/* a Unix socket's bytes are counted: a missed call shows in one of the counts */
		if (k->netns == ENDS_UNIX && k->opposite != key->opposite)
			continue;
		if (k->client_port == key->client_port && k->netns == key->netns &&
			memcmp(k->client_addr, key->client_addr, ADDR_LEN) == 0) {
			found = i;
			fits = 1;
			break;
		}
		/* on one machine's loopback nothing masquerades */
		if (k->opposite == key->opposite && !k->netns && !key->netns) {
			found = i;
			fits++;
		}
	}
	if (fits != 1)
		return 0;
	node = e->v[found].node;
	unlink_end(e, found);
	e->v[found].node = 0;
	return node;
}
