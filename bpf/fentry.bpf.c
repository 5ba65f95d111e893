/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The fentry hook set: the return (fexit) of the functions behind every socket call on the internet
 * protocols, whoever makes it: a system call, an io_uring, splice and sendfile, the kernel itself.
 * They are the layer above TCP, kTLS, sockmap and MPTCP, so that none of these bypasses them, and
 * their signatures are the same on every kernel. WEFT_PLAIN: for kernels before 6.2, without casts.
 */
#define WEFT_TRUSTED_SOCKS
#ifndef WEFT_PLAIN
#define WEFT_CASTS
#endif
#define WEFT_KERNEL_IOVS
#define OWN_SLOTS 10
#include "gotls.h"
#include "iter.h"
#include "life.h"
#include "moved.h"
#include "tls.h"

enum slot {
	SLOT_SEND4,
	SLOT_SEND6,
	SLOT_RECV4,
	SLOT_RECV6,
	SLOT_FILE_SENT,
	SLOT_FILE_RECEIVED,
	SLOT_UNIX_SEND,
	SLOT_UNIX_RECV,
	SLOT_UNIX_FILE_SENT,
	SLOT_UNIX_FILE_RECEIVED,
};

/* Beside those, to tell twins apart. */
enum { TASK_SHUT = 32, TASK_RELEASED };

/* A call returned. msg is NULL if its bytes lie in the kernel's pages. */
static __always_inline int on_call(void *ctx, struct socket *socket, const struct msghdr *msg,
	__u64 size, long ret, int flags, __u8 dir, enum slot own, enum which which)
{
	enum sock_kind kind = SOCK_OTHER;
	__u32 slot = call_slot(which, own, dir);
	struct sock *sk = socket->sk;
	struct weft_counts *cnt;
	enum caller_how how;
	struct source *src;
	struct scratch *s;
	struct conn *c;

	if (!call_due(which, TASK_CALL + own))
		return 0;
	if (ret <= 0) {
		if (sk && dir == WEFT_RECV && start_asked(ret, flags))
			start_answer(ctx, sk);
		else if (sk && dir == WEFT_RECV && ((!ret && size) || ret == -ECONNRESET))
			conn_unix_over(ctx, sk, ret);
		return 0;
	}
	cnt = counts_get(slot);
	if (!sk || !cnt || (dir == WEFT_RECV && moved_aside(flags, cnt)))
		return 0;
	cnt->v[WEFT_COUNT_SEEN]++;
	c = moved_conn(ctx, sk, slot, cnt, &kind);
	if (!c)
		return 0;
	how = caller_how((struct task_struct *)bpf_get_current_task_btf());
	s = moved_begin(slot, how, kind, c, dir, ret, cnt);
	if (!s)
		return 0;
	src = &s->call.bytes.src;
	if (dir == WEFT_RECV && flags & MSG_TRUNC)
		source_none(src, WEFT_NO_COPY_TRUNC);
	else if (dir == WEFT_SEND && flags & MSG_OOB)
		source_none(src, WEFT_NO_COPY_OOB);
	else if (!msg)
		source_none(src, WEFT_NO_COPY_FILE);
	else
		iter_source(msg, size, ret,
			how == CALLER_THREAD ? WEFT_NO_COPY_FILE : WEFT_NO_COPY_URING, src);
	return moved(ctx, sk, dir, ret, s, c, cnt);
}

TWINS("fexit/inet_sendmsg", sent4, struct socket *socket, struct msghdr *msg, unsigned long size,
	int ret)
{
	return on_call(ctx, socket, msg, size, ret, msg->msg_flags, WEFT_SEND, SLOT_SEND4, which);
}

TWINS("fexit/inet6_sendmsg", sent6, struct socket *socket, struct msghdr *msg, unsigned long size,
	int ret)
{
	return on_call(ctx, socket, msg, size, ret, msg->msg_flags, WEFT_SEND, SLOT_SEND6, which);
}

TWINS("fexit/inet_recvmsg", received4, struct socket *socket, struct msghdr *msg,
	unsigned long size, int flags, int ret)
{
	return on_call(ctx, socket, msg, size, ret, flags, WEFT_RECV, SLOT_RECV4, which);
}

TWINS("fexit/inet6_recvmsg", received6, struct socket *socket, struct msghdr *msg,
	unsigned long size, int flags, int ret)
{
	return on_call(ctx, socket, msg, size, ret, flags, WEFT_RECV, SLOT_RECV6, which);
}

/* sendfile and splice into a socket, until 6.4; since then they are messages of their own. */
TWINS("fexit/inet_sendpage", sent_page, struct socket *socket, void *page, int offset,
	unsigned long size, int flags, long ret)
{
	struct sock *sk = socket->sk;

	/* which has no such call: it becomes a message */
	if (sk && sk->sk_protocol == IPPROTO_MPTCP) {
		call_due(which, TASK_CALL + SLOT_FILE_SENT);
		return 0;
	}
	return on_call(ctx, socket, NULL, size, ret, flags, WEFT_SEND, SLOT_FILE_SENT, which);
}

TWINS("fexit/tcp_splice_read", spliced, struct socket *socket, void *pos, void *pipe,
	unsigned long size, unsigned int flags, long ret)
{
	return on_call(ctx, socket, NULL, size, ret, 0, WEFT_RECV, SLOT_FILE_RECEIVED, which);
}

/* 7.0; before, a splice out of MPTCP is a receive like any other */
TWINS("fexit/mptcp_splice_read", spliced_mptcp, struct socket *socket, void *pos, void *pipe,
	unsigned long size, unsigned int flags, long ret)
{
	return on_call(ctx, socket, NULL, size, ret, 0, WEFT_RECV, SLOT_FILE_SENT, which);
}

TWINS("fexit/unix_stream_sendmsg", unix_sent, struct socket *socket, struct msghdr *msg,
	unsigned long size, int ret)
{
	return on_call(
		ctx, socket, msg, size, ret, msg->msg_flags, WEFT_SEND, SLOT_UNIX_SEND, which);
}

TWINS("fexit/unix_stream_recvmsg", unix_received, struct socket *socket, struct msghdr *msg,
	unsigned long size, int flags, int ret)
{
	return on_call(ctx, socket, msg, size, ret, flags, WEFT_RECV, SLOT_UNIX_RECV, which);
}

/* Until 6.4. */
TWINS("fexit/unix_stream_sendpage", unix_sent_page, struct socket *socket, void *page, int offset,
	unsigned long size, int flags, long ret)
{
	return on_call(ctx, socket, NULL, size, ret, flags, WEFT_SEND, SLOT_UNIX_FILE_SENT, which);
}

TWINS("fexit/unix_stream_splice_read", unix_spliced, struct socket *socket, void *pos, void *pipe,
	unsigned long size, unsigned int flags, long ret)
{
	return on_call(ctx, socket, NULL, size, ret, 0, WEFT_RECV, SLOT_UNIX_FILE_RECEIVED, which);
}

TWINS("fexit/unix_shutdown", unix_shut, struct socket *socket, int how, int ret)
{
	struct sock *sk = socket->sk;

	if (call_due(which, TASK_SHUT) && sk && !ret && how > 0)
		conn_unix_shut(ctx, sk);
	return 0;
}

TWINS("fentry/unix_release", unix_released, struct socket *socket)
{
	struct sock *sk = socket->sk;

	if (call_due(which, TASK_RELEASED) && sk)
		conn_unix_closed(ctx, sk);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
