/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The state of a connection: finding it, making it at first sight, announcing it to the agent. */
#pragma once
#include "emit.h"
#include "filter.h"
#include "sock.h"
#include "unix.h"

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
	/* not every end of one is seen, to count it down again; it goes with its socket */
	if (fresh->flags & CONN_UNIX)
		return bpf_sk_storage_get(&conns, sk, fresh, BPF_SK_STORAGE_GET_F_CREATE)
			       ?: conn_find(sk);
	/* what the agent corrects (capture_recount) can be too low for a moment: below nothing */
	if ((__s64)__sync_fetch_and_add(&ctl->conns, 1) >= (__s64)max_conns) {
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

static __always_inline void conn_forget_unix(struct sock *sk)
{
	bpf_sk_storage_delete(&conns, sk);
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

	if (!(fresh->flags & CONN_UNIX))
		fresh->ino = READ(sk, __sk_common.skc_cookie.counter);
	bpf_map_update_elem(&conns, &key, fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&conns, &key);
}

static __always_inline void conn_forget(struct sock *sk)
{
	__u64 key = (__u64)sk;

	bpf_map_delete_elem(&conns, &key);
}

static __always_inline void conn_forget_unix(struct sock *sk)
{
	conn_forget(sk);
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
	if (kind != SOCK_TCP && kind != SOCK_UNIX)
		c->flags |= CONN_UNNUMBERED;
	if (kind == SOCK_MPTCP)
		c->flags |= CONN_MPTCP;
}

static __always_inline void conn_start_unix(struct conn *c, struct sock *sk)
{
	__u32 zero = 0;
	struct weft_control *ctl = bpf_map_lookup_elem(&control, &zero);
	struct sock *peer = unix_peer(sk);
	bool accepted = unix_address(sk), called = peer && unix_address(peer);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, ino = 0;
	__u32 *verdict = bpf_map_lookup_elem(&procs, &tgid);

	c->flags = CONN_UNIX;
	c->ino = unix_ino(sk);
	if (accepted && peer && !called) {
		c->flags |= CONN_ACCEPTED;
		ino = unix_ino(peer);
	} else if (called && !accepted) {
		c->flags |= CONN_CLIENT;
		ino = c->ino;
	}
	c->base = unix_base(ino);
	/* those that are older than the tracing of their process were asked (start.h) */
	c->start = ctl && !ctl->unix_lost && verdict && *verdict != WEFT_LOOKING ? START_FRESH
										 : START_IN_BETWEEN;
	if (!ino || c->start != START_FRESH)
		c->flags |= CONN_UNNUMBERED;
}

/* The place that a direction has reached where bytes are counted. */
static __always_inline __u32 conn_counted(const struct conn *c, __u8 dir)
{
	return c->base + c->moved[dir & 1];
}

/* Too large to stand in every program, and on its stack. */
static __noinline int conn_tell_unix(void *ctx, struct sock *sk, struct conn *c, __u32 slot)
{
	bool accepted = c->flags & CONN_ACCEPTED || unix_address(sk);
	struct scratch *s = scratch_get(slot);
	struct weft_open_unix *open;
	struct unix_address *at;
	struct sock *peer = unix_peer(sk);
	__s32 len;
	int err;

	if (!s)
		return -ENOENT;
	open = (struct weft_open_unix *)&s->copied;
	__builtin_memset(open, 0, sizeof(*open));
	record_head(&open->open.head, WEFT_RECORD_OPEN,
		WEFT_UNIX | (c->flags & CONN_CLIENT ? WEFT_CONNECTED : 0) |
			(c->flags & CONN_ACCEPTED ? WEFT_ACCEPTED : 0) |
			(c->flags & CONN_ACCEPTED && tgid_traced(unix_caller(sk))
					? WEFT_CALLER_TRACED
					: 0) |
			(c->flags & CONN_UNNUMBERED ? WEFT_UNNUMBERED : 0),
		sizeof(*open));
	open->open.conn = c->id;
	unix_id(open->open.local_addr, sk);
	unix_id(open->open.remote_addr, peer);
	open->open.netns = sock_netns(sk);
	at = accepted ? unix_address(sk) : peer ? unix_address(peer) : NULL;
	len = at ? BPF_CORE_READ(at, len) - (__s32)offsetof(struct sockaddr_un, sun_path) : 0;
	if (len > 0 && len <= WEFT_PATH_LEN &&
		!bpf_probe_read_kernel(open->path, sizeof(open->path), at->name[0].sun_path))
		open->path_len = len;
	err = emit_life(ctx, open, sizeof(*open));
	if (!err)
		c->flags |= CONN_OPENED;
	return err;
}

/* Tells the agent of the connection, which is no Unix socket's. */
static __noinline int conn_tell(void *ctx, struct sock *sk, struct conn *c)
{
	struct weft_open open = {};
	int err;

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
	err = emit_life(ctx, &open, sizeof(open));
	if (!err)
		c->flags |= CONN_OPENED;
	return err;
}

/* The same, once. A lost announcement is repeated with the next record. */
static __always_inline int conn_announce(void *ctx, struct sock *sk, struct conn *c, __u32 slot)
{
	if (c->flags & CONN_OPENED)
		return 0;
	return c->flags & CONN_UNIX ? conn_tell_unix(ctx, sk, c, slot) : conn_tell(ctx, sk, c);
}

/* What the agent still wants of it: weft_want_slot.what. */
static __always_inline __u64 conn_wants(const struct conn *c)
{
	__u32 slot = c->id & (WEFT_WANT_SLOTS - 1);
	volatile struct weft_want_slot *w = bpf_map_lookup_elem(&wants, &slot);
	__u64 what;

	if (!w || w->tag != c->id)
		return WEFT_WANT_HEADS;
	what = w->what;
	/* another connection can have taken the slot in between */
	return w->tag == c->id ? what : WEFT_WANT_HEADS;
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
		if (c->flags & (CONN_UNNUMBERED | CONN_UNIX))
			shut.recv_seq = conn_counted(c, WEFT_RECV);
		else
			shut.recv_seq = sock_ended_at(sk);
		emit_end(ctx, &shut, sizeof(shut));
	}
	c->flags &= ~CONN_OPENED;
}

