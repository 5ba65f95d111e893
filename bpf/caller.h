/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who makes a call. What goes through an io_uring is done later than it was asked for: by the
 * thread that asked, at the end of whatever system call it is in (task work), or by a worker.
 */
#pragma once
#include "regs.h"

enum caller_how {
	CALLER_THREAD, /* a system call of the thread */
	CALLER_RING, /* a ring, in the thread that fills it: it does not wait for this call */
	CALLER_WORKER, /* a ring's worker, or the kernel: the thread says nothing of who asked */
};

/* Whether the system call is one that moves bytes: none of them runs task work inside. */
static __always_inline bool nr_moves(int nr)
{
	switch (nr) {
	case NR_READ:
	case NR_WRITE:
	case NR_READV:
	case NR_WRITEV:
	case NR_SENDFILE:
	case NR_SENDTO:
	case NR_RECVFROM:
	case NR_SENDMSG:
	case NR_RECVMSG:
	case NR_SPLICE:
	case NR_RECVMMSG:
	case NR_SENDMMSG:
	case NR_PREADV2:
	case NR_PWRITEV2:
	case NR_CONNECT:
		return true;
	}
	return false;
}

static __always_inline enum caller_how caller_how(struct task_struct *task)
{
	struct pt_regs *r;

	if (READ(task, flags) & (PF_IO_WORKER | PF_KTHREAD))
		return CALLER_WORKER;
	if (!bpf_core_field_exists(task->io_uring) || !READ(task, io_uring))
		return CALLER_THREAD;
	if (TASK_COMPAT(task)) /* its calls have other numbers: who knows */
		return CALLER_RING;
	r = (struct pt_regs *)bpf_task_pt_regs((void *)task);
	return REGS_INSIDE(r) && nr_moves(REGS_NR(r)) ? CALLER_THREAD : CALLER_RING;
}
