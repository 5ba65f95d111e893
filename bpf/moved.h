/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The one core of every hook set: a call moved n bytes of a socket; record it. */
#pragma once
#include "caller.h"
#include "conn.h"
#include "source.h"
#include "start.h"

#define LOOK_EVERY 8 /* records of a CPU between two looks at the backlog */

/* A receive that took nothing out of the stream: counted, nothing more to do. What the error queue
 * gives are copies of packets that were sent (SO_TIMESTAMPING). */
static __always_inline bool moved_aside(int flags, struct weft_counts *cnt)
{
	if (!(flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)))
		return false;
	cnt->v[flags & MSG_PEEK ? WEFT_COUNT_SKIPPED_PEEK : WEFT_COUNT_SKIPPED_OOB]++;
	return true;
}

/* How many of the call's bytes the budget allows; turns it over when the direction changes. */
static __always_inline __u32 budget_take(struct conn *c, __u8 dir, __u32 n)
{
	__u32 take;

	if (c->turn != dir + 1) {
		c->turn = dir + 1;
		c->left[dir & 1] = WEFT_TURN_BYTES;
	}
	take = c->left[dir & 1];
	if (take > n)
		take = n;
	c->left[dir & 1] -= take;
	if (take < n && n <= WEFT_SMALL_BYTES)
		take = n;
	return take;
}

/* The call's place in the stream. */
static __always_inline void moved_place(struct conn *c, struct sock *sk, enum sock_kind kind,
	__u8 dir, __u32 n, struct weft_data *d)
{
	if (kind != SOCK_TCP && kind != SOCK_UNIX)
		c->flags |= CONN_UNNUMBERED;
	if (c->flags & CONN_UNNUMBERED)
		d->head.flags |= WEFT_UNNUMBERED;
	if (c->flags & (CONN_UNNUMBERED | CONN_UNIX)) {
		d->seq = conn_counted(c, dir);
		d->other = conn_counted(c, !(dir & 1));
		d->age_ns = ~0u;
	} else {
		struct tcp_sock *tp = sock_tcp(sk);
		__u32 received, sent;

		if (!tp)
			return;
		received = sock_received(sk, tp);
		sent = sock_sent(tp);
		d->age_ns = ~0u;
		if (dir == WEFT_SEND) {
			__u64 left = READ(tp, tcp_wstamp_ns);
			__u64 age = d->head.time_ns - left;

			d->seq = sent - n;
			d->other = received;
			if (left <= d->head.time_ns && age < ~0u)
				d->age_ns = age;
		} else {
			d->seq = received - n;
			d->other = sent;
		}
	}
	c->moved[dir & 1] += n;
}

/* Where a call of n bytes that is not counted yet ended. */
static __always_inline __u32 call_end(
	const struct conn *c, struct sock *sk, enum sock_kind kind, __u8 dir, __u32 n)
{
	struct tcp_sock *tp;

	if (c->flags & CONN_UNNUMBERED || kind != SOCK_TCP)
		return conn_counted(c, dir) + n;
	tp = sock_tcp(sk);
	if (!tp)
		return 0;
	return dir == WEFT_SEND ? sock_sent(tp) : sock_received(sk, tp);
}

/* Called at the return of a call that moved n > 0 bytes. src is asked only when bytes are wanted.
 */
