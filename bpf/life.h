/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The life of sockets and processes: programs on BTF tracepoints, the same in every hook set.
 * Included by exactly one file of each object, since how a connection's state is found differs
 * (conn.h).
 */
#pragma once
#include "caller.h"
#include "conn.h"
#include "tls_pair.h"
#include "twin.h"
#include <bpf/bpf_tracing.h>

static __always_inline bool is_local(struct sock *sk)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET) {
		__be32 to = BPF_CORE_READ(sk, __sk_common.skc_daddr);

		return (to & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000) ||
		       to == BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
	}

	struct in6_addr to, from;

	sock_addresses6(sk, &from, &to);
	return to.in6_u.u6_addr32[0] == from.in6_u.u6_addr32[0] &&
	       to.in6_u.u6_addr32[1] == from.in6_u.u6_addr32[1] &&
	       to.in6_u.u6_addr32[2] == from.in6_u.u6_addr32[2] &&
	       to.in6_u.u6_addr32[3] == from.in6_u.u6_addr32[3];
}

static __always_inline bool wants_local_clients(void)
{
	__u32 zero = 0;
	struct weft_control *ctl = bpf_map_lookup_elem(&control, &zero);

	return ctl && ctl->local_clients;
}

static __always_inline void proc_undecided(
	void *ctx, struct task_struct *task, __u8 flags, const char *exe);

/* connect() runs in the caller's context; what follows may not. */
static __always_inline void on_connect(void *ctx, struct sock *sk)
{
	enum caller_how how = caller_how((struct task_struct *)bpf_get_current_task_btf());
	struct conn *c = conn_find_own(ctx, sk);
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32;
	struct conn fresh;

	if (tgid != self_tgid && !c && !tgid_traced(tgid)) {
		if (!wants_local_clients() || !is_local(sk))
			return;
		proc_undecided(ctx, (struct task_struct *)bpf_get_current_task_btf(),
			WEFT_LOCAL_CLIENT, NULL);
	}
	conn_start(&fresh, sock_kind(sk),
		CONN_CLIENT | CONN_CONNECTING | (tgid == self_tgid ? CONN_SELF : 0));
	if (c) { /* a socket can be connected again */
		conn_ended(ctx, sk, c, 0);
		*c = fresh;
	} else {
		c = conn_make(sk, &fresh);
	}
	if (!c) /* no room: its first call tries again, and counts */
		return;
	c->connect_ns = bpf_ktime_get_ns();
	c->connect_pid = tgid;
	c->connect_tid = how == CALLER_WORKER ? 0 : (__u32)id;
	if (how != CALLER_THREAD || sock_nonblocking(sk))
		c->flags |= CONN_NONBLOCKING;
	/* what the thread is doing now is evidence; the local port is chosen only after this */
	if (tgid != self_tgid)
		conn_tell(ctx, sk, c);
}

static __always_inline void on_listen(void *ctx, struct sock *sk)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct weft_open open = {};

	if (tgid == self_tgid)
		return;
	record_head(&open.head, WEFT_RECORD_LISTEN, 0, sizeof(open));
	sock_addresses(sk, &open);
	emit_life(ctx, &open, sizeof(open));
	/* its first client may be faster than the agent's decision */
	if (!bpf_map_lookup_elem(&procs, &tgid))
		proc_undecided(ctx, (struct task_struct *)bpf_get_current_task_btf(), 0, NULL);
}

static __always_inline bool is_tcp(struct sock *sk)
{
	__u16 protocol = BPF_CORE_READ(sk, sk_protocol);

	return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
}

static __always_inline void state_changed(void *ctx, struct sock *sk, int old, int new)
{
	struct conn *c = conn_find_own(ctx, sk);

	if (!c)
		return;
	switch (new) {
	case TCP_ESTABLISHED:
		/* with its port, before the first bytes: a server's request on this host then knows
		 * that its client's record is to come */
		if (c->flags & CONN_CONNECTING && !conn_shed(ctx, sk, c))
			conn_tell(ctx, sk, c);
		c->flags &= ~CONN_CONNECTING;
		break;
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
		conn_shut(ctx, sk, c, WEFT_SEND);
		break;
	case TCP_CLOSE_WAIT:
		conn_shut(ctx, sk, c, WEFT_RECV);
		break;
	case TCP_CLOSE:
		/* kept for tcp_destroy_sock: the application's next call takes it away */
		c->error = BPF_CORE_READ(sk, sk_err);
		if (old == TCP_SYN_SENT || c->flags & CONN_MPTCP)
			conn_ended(ctx, sk, c, c->flags & CONN_CONNECTING ? WEFT_NEVER_UP : 0);
		if (c->flags & CONN_MPTCP) /* tcp_destroy_sock does not come */
			conn_forget(sk);
		break;
	}
}

