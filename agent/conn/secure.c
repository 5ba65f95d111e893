/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that carry TLS. First come the socket's bytes, as far as the hellos; then, if the
 * process' library can be read, what TLS carries, as a byte stream of its own. Until that comes the
 * connection is sealed, and if it never does, that is said.
 */
#include "capture/capture.h"
#include "conn/state.h"
#include "proto/http2.h"
#include "proto/tls.h"

#define SEALED_NS (3 * NS_PER_SEC) /* for so long it may well be that nothing was said */

/* It is not readable, and was not to be. */
static void unread(struct conn *c)
{
	struct conns *all = c->all;

	if (c->unread || all->ops->readable(all->ctx, c->pid))
		return;
	c->unread = true;
	conn_hides(c, HIDES_REQUESTS);
	all->ops->unread(all->ctx, c->pid);
}

/* What follows has nothing to do with what was before. */
static void begin_anew(struct conn *c)
{
	for (unsigned dir = 0; dir < 2; dir++)
		stream_release(&c->streams[dir], c->all->blocks);
	conn_restart(c);
	c->heard = c->joined = false;
	c->tunnel = false;
	c->proto = NULL;
}

void conn_seal(struct conn *c)
{
	c->sealed = true;
	c->sealed_ns = c->latest_ns;
	c->proto = &tls_protocol;
	memset(c->state, 0, tls_protocol.state_size);
	if (c->joined)
		tls_protocol.join(c->state);
	c->all->ops->readable(c->all->ctx, c->pid);
}

static void unseal(struct conn *c, bool numbered)
{
	struct conns *all = c->all;
	const struct tls_hellos *said = tls_hellos(c->state);

	if (c->sealed) {
		c->secure.version = said->version;
		c->secure.offers_h2 = said->offers_h2;
		memcpy(c->secure.alpn, said->alpn, sizeof(c->secure.alpn));
		/* a server's clients could send any number of them */
		if (c->role == ROLE_CLIENT && said->server_name[0])
			c->secure.server_name = paths_intern(&all->names, said->server_name,
				(unsigned)strlen(said->server_name));
	}
	/* an exchange can be open on it where what began TLS was lost */
	if (!c->sealed && c->proto)
		conn_finish(c, END_HOLE, 0, c->latest_ns);
	begin_anew(c);
	c->sealed = false;
	c->opened = true;
	c->numbered = numbered;
}

void conn_agreed(struct conn *c)
{
	if (c->opened && !c->secure.alpn[0] && c->secure.offers_h2 && c->proto == &http2)
		memcpy(c->secure.alpn, "h2", sizeof("h2"));
}

bool conn_layer(struct conn *c, const struct weft_data *rec)
{
	switch (rec->layer) {
	case WEFT_LAYER_TLS:
		if (c->opened)
			return false;
		if (!c->sealed) {
			if (c->proto)
				conn_finish(c, END_HOLE, 0, c->latest_ns);
			if (c->tunnel)
				begin_anew(c);
			conn_seal(c);
		}
		return true;
	case WEFT_LAYER_PLAIN:
		if (!c->opened)
			unseal(c, !(rec->head.flags & WEFT_UNNUMBERED));
		return true;
	}
	if (c->tunnel && rec->head.flags & WEFT_SEND_BIT) { /* of something else */
		conn_give_up(c);
		return false;
	}
	return !c->sealed && !c->opened; /* what was under way when the programs were told */
}

void conn_sealed_end(struct conn *c)
{
	if (!c->sealed)
		return;
	unread(c);
	if (!c->unread)
		count(c->all->counters, COUNT_TLS_EMPTY);
}

void conns_look_sealed(struct conns *all, uint64_t now_ns)
{
	for (uint32_t i = 0; i < all->capacity; i++) {
		struct conn *c = &all->v[i];

		if (c->id && c->sealed && now_ns - c->sealed_ns > SEALED_NS)
			unread(c);
	}
}