static __always_inline int moved(void *ctx, struct sock *sk, __u8 dir, __u32 n, struct source *src,
	const struct caller *by, struct conn *c, struct weft_counts *cnt, enum sock_kind kind)
{
	struct scratch *s;
	enum weft_want want;
	__u64 size, what, tries;
	__u32 take;
	__u8 was = c->start, start = 0;

	/* said once: whatever becomes of this call's record, the next one is in between */
	if (was) {
		start = start_flags(c, sk, kind, dir, n);
		c->start = START_IN_BETWEEN;
	}

	if (conn_shed(ctx, sk, c)) {
		c->moved[dir & 1] += n;
		cnt->v[WEFT_COUNT_SHED]++;
		return 0;
	}
	what = conn_wants(c);
	want = (__u32)what;
	if (want == WEFT_WANT_NOTHING) {
		c->moved[dir & 1] += n;
		cnt->v[WEFT_COUNT_UNWANTED]++;
		return 0;
	}
	if (want == WEFT_WANT_UNTIL_RECV || want == WEFT_WANT_UNTIL_SEND) {
		/* the agent knows that a body goes on behind this call: nothing to tell */
		if (want == WEFT_WANT_UNTIL_RECV + dir &&
			(__s32)((what >> 32) - call_end(c, sk, kind, dir, n)) > 0) {
			c->moved[dir & 1] += n;
			cnt->v[WEFT_COUNT_COALESCED]++;
			return 0;
		}
	} else if (want >= WEFT_WANT_AGAIN) {
		if (want == WEFT_WANT_AGAIN_RECV + dir && was != START_AGAIN &&
			(__u32)(what >> 32) == call_end(c, sk, kind, dir, n) - n)
			start = WEFT_QUIET;
		c->start = START_AGAIN;
		c->flags &= ~CONN_OPENED;
		c->connect_ns = 0; /* what the thread does now says nothing of then */
	}
	/* before the record's time is taken: an announcement must be the older of the two */
	if (!conn_announce(ctx, sk, c, by->slot)) {
		c->moved[dir & 1] += n;
		cnt->v[WEFT_COUNT_LOST_FULL]++;
		return 0;
	}
	s = bpf_map_lookup_elem(&scratches, &by->slot);
	if (!s)
		return 0;
	record_head(
		&s->data.head, WEFT_RECORD_DATA, start | (dir == WEFT_SEND ? WEFT_SEND_BIT : 0), 0);
	if (by->how == CALLER_WORKER)
		s->data.head.tid = 0;
	s->data.conn = c->id;
	s->data.len = n;
	s->data.off = 0;
	s->data.caught = 0;
	s->data.why = src->why;
	moved_place(c, sk, kind, dir, n, &s->data);
	if (c->flags & CONN_UNNUMBERED)
		cnt->v[WEFT_COUNT_UNNUMBERED]++;

	take = budget_take(c, dir, n);
	if (src->why != WEFT_COPY_OK) {
		s->data.head.flags |= WEFT_NO_COPY;
		switch (src->why) {
		case WEFT_NO_COPY_FILE:
			cnt->v[WEFT_COUNT_NO_COPY_FILE]++;
			break;
		case WEFT_NO_COPY_COMPAT:
			cnt->v[WEFT_COUNT_NO_COPY_COMPAT]++;
			break;
		case WEFT_NO_COPY_URING:
			cnt->v[WEFT_COUNT_NO_COPY_URING]++;
			break;
		case WEFT_NO_COPY_TRUNC:
			cnt->v[WEFT_COUNT_NO_COPY_TRUNC]++;
			break;
		case WEFT_NO_COPY_OOB:
			cnt->v[WEFT_COUNT_NO_COPY_OOB]++;
			break;
		case WEFT_NO_COPY_BATCH:
			cnt->v[WEFT_COUNT_NO_COPY_BATCH]++;
			break;
		default:
			cnt->v[WEFT_COUNT_NO_COPY_FAULT]++;
		}
	} else if (take) {
		__u32 got = source_copy(src, &s->copied, take);

		if (!got) {
			s->data.why = WEFT_NO_COPY_FAULT;
			s->data.head.flags |= WEFT_NO_COPY;
			cnt->v[WEFT_COUNT_NO_COPY_FAULT]++;
		}
		s->data.caught = got;
		/* how the process waits here is evidence where a request's head is */
		s->data.head.flags |=
			by->how == CALLER_THREAD ? sock_waits(sk) : WEFT_POLLED | WEFT_NONBLOCKING;
	} else {
		__u32 got = source_tail(src, &s->copied, n);

		s->data.why = WEFT_NO_COPY_BUDGET;
		if (got) {
			s->data.off = WEFT_OFF_TAIL;
			s->data.caught = got;
		}
	}

	size = sizeof(s->data) + (__u64)s->data.caught;
	s->data.head.size = size;
	barrier_var(size); /* lest the verifier lose sight of the bound */
	if (size > sizeof(s->data) + WEFT_CAPTURE_BYTES)
		return 0;
	tries = cnt->v[WEFT_COUNT_EMITTED] + cnt->v[WEFT_COUNT_LOST_FULL];
	if (emit(ctx, s, size, tries % LOOK_EVERY ? EMIT_QUIET : EMIT_LOOK))
		cnt->v[WEFT_COUNT_LOST_FULL]++;
	else
		cnt->v[WEFT_COUNT_EMITTED]++;
	return 0;
}

/* What an MPTCP socket still holds when it is closed is not told: nothing would tell its end. */
static __always_inline bool mptcp_over(const struct conn *c, struct sock *sk)
{
	return c->flags & CONN_MPTCP && READ(sk, __sk_common.skc_state) == TCP_CLOSE;
}

/* The connection's state, made at first sight if the current process is traced. NULL: counted,
 * nothing more to do. */
static __always_inline struct conn *moved_conn(
	void *ctx, struct sock *sk, struct weft_counts *cnt, enum sock_kind *ret_kind)
{
	struct conn *c = conn_find_own(ctx, sk);
	struct conn fresh;

	if (c && (c->flags & CONN_SELF || mptcp_over(c, sk))) {
		cnt->v[WEFT_COUNT_FILTERED]++;
		return NULL;
	}
	if (c) {
		*ret_kind = c->flags & CONN_MPTCP ? SOCK_MPTCP : sock_kind(sk);
		return c;
	}
	if (!current_traced()) {
		cnt->v[WEFT_COUNT_FILTERED]++;
		return NULL;
	}
	*ret_kind = sock_kind(sk);
	if (*ret_kind == SOCK_OTHER) {
		cnt->v[WEFT_COUNT_FILTERED]++;
		return NULL;
	}
	conn_start(&fresh, *ret_kind, 0);
	if (*ret_kind == SOCK_UNIX)
		conn_start_unix(&fresh, sk);
	if (mptcp_over(&fresh, sk)) {
		cnt->v[WEFT_COUNT_FILTERED]++;
		return NULL;
	}
	c = conn_make(sk, &fresh);
	if (!c) {
		lost_tell();
		if (*ret_kind == SOCK_UNIX)
			unix_lost_tell();
		cnt->v[WEFT_COUNT_LOST_MAP]++;
	}
	return c;
}
