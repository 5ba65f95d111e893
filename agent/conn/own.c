/* SPDX-License-Identifier: Apache-2.0 */
#include "conn/own.h"

#include "core/clock.h"

#include <string.h>

#define OWN_NS NS_PER_SEC /* from the announcement of one end to that of the other, at most */

static uint64_t client_key(const struct conn *c)
{
	return addr_key(c->ends.local_addr, c->ends.local_port, c->ends.netns);
}

/* Whether c is the server's end of this connection of weft's, that has the same client's end. A
 * port can be shared by connections to different servers. Behind a translated address both ends
 * differ in where the server is; they are the same if they began together. */
static bool is_other_end(const struct conn *own, const struct conn *c)
{
	uint64_t apart = own->latest_ns > c->latest_ns ? own->latest_ns - c->latest_ns
						       : c->latest_ns - own->latest_ns;

	return (own->ends.remote_port == c->ends.local_port &&
		       memcmp(own->ends.remote_addr, c->ends.local_addr, ADDR_LEN) == 0) ||
	       (!addr_is_loopback(c->ends.local_addr) && apart < OWN_NS);
}

bool own_is(struct conn *c, uint32_t pid)
{
	struct conns *all = c->all;
	uint32_t own;

	if (pid == all->self) {
		c->own = table_put(&all->own, client_key(c), (uint32_t)(c - all->v)) == 0;
		return true;
	}
	own = table_find(
		&all->own, addr_key(c->ends.remote_addr, c->ends.remote_port, c->ends.netns));
	return own != TABLE_NONE && is_other_end(&all->v[own], c);
}

void own_gone(struct conn *c)
{
	if (c->own && table_find(&c->all->own, client_key(c)) == (uint32_t)(c - c->all->v))
		table_remove(&c->all->own, client_key(c));
}
