/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What attaching the syscalls hooks costs by itself: programs that do nothing. */
#include "empty.h"

EMPTY(exit_read, "tracepoint/syscalls/sys_exit_read")
EMPTY(exit_readv, "tracepoint/syscalls/sys_exit_readv")
EMPTY(exit_preadv2, "tracepoint/syscalls/sys_exit_preadv2")
EMPTY(exit_recvfrom, "tracepoint/syscalls/sys_exit_recvfrom")
EMPTY(exit_recvmsg, "tracepoint/syscalls/sys_exit_recvmsg")
EMPTY(exit_recvmmsg, "tracepoint/syscalls/sys_exit_recvmmsg")
EMPTY(exit_write, "tracepoint/syscalls/sys_exit_write")
EMPTY(exit_writev, "tracepoint/syscalls/sys_exit_writev")
EMPTY(exit_pwritev2, "tracepoint/syscalls/sys_exit_pwritev2")
EMPTY(exit_sendto, "tracepoint/syscalls/sys_exit_sendto")
EMPTY(exit_sendmsg, "tracepoint/syscalls/sys_exit_sendmsg")
EMPTY(exit_sendmmsg, "tracepoint/syscalls/sys_exit_sendmmsg")
EMPTY(exit_sendfile64, "tracepoint/syscalls/sys_exit_sendfile64")
EMPTY(exit_splice, "tracepoint/syscalls/sys_exit_splice")
EMPTY(exit_shutdown, "tracepoint/syscalls/sys_exit_shutdown")
EMPTY(enter_close, "tracepoint/syscalls/sys_enter_close")

const char LICENSE[] __attribute__((section("license"), used)) = "Dual BSD/GPL";
