/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What attaching to the life of sockets and processes costs by itself: programs that do nothing. */
#include "empty.h"

EMPTY(inet_sock_set_state, "tp_btf/inet_sock_set_state")
EMPTY(tcp_destroy_sock, "tp_btf/tcp_destroy_sock")
EMPTY(sched_process_fork, "tp_btf/sched_process_fork")
EMPTY(sched_process_exec, "tp_btf/sched_process_exec")
EMPTY(sched_process_exit, "tp_btf/sched_process_exit")
EMPTY(cgroup_attach_task, "tp_btf/cgroup_attach_task")

const char LICENSE[] __attribute__((section("license"), used)) = "Dual BSD/GPL";
