/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What is read of a socket: its kind, its addresses, its place in the byte stream. */
#pragma once
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include "weft/record.h"

enum sock_kind {
	SOCK_OTHER,
	SOCK_TCP, /* sequence numbers follow the bytes */
	SOCK_UNNUMBERED, /* they do not: kTLS, sockmap */
	SOCK_MPTCP, /* not even a tcp_sock */
};

static __always_inline enum sock_kind sock_kind(struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__u16 protocol;

	if (family != AF_INET && family != AF_INET6)
		return SOCK_OTHER;
	protocol = BPF_CORE_READ(sk, sk_protocol);
	if (protocol == IPPROTO_MPTCP)
		return SOCK_MPTCP;
	if (protocol != IPPROTO_TCP || BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
		return SOCK_OTHER;
	if (BPF_CORE_READ((struct tcp_sock *)sk, inet_conn.icsk_ulp_ops) ||
		((unsigned long)BPF_CORE_READ(sk, sk_user_data) & PSOCK_BIT))
		return SOCK_UNNUMBERED;
	return SOCK_TCP;
}

static __always_inline __u32 sock_netns(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

static __always_inline void put_addr(__u8 to[16], __be32 v4)
{
	__builtin_memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, &v4, 4);
}

static __always_inline void sock_addresses(struct sock *sk, struct weft_open *open)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET) {
		put_addr(open->local_addr, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		put_addr(open->remote_addr, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else {
		BPF_CORE_READ_INTO(&open->local_addr, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&open->remote_addr, sk, __sk_common.skc_v6_daddr);
	}
	open->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	open->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	open->netns = sock_netns(sk);
}

/* First number that the process has not received. A FIN counts one once it was taken. */
static __always_inline __u32 sock_received(struct tcp_sock *tp)
{
	__u32 copied = BPF_CORE_READ(tp, copied_seq);

	if ((BPF_CORE_READ((struct sock *)tp, __sk_common.skc_flags) & SOCK_DONE_BIT) &&
		copied == BPF_CORE_READ(tp, rcv_nxt))
		copied--;
	return copied;
}

static __always_inline __u32 sock_sent(struct tcp_sock *tp)
{
	return BPF_CORE_READ(tp, write_seq);
}

static __always_inline bool sock_nonblocking(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_socket, file, f_flags) & O_NONBLOCK;
}

/* How the process waits for the socket: WEFT_POLLED if an epoll watches it, as every event loop's
 * does, and WEFT_NONBLOCKING. Where that can't be told (before 5.11): both. */
static __always_inline __u8 sock_waits(struct sock *sk)
{
	struct file *file = BPF_CORE_READ(sk, sk_socket, file);
	__u8 flags = 0;

	if (!file || !bpf_core_field_exists(file->f_ep))
		return WEFT_POLLED | WEFT_NONBLOCKING;
	if (BPF_CORE_READ(file, f_ep))
		flags |= WEFT_POLLED;
	if (BPF_CORE_READ(file, f_flags) & O_NONBLOCK)
		flags |= WEFT_NONBLOCKING;
	return flags;
}
