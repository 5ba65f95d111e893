/* SPDX-License-Identifier: Apache-2.0 */
#include "span/build.h"

size_t build_room(struct build *b, size_t n)
{
	if (n > b->room) {
		n = b->room;
		b->cut = true;
	}
	b->room -= n;
	return n;
}

bool build_attr_room(struct build *b, struct slice key)
{
	if (b->span->attr_count == SPAN_MAX_ATTRS || b->room < SPAN_PACK_ATTR + key.len) {
		b->cut = true;
		return false;
	}
	b->room -= SPAN_PACK_ATTR + key.len;
	return true;
}

struct slice build_fit(struct build *b, struct slice value)
{
	size_t len;

	value = text_utf8(b->text, value);
	len = build_room(b, value.len);
	return len == value.len ? value
				: slice_of(value.ptr, utf8_prefix(slice_of(value.ptr, len)));
}

void build_str(struct build *b, struct slice key, struct slice value)
{
	if (build_attr_room(b, key))
		span_add_str(b->span, key, build_fit(b, value));
}

void build_own(struct build *b, struct slice key, struct slice value)
{
	if (build_attr_room(b, key))
		span_add_str(b->span, key, slice_of(value.ptr, build_room(b, value.len)));
}

void build_int(struct build *b, struct slice key, int64_t value)
{
	if (build_attr_room(b, key))
		span_add_int(b->span, key, value);
}

struct slice build_addr(struct build *b, const uint8_t addr[static ADDR_LEN])
{
	size_t from = b->text->used;

	text_put_addr(b->text, addr);
	return text_since(b->text, from);
}

struct slice build_peer(struct build *b)
{
	const struct endpoints *ends = b->ex->ends;

	return ends->path ? slice_str(ends->path) : build_addr(b, ends->remote_addr);
}

struct slice build_end_error(enum exchange_end end)
{
	switch (end) {
	case END_CLOSED:
		return SLICE("connection_closed");
	case END_ABORTED:
		return SLICE("aborted");
	case END_RESET:
		return SLICE("connection_reset");
	case END_STREAM_RESET:
		return SLICE("stream_reset");
	case END_REFUSED:
		return SLICE("connection_refused");
	case END_TIMEOUT:
		return SLICE("timeout");
	case END_UNREACHABLE:
		return SLICE("unreachable");
	case END_BAD:
		return SLICE("bad_reply");
	case END_OPEN:
	case END_PAIRED:
	case END_HOLE:
	case END_EVICTED:
	case END_SHUTDOWN:
		break;
	}
	return (struct slice){NULL, 0};
}

static struct slice incomplete_of(const struct exchange *ex)
{
	if (ex->end == END_HOLE)
		return SLICE("lost");
	if (ex->end == END_EVICTED)
		return SLICE("evicted");
	if (ex->end == END_SHUTDOWN)
		return SLICE("shutdown");
	if (ex->http.unknown)
		return SLICE("headers");
	return (struct slice){NULL, 0};
}

void build_end(struct build *b, struct slice error)
{
	struct slice incomplete = incomplete_of(b->ex);

	if (error.len) {
		b->span->status = SPAN_ERROR;
		build_own(b, SLICE("error.type"), error);
	}
	if (incomplete.len)
		build_own(b, SLICE("weft.incomplete"), incomplete);
}

/* Only a Unix socket's server has a name: its peer's, seen by the client, and its own. */
static void add_unix(struct build *b)
{
	const struct exchange *ex = b->ex;

	build_own(b, SLICE("network.transport"), SLICE("unix"));
	if (ex->ends->path[0])
		build_own(b,
			ex->role == ROLE_SERVER ? SLICE("network.local.address")
						: SLICE("network.peer.address"),
			slice_str(ex->ends->path));
}

void build_network(struct build *b, struct slice peer)
{
	if (b->ex->ends->path) {
		add_unix(b);
		return;
	}
	build_own(b, SLICE("network.peer.address"), peer);
	build_int(b, SLICE("network.peer.port"), b->ex->ends->remote_port);
}
