/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What attaching the fentry hooks costs by itself: programs that do nothing. */
#include "empty.h"

EMPTY(sent4, "fexit/inet_sendmsg")
EMPTY(sent6, "fexit/inet6_sendmsg")
EMPTY(received4, "fexit/inet_recvmsg")
EMPTY(received6, "fexit/inet6_recvmsg")
EMPTY(sent_page, "fexit/inet_sendpage")
EMPTY(spliced, "fexit/tcp_splice_read")
EMPTY(spliced_mptcp, "fexit/mptcp_splice_read")
EMPTY(unix_sent, "fexit/unix_stream_sendmsg")
EMPTY(unix_received, "fexit/unix_stream_recvmsg")
EMPTY(unix_sent_page, "fexit/unix_stream_sendpage")
EMPTY(unix_spliced, "fexit/unix_stream_splice_read")
EMPTY(unix_shut, "fexit/unix_shutdown")
EMPTY(unix_released, "fentry/unix_release")

const char LICENSE[] __attribute__((section("license"), used)) = "Dual BSD/GPL";
