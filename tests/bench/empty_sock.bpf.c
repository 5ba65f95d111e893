/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What attaching the sock hooks costs by itself: programs that do nothing. */
#include "empty.h"

EMPTY(sock_send_length, "tp_btf/sock_send_length")
EMPTY(sock_recv_length, "tp_btf/sock_recv_length")

const char LICENSE[] __attribute__((section("license"), used)) = "Dual BSD/GPL";
