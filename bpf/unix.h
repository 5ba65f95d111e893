/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is read of a Unix stream socket. Its bytes have no numbers, so they are counted, at both
 * ends from the same base: the client's socket has a number of its own (its inode's), which the
 * server's end knows as its peer's, and which is not given again.
 */
#pragma once
#include "sock.h"

static __always_inline struct sock *unix_peer(struct sock *sk)
{
	return BPF_CORE_READ((struct unix_sock *)sk, peer);
}

/* A server's end has the address of its listener, a client's commonly has none. */
static __always_inline struct unix_address *unix_address(struct sock *sk)
{
	return BPF_CORE_READ((struct unix_sock *)sk, addr);
}

static __always_inline __u32 unix_ino(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
}

static __always_inline __u32 unix_caller(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_peer_pid, numbers[0].nr);
}

static __always_inline __u32 unix_base(__u32 ino)
{
	ino *= 0x9e3779b1u;
	return ino ^ (ino >> 15);
}

/* The peer will send nothing any more, and all that it sent was taken. */
static __always_inline bool unix_at_end(struct sock *sk)
{
	return READ(sk, sk_shutdown) & RCV_SHUTDOWN && !READ(sk, sk_receive_queue.qlen);
}

static __always_inline bool unix_peer_closed(struct sock *sk)
{
	struct sock *peer = unix_peer(sk);

	return !peer || BPF_CORE_READ(peer, __sk_common.skc_flags) & SOCK_DEAD_BIT;
}

static __always_inline void unix_id(__u8 to[16], struct sock *sk)
{
	__u64 ino = sk ? unix_ino(sk) : 0;

	__builtin_memset(to, 0, 16);
	__builtin_memcpy(to, &ino, sizeof(ino));
}
