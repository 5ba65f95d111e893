/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/listeners.h"

#include "capture/proc_files.h"
#include "core/table.h"

#include <errno.h>
#include <stdlib.h>

struct listeners {
	struct table ports; /* netns << 16 | port */
	struct table netns; /* those read already */
	uint32_t learning;
};

int listeners_new(unsigned capacity, struct listeners **ret_listeners)
{
	struct listeners *l = calloc(1, sizeof(*l));

	if (!l || table_init(&l->ports, capacity) || table_init(&l->netns, capacity)) {
		listeners_free(l);
		return -ENOMEM;
	}
	*ret_listeners = l;
	return 0;
}

void listeners_free(struct listeners *l)
{
	if (!l)
		return;
	table_release(&l->ports);
	table_release(&l->netns);
	free(l);
}

static uint64_t port_key(uint32_t netns, uint16_t port)
{
	return (uint64_t)netns << 16 | port;
}

void listeners_add(struct listeners *l, uint32_t netns, uint16_t port)
{
	/* when full, roles are found by content: nothing is lost */
	table_put(&l->ports, port_key(netns, port), 1);
}

bool listeners_have(const struct listeners *l, uint32_t netns, uint16_t port)
{
	return table_find(&l->ports, port_key(netns, port)) != TABLE_NONE;
}

static void learn_row(void *ctx, const struct tcp_row *row)
{
	struct listeners *l = ctx;

	if (row->listens)
		listeners_add(l, l->learning, row->local_port);
}

void listeners_learn(struct listeners *l, uint32_t pid)
{
	uint32_t netns = proc_netns(pid);

	if (!netns || table_find(&l->netns, netns) != TABLE_NONE)
		return;
	table_put(&l->netns, netns, 1);
	l->learning = netns;
	proc_tcp(pid, learn_row, l);
}
