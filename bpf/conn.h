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

/* Socket storage has no size of its own: what is in use is counted, so that it is bounded. Two
 * threads can see a socket first at once: one of them makes the state, whole, and the other finds
 * it. */
static __always_inline struct conn *conn_make(struct sock *sk, struct conn *fresh)
{
	__u32 zero = 0;
	struct weft_control *ctl = bpf_map_lookup_elem(&control, &zero);
	struct conn *c;

	if (!ctl)
		return NULL;
	if (__sync_fetch_and_add(&ctl->conns, 1) >= max_conns) {
		__sync_fetch_and_add(&ctl->conns, -1);
		return conn_find(sk);
	}
	c = bpf_sk_storage_get(&conns, sk, fresh, BPF_SK_STORAGE_GET_F_CREATE) ?: conn_find(sk);
	if (!c || c->id != fresh->id)
		__sync_fetch_and_add(&ctl->conns, -1);
	return c;
}

static __always_inline void conn_forget(struct sock *sk)
{
	__u32 zero = 0;
	struct weft_control *ctl = bpf_map_lookup_elem(&control, &zero);

	if (ctl && !bpf_sk_storage_delete(&conns, sk))
		__sync_fetch_and_add(&ctl->conns, -1);
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
	c->start = flags & CONN_CLIENT ? START_FRESH : START_LOOK;
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

/* What the agent still wants of it: weft_want_slot.what. */
static __always_inline __u64 conn_wants(const struct conn *c)
{
	__u32 slot = c->id & (WEFT_WANT_SLOTS - 1);
	struct weft_want_slot *w = bpf_map_lookup_elem(&wants, &slot);

	return w && w->tag == c->id ? w->what : WEFT_WANT_HEADS;
}

static __always_inline enum weft_want conn_want(const struct conn *c)
{
	return (__u32)conn_wants(c);
}

static __always_inline __u32 sock_ended_at(struct sock *sk)
{
	struct tcp_sock *tp = sock_tcp(sk);

	return tp ? sock_received(sk, tp) : 0;
}

static __always_inline void conn_ended(void *ctx, struct sock *sk, struct conn *c, __u8 flags)
{
	struct weft_shut shut = {};

	if (c->flags & CONN_OPENED) {
		record_head(&shut.head, WEFT_RECORD_CLOSE, flags, 0);
		shut.conn = c->id;
		shut.error = c->error;
		if (c->flags & CONN_UNNUMBERED)
			shut.recv_seq = c->moved[WEFT_RECV];
		else
			shut.recv_seq = sock_ended_at(sk);
		emit_end(ctx, &shut, sizeof(shut));
	}
	c->flags &= ~CONN_OPENED;
}

/* Whether the connection is left out to stay within the budget. The agent is told when that begins;
 * afterwards it is a new connection to it. */
static __always_inline bool conn_shed(void *ctx, struct sock *sk, struct conn *c)
{
	__u32 zero = 0;
	struct weft_control *ctl = bpf_map_lookup_elem(&control, &zero);
	__u32 shed = ctl ? ctl->shed : 0;

	if (!shed && !(c->flags & CONN_SHED))
		return false;
	if (sock_key(sk) < shed) {
		conn_ended(ctx, sk, c, WEFT_SHED);
		c->flags |= CONN_SHED;
		return true;
	}
	if (c->flags & CONN_SHED) {
		c->flags &= ~CONN_SHED;
		if (ctl)
			c->id = __sync_fetch_and_add(&ctl->next_conn, 1) + 1;
		c->connect_ns = 0; /* what the thread does now says nothing of then */
		c->turn = 0;
	}
	return false;
}
