/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The one core of every hook set: a call moved n bytes of a socket; record it. */
#pragma once
#include "caller.h"
#include "conn.h"
#include "frames.h"
#include "source.h"
#include "start.h"
#include "tls_pair.h"

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
static __always_inline __u32 budget_take(struct conn *c, __u8 dir, __u32 n, enum weft_want want)
{
	__u32 take, at = dir;
	bool turned = c->turn != dir + 1;

	if (want >= WEFT_WANT_CALLS)
		return n < WEFT_CAPTURE_BYTES ? n : WEFT_CAPTURE_BYTES;

	/* Linux 6.12 forgets what it knew of a number when another that was made of it is compared
	 */
	barrier_var(at);
	at &= 1;
	if (turned) {
		c->turn = dir + 1;
		c->left[at] = WEFT_TURN_BYTES;
	}
	take = c->left[at];
	if (take > n)
		take = n;
	c->left[at] -= take;
	if (take < n && n <= WEFT_SMALL_BYTES)
		take = n;
	return take;
}

/* The call's place in the stream, where it is counted. */
static __always_inline void moved_counted(struct conn *c, __u8 dir, struct moved_call *m)
{
	m->seq = conn_counted(c, dir);
	m->other = conn_counted(c, !(dir & 1));
	m->age_ns = ~0u;
}

