/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The sock hook set: the tracepoints sock_send_length and sock_recv_length (Linux 6.3), which fire
 * for socket calls only and give the socket. The bytes come from the arguments of the system call
 * that the task is in, if it is surely the call at hand.
 */
#define WEFT_TRUSTED_SOCKS
#define WEFT_CASTS
#include "gotls.h"
#include "life.h"
#include "moved.h"
#include "regs.h"
#include "tls.h"

/* Whether descriptor fd of the task is this socket. */
static __always_inline bool fd_is(struct task_struct *task, __u64 fd, struct sock *sk)
{
	struct fdtable *fdt = task->files->fdt;
	struct socket *socket = sk->sk_socket;
	struct hlist_head *slot; /* any struct that is a pointer, as a slot of the table is */
	void *file;

	if (!socket || (__u32)fd >= fdt->max_fds)
		return false;
	slot = CAST(fdt->fd + (__u32)fd, hlist_head);
	file = slot->first;
	return file && file == (void *)socket->file;
}

static __always_inline void find_source(struct sock *sk, __u8 dir, int flags, struct source *src)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct pt_regs *r = (struct pt_regs *)bpf_task_pt_regs((void *)task);
	bool sends = dir == WEFT_SEND;

	if (task->flags & PF_KTHREAD) {
		source_none(src, WEFT_NO_COPY_URING);
		return;
	}
	if (TASK_COMPAT(task)) {
		source_none(src, WEFT_NO_COPY_COMPAT);
		return;
	}
	if (!REGS_INSIDE(r)) {
		source_none(src, WEFT_NO_COPY_URING);
		return;
	}
	if (!sends && (flags & MSG_TRUNC)) {
		source_none(src, WEFT_NO_COPY_TRUNC);
		return;
	}
	source_none(src, WEFT_NO_COPY_URING);
	switch (REGS_NR(r)) {
	case NR_SPLICE:
		if (sends)
			src->why = WEFT_NO_COPY_FILE;
		return;
	case NR_SENDFILE:
		if (sends)
			src->why = WEFT_NO_COPY_FILE;
		return;
	}
	if (!fd_is(task, REGS_ARG0(r), sk))
		return;
	switch (REGS_NR(r)) {
	case NR_READ:
	case NR_RECVFROM:
		if (!sends)
			source_buffer(src, REGS_ARG1(r));
		return;
	case NR_SENDTO:
		if (REGS_ARG3(r) & MSG_OOB) {
			src->why = WEFT_NO_COPY_OOB;
			return;
		}
		/* fallthrough */
	case NR_WRITE:
		if (sends)
			source_buffer(src, REGS_ARG1(r));
		return;
	case NR_READV:
	case NR_PREADV2:
		if (!sends)
			source_iov(src, REGS_ARG1(r), REGS_ARG2(r));
		return;
	case NR_WRITEV:
	case NR_PWRITEV2:
		if (sends)
			source_iov(src, REGS_ARG1(r), REGS_ARG2(r));
		return;
	case NR_RECVMSG:
		if (!sends)
			source_msghdr(src, REGS_ARG1(r));
		return;
	case NR_SENDMSG:
		if (REGS_ARG2(r) & MSG_OOB)
			src->why = WEFT_NO_COPY_OOB;
		else if (sends)
			source_msghdr(src, REGS_ARG1(r));
		return;
	/* Each message fires once, and nothing says which one it is: a signal can end the batch
	 * early and silently, so counting is not safe. A batch of one is. */
	case NR_RECVMMSG:
	case NR_SENDMMSG:
		if (sends != (REGS_NR(r) == NR_SENDMMSG))
			return;
		if (REGS_ARG2(r) == 1)
			source_msghdr(src, REGS_ARG1(r));
		else
			src->why = WEFT_NO_COPY_BATCH;
		return;
	}
}

static __always_inline int on_moved(
	void *ctx, struct sock *sk, int ret, int flags, __u8 dir, enum which which)
{
	__u32 slot = call_slot(which, dir, dir);
	enum sock_kind kind = SOCK_OTHER;
	struct weft_counts *cnt;
	enum caller_how how;
	struct scratch *s;
	struct conn *c;

	/* without a socket never; the verifier of Ubuntu's 6.8 does not know */
	if (!sk || !call_due(which, TASK_CALL + dir))
		return 0;
	if (ret <= 0) {
		if (dir == WEFT_RECV && start_asked(ret, flags))
			start_answer(ctx, sk);
		else if (dir == WEFT_RECV && (!ret || ret == -ECONNRESET))
			conn_unix_over(ctx, sk, ret);
		return 0;
	}
	cnt = counts_get(slot);
	if (!cnt)
		return 0;
	if (dir == WEFT_RECV && moved_aside(flags, cnt))
		return 0;
	cnt->v[WEFT_COUNT_SEEN]++;
	c = moved_conn(ctx, sk, slot, cnt, &kind);
	if (!c)
		return 0;
	how = caller_how((struct task_struct *)bpf_get_current_task_btf());
	s = moved_begin(slot, how, kind, c, dir, ret, cnt);
	if (!s)
		return 0;
	find_source(sk, dir, flags, &s->call.bytes.src);
	return moved(ctx, sk, dir, ret, s, c, cnt);
}

TWINS("tp_btf/sock_send_length", sock_sent_bytes, struct sock *sk, int ret, int flags)
{
	return on_moved(ctx, sk, ret, flags, WEFT_SEND, which);
}

TWINS("tp_btf/sock_recv_length", sock_received_bytes, struct sock *sk, int ret, int flags)
{
	return on_moved(ctx, sk, ret, flags, WEFT_RECV, which);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
