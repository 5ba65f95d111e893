/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What came before the first call that is seen of a socket. Of a connection that is older than the
 * tracing of its process nothing says whether that call is in the middle of a message; unless the
 * agent asked the socket when it began to trace the process. It asks by a receive of urgent data
 * that only peeks, on a copy of the descriptor: that changes nothing, and brings the socket here.
 */
#pragma once
#include "conn.h"

/* All that was ever received by the process and sent on the socket; the SYN of the end that
 * connected counts as one byte. */
struct sock_totals {
	__u64 received, sent;
};

static __always_inline void sock_totals(
	struct sock *sk, struct tcp_sock *tp, struct sock_totals *ret_totals)
{
	__u64 arrived = READ(tp, bytes_received);
	__u32 next = READ(tp, rcv_nxt);

	barrier();
	if (READ(tp, bytes_received) != arrived) { /* a segment came in between */
		barrier();
		arrived = READ(tp, bytes_received);
		next = READ(tp, rcv_nxt);
	}
	ret_totals->received = arrived - (next - sock_received(sk, tp));
	ret_totals->sent = READ(tp, bytes_acked) + (READ(tp, write_seq) - READ(tp, snd_una));
}

static __always_inline bool is_fresh(struct sock *sk, enum sock_kind kind, __u8 dir, __u32 n)
{
	struct sock_totals totals;
	struct tcp_sock *tp;

	if (kind == SOCK_MPTCP) {
		struct mptcp_sock *mp = (struct mptcp_sock *)sk;

		if (!bpf_core_field_exists(mp->bytes_received))
			return true; /* before 6.5 it can't be told */
		totals.received = BPF_CORE_READ(mp, bytes_received);
		totals.sent = BPF_CORE_READ(mp, bytes_sent);
	} else {
		tp = sock_tcp(sk);
		if (!tp)
			return false;
		sock_totals(sk, tp, &totals);
	}
	if (dir == WEFT_RECV)
		return totals.received == n && totals.sent <= 1;
	return !totals.received && totals.sent - n <= 1;
}

/* A call that waited in the kernel when the programs were attached can have escaped them: then
 * something came before. */
static __always_inline __u8 is_quiet(const struct conn *c, struct sock *sk, __u8 dir, __u32 n)
{
	struct tcp_sock *tp = sock_tcp(sk);
	__u32 end;

	if (!tp || c->start != (dir == WEFT_RECV ? START_QUIET_RECV : START_QUIET_SEND))
		return 0;
	end = dir == WEFT_RECV ? sock_received(sk, tp) : sock_sent(tp);
	return end - n == c->start_seq ? WEFT_QUIET : 0;
}

/* What the record of the connection's first call says of it. */
static __always_inline __u8 start_flags(
	const struct conn *c, struct sock *sk, enum sock_kind kind, __u8 dir, __u32 n)
{
	switch (c->start) {
	case START_LOOK:
		return is_fresh(sk, kind, dir, n) ? WEFT_FRESH : 0;
	case START_FRESH:
		return WEFT_FRESH;
	case START_QUIET_RECV:
	case START_QUIET_SEND:
		return kind == SOCK_TCP ? is_quiet(c, sk, dir, n) : 0;
	}
	return 0;
}

static __always_inline bool start_asked(long ret, int flags)
{
	return ret < 0 && (flags & (MSG_OOB | MSG_PEEK)) == (MSG_OOB | MSG_PEEK) && is_self();
}

#define CONTINUE_BYTES 25 /* HTTP/1.1 100 Continue, and an empty line */

/*
 * Whose turn it is, if all that either end sent has arrived and was taken. snd_wl1 is where the
 * peer stood when it sent its latest segment that acknowledged, in sequence numbers of its own: if
 * at its end, then it acknowledged what was sent here after all that it sent itself. So this end
 * had the last word. Else the latest segment carried bytes: the peer had it.
 */
static __always_inline enum conn_start whose_turn(struct sock *sk, __u32 *ret_seq)
{
	struct tcp_sock *tp = sock_tcp(sk);
	__u64 arrived, acked;
	__u32 peer_at, next;

	if (!tp || READ(sk, __sk_common.skc_state) != TCP_ESTABLISHED)
		return START_IN_BETWEEN;
	/* first, so that a segment that comes meanwhile shows as bytes that were not taken */
	peer_at = READ(tp, snd_wl1);
	barrier();
	next = READ(tp, rcv_nxt);
	if (READ(tp, copied_seq) != next || READ(tp, write_seq) != READ(tp, snd_una))
		return START_IN_BETWEEN;
	arrived = READ(tp, bytes_received);
	acked = READ(tp, bytes_acked);
	if (!arrived && acked <= 1)
		return START_LOOK; /* an unused connection */
	if (!arrived || acked <= 1)
		return START_IN_BETWEEN; /* a question without an answer */
	*ret_seq = peer_at == next ? next : READ(tp, write_seq);
	/* if all that was answered is that the body may come, it may be about to */
	if (peer_at == next)
		return acked == CONTINUE_BYTES ? START_IN_BETWEEN : START_QUIET_RECV;
	return arrived == CONTINUE_BYTES ? START_IN_BETWEEN : START_QUIET_SEND;
}

static __always_inline void start_answer(void *ctx, struct sock *sk)
{
	enum sock_kind kind = sock_kind(sk);
	struct conn fresh, *c = conn_find_own(ctx, sk);
	enum conn_start start;
	__u32 seq = 0;

	if (kind == SOCK_UNIX) {
		if (!c && READ(sk, __sk_common.skc_state) == TCP_ESTABLISHED) {
			conn_start(&fresh, kind, 0);
			conn_start_unix(&fresh, sk);
			fresh.start = START_IN_BETWEEN;
			fresh.flags |= CONN_UNNUMBERED;
			if (!conn_make(sk, &fresh))
				unix_lost_tell();
		}
		return;
	}
	if (kind != SOCK_TCP || (c && c->start == START_FRESH)) /* it was seen to begin */
		return;
	start = whose_turn(sk, &seq);
	if (!c && start != START_IN_BETWEEN) {
		conn_start(&fresh, SOCK_TCP, 0);
		c = conn_make(sk, &fresh);
	}
	if (c && !(c->flags & CONN_SELF)) {
		c->start_seq = seq;
		c->start = start;
	}
}