static __always_inline void state_destroyed(void *ctx, struct sock *sk)
{
	struct conn *c = conn_find_own(ctx, sk);

	if (c)
		conn_over(ctx, sk, c, 0);
}

/* What is told apart where a twin asks whether it is due: first a state. */
enum {
	TASK_DESTROYED = 48,
	TASK_EXEC,
	TASK_FORK,
	TASK_EXIT,
	TASK_MOVED,
};

/* A socket's changes come one at a time; those of other sockets come into these two by the
 * network's interrupts, on any kernel. */
TWINS("tp_btf/inet_sock_set_state", sock_state, struct sock *sk, int old, int new)
{
	if (!change_due(which, sk, new) || !is_tcp(sk) ||
		old == new) /* the same: close() after shutdown() */
		return 0;
	if (new == TCP_SYN_SENT)
		on_connect(ctx, sk);
	else if (new == TCP_LISTEN)
		on_listen(ctx, sk);
	else
		state_changed(ctx, sk, old, new);
	return 0;
}

TWINS("tp_btf/tcp_destroy_sock", sock_destroyed, struct sock *sk)
{
	if (change_due(which, sk, TASK_DESTROYED))
		state_destroyed(ctx, sk);
	return 0;
}

static __always_inline void proc_undecided(
	void *ctx, struct task_struct *task, __u8 flags, const char *exe)
{
	struct weft_proc p = {};
	__u32 tgid = BPF_CORE_READ(task, tgid);
	bool born = flags & (WEFT_EXEC | WEFT_FORKED);
	/* what it opened before is not known */
	__u32 verdict = born ? WEFT_UNDECIDED : WEFT_LOOKING;

	if (tgid == self_tgid)
		return;
	bpf_map_update_elem(&procs, &tgid, &verdict, born ? BPF_ANY : BPF_NOEXIST);
	record_head(&p.head, WEFT_RECORD_PROC, flags, sizeof(p));
	p.head.pid = tgid;
	p.head.tid = BPF_CORE_READ(task, pid);
	p.parent = BPF_CORE_READ(task, real_parent, tgid);
	p.cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	BPF_CORE_READ_INTO(&p.comm, task, comm);
	if (exe)
		bpf_probe_read_kernel_str(p.exe, sizeof(p.exe), exe);
	emit_urgent(ctx, &p, sizeof(p));
}

static __always_inline bool proc_due(enum which which, struct task_struct *task, __u32 what)
{
	return thread_due(which, BPF_CORE_READ(task, pid), what);
}

TWINS("tp_btf/sched_process_exec", proc_exec, struct task_struct *task, int old_pid,
	struct linux_binprm *bprm)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);

	if (!proc_due(which, task, TASK_EXEC))
		return 0;
	proc_undecided(ctx, task,
		bpf_map_lookup_elem(&procs, &tgid) ? WEFT_EXEC | WEFT_FORKED : WEFT_EXEC,
		BPF_CORE_READ(bprm, filename));
	return 0;
}

/* Children follow their parents. */
TWINS("tp_btf/sched_process_fork", proc_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = BPF_CORE_READ(parent, tgid), to = BPF_CORE_READ(child, tgid);
	__u32 *verdict;

	if (!proc_due(which, child, TASK_FORK) || from == to) /* a thread */
		return 0;
	verdict = bpf_map_lookup_elem(&procs, &from);
	if (!verdict || from == self_tgid)
		return 0;
	proc_undecided(ctx, child, WEFT_FORKED, NULL);
	return 0;
}

TWINS("tp_btf/sched_process_exit", proc_exit, struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct weft_shut exit = {}; /* as long as what is kept; only its head is told */

	if (!proc_due(which, task, TASK_EXIT) || BPF_CORE_READ(task, signal, live.counter) > 0)
		return 0;
	if (bpf_map_delete_elem(&procs, &tgid))
		return 0;
	record_head(&exit.head, WEFT_RECORD_EXIT, 0, 0);
	exit.head.pid = tgid;
	emit_end(ctx, &exit, sizeof(exit.head));
	return 0;
}

/* A process can be moved into a selected cgroup after it started. */
TWINS("tp_btf/cgroup_attach_task", proc_moved, struct cgroup *dst, const char *path,
	struct task_struct *task, bool threadgroup)
{
	if (proc_due(which, task, TASK_MOVED))
		proc_undecided(ctx, task, 0, NULL);
	return 0;
}
