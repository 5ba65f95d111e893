/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The arguments of the system call that the current task is in, and of a function that is probed,
 * by architecture. */
#pragma once
#include "sock.h"

#if defined(__TARGET_ARCH_x86)

struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip,
		cs, flags, sp, ss;
};
#define REGS_NR(r)   ((int)(r)->orig_ax)
#define REGS_ARG0(r) ((r)->di)
#define REGS_ARG1(r) ((r)->si)
#define REGS_ARG2(r) ((r)->dx)
#define REGS_ARG3(r) ((r)->r10)
#define REGS_SP(r)   ((r)->sp)
#define FUNC_ARG0(r) ((r)->di)
#define FUNC_ARG1(r) ((r)->si)
#define FUNC_ARG2(r) ((r)->dx)
#define FUNC_ARG3(r) ((r)->cx)
#define FUNC_RET(r)  ((r)->ax)
#define GO_G(r)      ((r)->r14) /* the goroutine: Go's ABI, from 1.17 on */
#define GO_ARG0(r)   ((r)->ax)
#define GO_ARG1(r)   ((r)->bx)
#define GO_ARG2(r)   ((r)->cx)
#define GO_RET(r)    ((r)->ax)
/* The entry code puts -ENOSYS there until the call has returned. io_uring's task work runs after
 * that, with the registers of whatever call the thread made last. */
#define REGS_INSIDE(r) ((long)(r)->ax == -ENOSYS)
#define TS_COMPAT      0x2
#define TASK_COMPAT(t) (READ(t, thread_info.status) & TS_COMPAT)

enum {
	NR_READ = 0,
	NR_WRITE = 1,
	NR_READV = 19,
	NR_WRITEV = 20,
	NR_SENDFILE = 40,
	NR_CONNECT = 42,
	NR_SENDTO = 44,
	NR_RECVFROM = 45,
	NR_SENDMSG = 46,
	NR_RECVMSG = 47,
	NR_SPLICE = 275,
	NR_RECVMMSG = 299,
	NR_SENDMMSG = 307,
	NR_PREADV2 = 327,
	NR_PWRITEV2 = 328,
};

#elif defined(__TARGET_ARCH_arm64)

struct pt_regs {
	unsigned long regs[31];
	unsigned long sp, pc, pstate;
	unsigned long orig_x0;
	int syscallno;
};
#define REGS_NR(r)     ((r)->syscallno)
#define REGS_ARG0(r)   ((r)->orig_x0)
#define REGS_ARG1(r)   ((r)->regs[1])
#define REGS_ARG2(r)   ((r)->regs[2])
#define REGS_ARG3(r)   ((r)->regs[3])
#define REGS_SP(r)     ((r)->sp)
#define FUNC_ARG0(r)   ((r)->regs[0])
#define FUNC_ARG1(r)   ((r)->regs[1])
#define FUNC_ARG2(r)   ((r)->regs[2])
#define FUNC_ARG3(r)   ((r)->regs[3])
#define FUNC_RET(r)    ((r)->regs[0])
#define GO_G(r)        ((r)->regs[28])
#define GO_ARG0(r)     ((r)->regs[0])
#define GO_ARG1(r)     ((r)->regs[1])
#define GO_ARG2(r)     ((r)->regs[2])
#define GO_RET(r)      ((r)->regs[0])
/* x0 is overwritten by the result when the call returns. A result can equal the argument; but
 * io_uring's task work runs like a signal then, and before these the kernel makes the call's number
 * -1. */
#define REGS_INSIDE(r) ((r)->regs[0] == (r)->orig_x0)
#define TIF_32BIT      22
#define TASK_COMPAT(t) (READ(t, thread_info.flags) & (1ul << TIF_32BIT))

enum {
	NR_READ = 63,
	NR_WRITE = 64,
	NR_READV = 65,
	NR_WRITEV = 66,
	NR_SENDFILE = 71,
	NR_CONNECT = 203,
	NR_SENDTO = 206,
	NR_RECVFROM = 207,
	NR_SENDMSG = 211,
	NR_RECVMSG = 212,
	NR_SPLICE = 76,
	NR_RECVMMSG = 243,
	NR_SENDMMSG = 269,
	NR_PREADV2 = 286,
	NR_PWRITEV2 = 287,
};

#else
#error "unknown architecture"
#endif