/* The call's place in the stream. */
static __always_inline void moved_place(struct conn *c, struct sock *sk, enum sock_kind kind,
	__u8 dir, __u32 n, struct moved_call *m)
{
	struct tcp_sock *tp;
	__u32 received, sent;

	if (kind != SOCK_TCP && kind != SOCK_UNIX)
		c->flags |= CONN_UNNUMBERED;
	if (c->flags & CONN_UNNUMBERED)
		m->flags |= WEFT_UNNUMBERED;
	if (c->flags & (CONN_UNNUMBERED | CONN_UNIX)) {
		moved_counted(c, dir, m);
		return;
	}
	tp = sock_tcp(sk);
	if (!tp)
		return;
	received = sock_received(sk, tp);
	sent = sock_sent(tp);
	m->age_ns = ~0u;
	if (dir == WEFT_SEND) {
		__u64 left = READ(tp, tcp_wstamp_ns);
		__u64 age = m->time_ns - left;

		m->seq = sent - n;
		m->other = received;
		if (left <= m->time_ns && age < ~0u)
			m->age_ns = age;
	} else {
		m->seq = received - n;
		m->other = sent;
	}
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

static __always_inline void count_no_copy(struct weft_counts *cnt, __u8 why)
{
	switch (why) {
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
}

/* Puts the call's record together in its slot's scratch; its size, 0: nothing is to be told. A
 * global function, so that the verifier checks it once and not in every program. */
__noinline int moved_record(struct conn *c, struct moved_call *m)
{
	struct weft_counts *cnt;
	struct scratch *s;
	struct weft_data *d;
	enum weft_want want;
	int frames = FRAMES_OFF;
	__u32 take, n, slot;
	__u8 dir;

	if (!c || !m)
		return 0;
	slot = m->slot; /* before 6.4 a key must lie on the stack */
	cnt = counts_get(slot);
	s = scratch_get(slot);
	if (!cnt || !s)
		return 0;
	d = &s->data;
	dir = m->bytes.dir & 1;
	n = m->bytes.n;
	want = (__u32)m->bytes.what;
	/* nothing to look for on most calls of most connections */
	if (c->flags & CONN_FRAMES || !c->moved[dir] || want > WEFT_WANT_CALLS)
		frames = frames_find(c, &m->bytes);
	c->moved[dir] += n;
	if (frames == FRAMES_INSIDE) {
		cnt->v[WEFT_COUNT_COALESCED]++;
		return 0;
	}
	record_head_at(&d->head, WEFT_RECORD_DATA,
		m->flags | (dir == WEFT_SEND ? WEFT_SEND_BIT : 0), 0, m->time_ns);
	if (m->how == CALLER_WORKER)
		d->head.tid = 0;
	d->conn = c->id;
	d->seq = m->seq;
	d->len = n;
	d->other = m->other;
	d->age_ns = m->age_ns;
	d->off = 0;
	d->caught = 0;
	d->why = m->bytes.src.why;
	d->layer = m->layer;
	if (c->flags & CONN_UNNUMBERED)
		cnt->v[WEFT_COUNT_UNNUMBERED]++;

	take = frames == FRAMES_ON ? 1 : budget_take(c, dir, n, want);
	if (d->why != WEFT_COPY_OK) {
		c->flags &= ~frames_flag(dir);
		d->head.flags |= WEFT_NO_COPY;
		count_no_copy(cnt, d->why);
	} else if (take) {
		__u32 got;

		if (frames == FRAMES_ON) {
			got = frames_copy(c, &m->bytes, &s->walk, &s->copied);
			d->head.flags |= WEFT_PIECES;
		} else {
			got = source_copy(&m->bytes.src, &s->copied, take);
		}
		if (!got && (frames == FRAMES_OFF || !(c->flags & frames_flag(dir)))) {
			d->why = WEFT_NO_COPY_FAULT;
			d->head.flags |= WEFT_NO_COPY;
			cnt->v[WEFT_COUNT_NO_COPY_FAULT]++;
		}
		d->caught = got;
		/* how the process waits here is evidence where a request's head is */
		d->head.flags |= m->waits;
	} else {
		__u32 got = source_tail(&m->bytes.src, &s->copied, n);

		d->why = WEFT_NO_COPY_BUDGET;
		if (got) {
			d->off = WEFT_OFF_TAIL;
			d->caught = got;
		}
	}
	d->head.size = sizeof(*d) + d->caught;
	return d->head.size;
}

static __always_inline int moved_emit(void *ctx, __u32 slot, __u64 size, struct weft_counts *cnt)
{
	struct scratch *s = scratch_get(slot);
	__u64 tries = cnt->v[WEFT_COUNT_EMITTED] + cnt->v[WEFT_COUNT_LOST_FULL];
	long err;

	if (!s || !size)
		return 0;
	/* one comparison for both ends, of another register, would lose the bound: Linux 6.12 */
	barrier_var(size);
	if (size > sizeof(s->data) + WEFT_CAPTURE_BYTES)
		return 0;
	err = emit(ctx, s, size, tries % LOOK_EVERY ? EMIT_QUIET : EMIT_LOOK);
	cnt->v[err ? lost_why(err) : WEFT_COUNT_EMITTED]++;
	return 0;
}

/* A call that leaves no record, for the reason that is counted. */
static __always_inline int moved_untold(
	struct conn *c, __u8 dir, __u32 n, struct weft_counts *cnt, enum weft_kernel_counter why)
{
	c->moved[dir & 1] += n;
	cnt->v[why]++;
	return 0;
}

/* Whether a call, which ended at `end`, is to be told of by what the agent wants of its connection;
 * was: its start before this call. */
static __always_inline bool moved_wanted(struct conn *c, __u64 what, __u8 was, __u8 dir, __u32 n,
	__u32 end, struct moved_call *m, struct weft_counts *cnt)
{
	enum weft_want want = (__u32)what;

	if (want == WEFT_WANT_UNTIL_RECV || want == WEFT_WANT_UNTIL_SEND) {
		/* the agent knows that a body goes on behind this call */
		if (want == WEFT_WANT_UNTIL_RECV + dir && (__s32)((what >> 32) - end) > 0) {
			moved_untold(c, dir, n, cnt, WEFT_COUNT_COALESCED);
			return false;
		}
	} else if (want >= WEFT_WANT_AGAIN && want <= WEFT_WANT_AGAIN_SEND) {
		if (want == WEFT_WANT_AGAIN_RECV + dir && was != START_AGAIN &&
			(__u32)(what >> 32) == end - n)
			m->flags = WEFT_QUIET;
		c->start = START_AGAIN;
	}
	return true;
}

/* Whether the connection's bytes are TLS from this call on, its first that is seen, or one in a
 * tunnel: noted. *fresh becomes true in a tunnel: nothing of TLS was before. */
static __always_inline void moved_begins(
	struct conn *c, const struct source *src, __u8 dir, __u32 n, bool *fresh)
{
	int what;

	*fresh |= !!(c->flags & CONN_TUNNEL);
	what = tls_begins(src, n, *fresh);
	if (what == BEGINS_TLS) {
		/* what asked for the tunnel is not TLS' own; where bytes are counted, it stays */
		if (c->flags & CONN_TUNNEL && !(c->flags & (CONN_UNNUMBERED | CONN_UNIX)))
			c->moved[0] = c->moved[1] = 0;
		c->flags &= ~CONN_TUNNEL;
		c->flags |= CONN_TLS;
	} else if (what == BEGINS_CONNECT && dir == WEFT_SEND) {
		c->flags |= CONN_TUNNEL;
	}
}

static __always_inline void moved_tls(struct conn *c, struct sock *sk, const struct source *src,
	__u8 dir, __u32 n, __u32 seq, const struct moved_call *m, bool fresh,
	struct tls_moved *call)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();

	call->conn = c->id;
	call->sock = (__u64)sk;
	call->sp = REGS_SP((struct pt_regs *)bpf_task_pt_regs((void *)task));
	call->seq = seq;
	call->n = n;
	call->key = sock_key(sk);
	call->dir = dir;
	call->fresh = fresh;
	call->waits = m->waits;
	call->known = !!(c->flags & CONN_TLS_KNOWN);
	call->random = 0;
	if (dir == WEFT_RECV && c->moved[WEFT_RECV] <= TLS_RANDOM_AT)
		call->random = tls_random_of(src, c->moved[WEFT_RECV], n);
	if (tls_moved(call))
		c->flags |= CONN_TLS_KNOWN;
}

/* The scratch of a call, of which no more is known yet than this. NULL: counted, nothing more to
 * do. */
static __always_inline struct scratch *moved_begin(__u32 slot, enum caller_how how,
	enum sock_kind kind, struct conn *c, __u8 dir, __u32 n, struct weft_counts *cnt)
{
	struct scratch *s = scratch_get(slot);

	if (!s) {
		bool wanted = conn_want(c) != WEFT_WANT_NOTHING;

		c->start = START_IN_BETWEEN;
		c->flags &= ~CONN_FRAMES;
		c->turn = 0;
		moved_untold(c, dir, n, cnt, wanted ? WEFT_COUNT_LOST_CPU : WEFT_COUNT_UNWANTED);
		if (wanted)
			lost_tell();
		return NULL;
	}
	__builtin_memset(&s->call, 0, sizeof(s->call));
	s->call.slot = slot;
	s->call.how = how;
	s->call.kind = kind;
	return s;
}

/* Called at the return of a call that moved n > 0 bytes, with where they lie in s->call.bytes.src.
 */
static __always_inline int moved(void *ctx, struct sock *sk, __u8 dir, __u32 n, struct scratch *s,
	struct conn *c, struct weft_counts *cnt)
{
	struct moved_call *m = &s->call;
	const struct source *src = &m->bytes.src;
	enum sock_kind kind;
	enum caller_how how;
	enum weft_want want;
	__u8 was = c->start;
	__u32 end, slot;
	bool tls, fresh;
	int err;
	__u64 what;

	barrier(); /* or clang keeps what it has stored, by every way that leads here */
	kind = m->kind;
	how = m->how;
	slot = m->slot;
	/* said once: whatever becomes of this call's record, the next one is in between */
	if (was) {
		m->flags = start_flags(c, sk, kind, dir, n);
		c->start = START_IN_BETWEEN;
	}

	if (conn_shed(ctx, sk, c)) {
		c->flags &= ~CONN_FRAMES;
		return moved_untold(c, dir, n, cnt, WEFT_COUNT_SHED);
	}
	what = conn_wants(c);
	want = (__u32)what;
	fresh = m->flags & WEFT_FRESH;
	if (want == WEFT_WANT_TLS)
		c->flags |= CONN_TLS;
	else if (was || c->flags & CONN_TUNNEL)
		moved_begins(c, src, dir, n, &fresh);
	tls = c->flags & CONN_TLS;
	if (want == WEFT_WANT_NOTHING && !tls) {
		c->flags &= ~CONN_FRAMES;
		return moved_untold(c, dir, n, cnt, WEFT_COUNT_UNWANTED);
	}
	end = call_end(c, sk, kind, dir, n);
	m->waits = how == CALLER_THREAD ? sock_waits(sk) : WEFT_POLLED | WEFT_NONBLOCKING;
	if (tls) {
		if (how == CALLER_THREAD)
			moved_tls(c, sk, src, dir, n, end - n, m, fresh, &s->tls);
		/* what the thread does with it was to be known all the same */
		if (want == WEFT_WANT_NOTHING)
			return moved_untold(c, dir, n, cnt, WEFT_COUNT_UNWANTED);
		m->layer = WEFT_LAYER_TLS;
		what = want >= WEFT_WANT_AGAIN && want <= WEFT_WANT_AGAIN_SEND ? WEFT_WANT_AGAIN
									       : WEFT_WANT_HEADS;
	}
	m->bytes.what = what;
	barrier();
	what = m->bytes.what;
	tls = m->layer == WEFT_LAYER_TLS;
	if (!moved_wanted(c, what, was, dir, n, end, m, cnt))
		return 0;
	/* that it is established was missed, and with that the local port */
	if (was && c->flags & CONN_CONNECTING && READ(sk, __sk_common.skc_state) != TCP_SYN_SENT)
		c->flags &= ~(CONN_CONNECTING | CONN_OPENED);
	if (c->start == START_AGAIN) {
		c->flags &= ~CONN_OPENED;
		c->connect_ns = 0; /* what the thread does now says nothing of then */
	}
	/* before the record's time is taken: an announcement must be the older of the two */
	err = conn_announce(ctx, sk, c, slot);
	if (err) {
		c->flags &= ~CONN_FRAMES;
		return moved_untold(c, dir, n, cnt, lost_why(err));
	}
	/* of TLS only how it begins is told: what it carries comes from its library */
	if (tls && c->moved[dir & 1] >= WEFT_TLS_HELLO_BYTES)
		return moved_untold(c, dir, n, cnt, WEFT_COUNT_ENCRYPTED);
	m->bytes.start = end - n;
	m->bytes.n = n;
	m->bytes.dir = dir;
	m->time_ns = bpf_ktime_get_ns();
	moved_place(c, sk, kind, dir, n, m);
	return moved_emit(ctx, slot, moved_record(c, m), cnt);
}

/* What an MPTCP socket still holds when it is closed is not told: nothing would tell its end. */
static __always_inline bool mptcp_over(const struct conn *c, struct sock *sk)
{
	return c->flags & CONN_MPTCP && READ(sk, __sk_common.skc_state) == TCP_CLOSE;
}

static __always_inline void moved_unmade(
	struct weft_counts *cnt, enum sock_kind kind, enum weft_kernel_counter why)
{
	lost_tell();
	if (kind == SOCK_UNIX)
		unix_lost_tell();
	cnt->v[why]++;
}

/* The connection's state, made at first sight if the current process is traced. NULL: counted,
 * nothing more to do. */
static __always_inline struct conn *moved_conn(
	void *ctx, struct sock *sk, __u32 slot, struct weft_counts *cnt, enum sock_kind *ret_kind)
{
	struct conn *c = conn_find_own(ctx, sk);
	struct scratch *s;

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
	s = scratch_get(slot);
	if (!s) {
		moved_unmade(cnt, *ret_kind, WEFT_COUNT_LOST_CPU);
		return NULL;
	}
	conn_start(&s->fresh, *ret_kind, 0);
	if (*ret_kind == SOCK_UNIX)
		conn_start_unix(&s->fresh, sk);
	if (mptcp_over(&s->fresh, sk)) {
		cnt->v[WEFT_COUNT_FILTERED]++;
		return NULL;
	}
	c = conn_make(sk, &s->fresh);
	if (!c)
		moved_unmade(cnt, *ret_kind, WEFT_COUNT_LOST_MAP);
	return c;
}