/* One direction has ended. */
static __always_inline void conn_shut(void *ctx, struct sock *sk, struct conn *c, __u8 dir)
{
	struct weft_shut shut = {};
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	if (!(c->flags & CONN_OPENED) || conn_want(c) == WEFT_WANT_NOTHING)
		return;
	record_head(&shut.head, WEFT_RECORD_SHUT, dir == WEFT_SEND ? WEFT_SEND_BIT : 0, 0);
	shut.conn = c->id;
	if (c->flags & CONN_UNNUMBERED)
		shut.head.flags |= WEFT_UNNUMBERED;
	if (c->flags & (CONN_UNNUMBERED | CONN_UNIX)) {
		shut.recv_seq = conn_counted(c, WEFT_RECV);
		shut.send_seq = conn_counted(c, WEFT_SEND);
	} else {
		/* the FIN is in rcv_nxt already, and not yet in write_seq */
		shut.recv_seq = BPF_CORE_READ(tp, rcv_nxt) - 1;
		shut.send_seq = BPF_CORE_READ(tp, write_seq);
	}
	emit_end(ctx, &shut, sizeof(shut));
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
	if ((c->flags & CONN_UNIX ? unix_base(c->base ?: c->ino) : sock_key(sk)) < shed) {
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

#ifndef WEFT_TRUSTED_SOCKS

/* Whether the state that is kept by the socket's address is this socket's. TCP's get their cookies
 * at the first change of theirs that is looked at (life.h). */
static __always_inline bool conn_is_of(struct conn *c, struct sock *sk)
{
	__u32 cookie;

	if (READ(sk, __sk_common.skc_family) == AF_UNIX)
		return c->flags & CONN_UNIX && c->ino == unix_ino(sk);
	if (c->flags & CONN_UNIX)
		return false;
	cookie = READ(sk, __sk_common.skc_cookie.counter);
	if (!c->ino)
		c->ino = cookie;
	return c->ino == cookie;
}

#endif

/* The socket is gone: what is known of it goes as well. */
static __always_inline void conn_over(void *ctx, struct sock *sk, struct conn *c, __u8 flags)
{
	__u64 sock = (__u64)sk;

	conn_ended(ctx, sk, c, flags);
	if (c->flags & CONN_TLS)
		bpf_map_delete_elem(&tls_sockets, &sock);
	conn_forget(sk);
}

/* The state of this very socket. Where it is kept by the socket's address, another's may have been
 * left behind: not every end of a Unix socket is seen, and one of TCP can be missed. */
static __always_inline struct conn *conn_find_own(void *ctx, struct sock *sk)
{
	struct conn *c = conn_find(sk);

#ifndef WEFT_TRUSTED_SOCKS
	if (c && !conn_is_of(c, sk)) {
		conn_over(ctx, sk, c, WEFT_END_MISSED);
		return NULL;
	}
#endif
	return c;
}

/* A receive on a Unix socket moved nothing: it came to the end of the bytes, or the peer went away
 * without having read all. If the peer has closed it, nothing is to come in either direction, and
 * this end is not sure to tell when it is closed as well. */
static __always_inline void conn_unix_over(void *ctx, struct sock *sk, long ret)
{
	struct conn *c;

	if (READ(sk, __sk_common.skc_family) != AF_UNIX || (!ret && !unix_at_end(sk)))
		return;
	c = conn_find_own(ctx, sk);
	if (!c || !(c->flags & CONN_UNIX))
		return;
	c->error = -ret;
	if (!ret)
		conn_shut(ctx, sk, c, WEFT_RECV);
	if (ret || unix_peer_closed(sk))
		conn_ended(ctx, sk, c, 0);
}

/* Its process closes it. */
static __always_inline void conn_unix_closed(void *ctx, struct sock *sk)
{
	struct conn *c = conn_find_own(ctx, sk);

	if (!c || !(c->flags & CONN_UNIX))
		return;
	if (unix_at_end(sk))
		conn_shut(ctx, sk, c, WEFT_RECV);
	conn_shut(ctx, sk, c, WEFT_SEND);
	conn_ended(ctx, sk, c, 0);
	conn_forget_unix(sk);
}

static __always_inline void conn_unix_shut(void *ctx, struct sock *sk)
{
	struct conn *c = conn_find_own(ctx, sk);

	if (c && c->flags & CONN_UNIX)
		conn_shut(ctx, sk, c, WEFT_SEND);
}
