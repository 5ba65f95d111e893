/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The state of a connection: finding it, making it at first sight, announcing it to the agent. */
#pragma once
#include "emit.h"
#include "filter.h"
#include "sock.h"

#ifdef WEFT_TRUSTED_SOCKS

static __always_inline struct conn *conn_find(struct sock *sk)
{
	return bpf_sk_storage_get(&conns, sk, NULL, 0);
}

/* Two threads can see a socket first at once: one of them makes the state, whole, and the other
 * finds it. */
static __always_inline struct conn *conn_make(struct sock *sk, struct conn *fresh)
{
	struct conn *c = bpf_sk_storage_get(&conns, sk, fresh, BPF_SK_STORAGE_GET_F_CREATE);

	return c ?: conn_find(sk);
}

static __always_inline void conn_forget(struct sock *sk)
{
	/* the storage goes with the socket */
}

#else

static __always_inline struct conn *conn_find(struct sock *sk)
{
	__u64 key = (__u64)sk;

	return bpf_map_lookup_elem(&conns, &key);
}

static __always_inline struct conn *conn_make(struct sock *sk, struct conn *fresh)
{
	__u64 key = (__u64)sk;

	bpf_map_update_elem(&conns, &key, fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&conns, &key);
}

static __always_inline void conn_forget(struct sock *sk)
{
	__u64 key = (__u64)sk;

	bpf_map_delete_elem(&conns, &key);
}

#endif

/* A new number, and nothing known. */
static __always_inline void conn_start(struct conn *c, enum sock_kind kind, __u8 flags)
{
	__u32 zero = 0;
	struct weft_control *ctl = bpf_map_lookup_elem(&control, &zero);

	__builtin_memset(c, 0, sizeof(*c));
	if (ctl)
		c->id = __sync_fetch_and_add(&ctl->next_conn, 1) + 1;
	c->flags = flags;
	if (kind != SOCK_TCP)
		c->flags |= CONN_UNNUMBERED;
	if (kind == SOCK_MPTCP)
		c->flags |= CONN_MPTCP;
}

/* Tells the agent of the connection. */
static __always_inline bool conn_tell(void *ctx, struct sock *sk, struct conn *c)
{
	struct weft_open open = {};

	record_head(&open.head, WEFT_RECORD_OPEN, 0, sizeof(open));
	if (c->flags & CONN_CLIENT) {
		open.head.flags |= WEFT_CONNECTED;
		if (c->flags & CONN_NONBLOCKING)
			open.head.flags |= WEFT_POLLED;
		open.head.pid = c->connect_pid;
		open.head.tid = c->connect_tid;
	}
	if (c->flags & CONN_UNNUMBERED)
		open.head.flags |= WEFT_UNNUMBERED;
	open.conn = c->id;
	open.connect_ns = c->connect_ns;
	sock_addresses(sk, &open);
	if (emit_life(ctx, &open, sizeof(open)))
		return false;
	c->flags |= CONN_OPENED;
	return true;
}

/* The same, once. A lost announcement is repeated with the next record. */
static __always_inline bool conn_announce(void *ctx, struct sock *sk, struct conn *c)
{
	return c->flags & CONN_OPENED || conn_tell(ctx, sk, c);
}

/* What the agent still wants of it. */
static __always_inline enum weft_want conn_want(const struct conn *c)
{
	__u32 slot = c->id & (WEFT_WANT_SLOTS - 1);
	struct weft_want_slot *w = bpf_map_lookup_elem(&wants, &slot);

	return w && w->tag == c->id ? w->want : WEFT_WANT_HEADS;
}
