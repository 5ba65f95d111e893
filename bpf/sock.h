/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What is read of a socket: its kind, its addresses, its place in the byte stream. */
#pragma once
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "weft/record.h"

/* Reads a field. A trusted pointer, and what is reached from one, is read by a plain load that the
 * verifier guards: a dozen nanoseconds cheaper than the helper, some twenty times a record. */
#ifdef WEFT_TRUSTED_SOCKS
#define READ(ptr, field) ((ptr)->field)
#else
#define READ(ptr, field) BPF_CORE_READ(ptr, field)
#endif

enum sock_kind {
	SOCK_OTHER,
	SOCK_TCP, /* sequence numbers follow the bytes */
	SOCK_UNNUMBERED, /* they do not: kTLS, sockmap */
	SOCK_MPTCP, /* not even a tcp_sock */
	SOCK_UNIX, /* a Unix stream socket: no numbers at all */
};

#ifdef WEFT_CASTS
/* A kfunc of Linux 6.2 that costs nothing: what is read through its result is guarded. */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;
#define CAST(ptr, type) ((struct type *)bpf_rdonly_cast(ptr, bpf_core_type_id_kernel(struct type)))
#endif

/* The socket as what it is if it is TCP: MPTCP's own sockets are not. */
static __always_inline struct tcp_sock *sock_tcp(struct sock *sk)
{
#if defined(WEFT_CASTS)
	return CAST(sk, tcp_sock);
#elif defined(WEFT_TRUSTED_SOCKS)
	return bpf_skc_to_tcp_sock(sk);
#else
	return (struct tcp_sock *)sk;
#endif
}

static __always_inline enum sock_kind sock_kind(struct sock *sk)
{
	__u16 family = READ(sk, __sk_common.skc_family);
	struct tcp_sock *tp;
	__u16 protocol;

	if (family != AF_INET && family != AF_INET6)
		return family == AF_UNIX && READ(sk, sk_type) == SOCK_STREAM ? SOCK_UNIX
									     : SOCK_OTHER;
	protocol = READ(sk, sk_protocol);
	if (protocol == IPPROTO_MPTCP)
		return SOCK_MPTCP;
	if (protocol != IPPROTO_TCP || READ(sk, sk_type) != SOCK_STREAM)
		return SOCK_OTHER;
	tp = sock_tcp(sk);
	if (!tp || READ(tp, inet_conn.icsk_ulp_ops) ||
		((unsigned long)READ(sk, sk_user_data) & PSOCK_BIT))
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

/* Those of IPv6; zeros in a kernel that was built without it. */
static __always_inline void sock_addresses6(
	struct sock *sk, struct in6_addr *ret_local, struct in6_addr *ret_remote)
{
	__builtin_memset(ret_local, 0, sizeof(*ret_local));
	__builtin_memset(ret_remote, 0, sizeof(*ret_remote));
	if (!bpf_core_field_exists(sk->__sk_common.skc_v6_daddr))
		return;
	BPF_CORE_READ_INTO(ret_local, sk, __sk_common.skc_v6_rcv_saddr);
	BPF_CORE_READ_INTO(ret_remote, sk, __sk_common.skc_v6_daddr);
}

static __always_inline void sock_addresses(struct sock *sk, struct weft_open *open)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET) {
		put_addr(open->local_addr, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		put_addr(open->remote_addr, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else {
		sock_addresses6(sk, (struct in6_addr *)open->local_addr,
			(struct in6_addr *)open->remote_addr);
	}
	open->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	open->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	open->netns = sock_netns(sk);
}

/* The same number for both ends of a connection on one host, evenly spread. */
static __always_inline __u32 sock_key(struct sock *sk)
{
	__u32 a, b;

	if (READ(sk, __sk_common.skc_family) == AF_INET) {
		a = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		b = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	} else {
		struct in6_addr from, to;

		sock_addresses6(sk, &from, &to);
		a = from.in6_u.u6_addr32[2] ^ from.in6_u.u6_addr32[3];
		b = to.in6_u.u6_addr32[2] ^ to.in6_u.u6_addr32[3];
	}
	a = (a ^ READ(sk, __sk_common.skc_num)) * 0x9e3779b1u;
	b = (b ^ bpf_ntohs(READ(sk, __sk_common.skc_dport))) * 0x9e3779b1u;
	a = (a ^ (a >> 15)) * 0x85ebca77u;
	b = (b ^ (b >> 15)) * 0x85ebca77u;
	a += b;
	return (a ^ (a >> 13)) * 0xc2b2ae3du;
}

/* First number that the process has not received. A FIN counts one once it was taken. */
static __always_inline __u32 sock_received(struct sock *sk, struct tcp_sock *tp)
{
	__u32 copied = READ(tp, copied_seq);

	if ((READ(sk, __sk_common.skc_flags) & SOCK_DONE_BIT) && copied == READ(tp, rcv_nxt))
		copied--;
	return copied;
}

static __always_inline __u32 sock_sent(struct tcp_sock *tp)
{
	return READ(tp, write_seq);
}

static __always_inline bool sock_nonblocking(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_socket, file, f_flags) & O_NONBLOCK;
}

/* How the process waits for the socket: WEFT_POLLED if an epoll watches it, as every event loop's
 * does, and WEFT_NONBLOCKING. Where that can't be told (before 5.11): both. */
static __always_inline __u8 sock_waits(struct sock *sk)
{
	struct socket *socket = READ(sk, sk_socket);
	struct file *file = socket ? READ(socket, file) : NULL;
	__u8 flags = 0;

	if (!file || !bpf_core_field_exists(file->f_ep))
		return WEFT_POLLED | WEFT_NONBLOCKING;
	if (READ(file, f_ep))
		flags |= WEFT_POLLED;
	if (READ(file, f_flags) & O_NONBLOCK)
		flags |= WEFT_NONBLOCKING;
	return flags;
}
