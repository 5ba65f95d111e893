/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The kernel structs that weft reads, each with just the fields it reads: CO-RE finds them. */
#pragma once
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct thread_info {
	unsigned long flags;
	__u32 status; /* x86 */
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
};

struct hlist_node;

struct hlist_head {
	struct hlist_node *first;
};

struct file {
	void *private_data;
	struct inode *f_inode;
	unsigned int f_flags;
	struct {
		__s64 counter;
	} f_count;
	struct hlist_head *f_ep; /* 5.11 */
};

struct signal_struct {
	struct {
		int counter;
	} live;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct files_struct *files;
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct io_uring_task *io_uring; /* set once the thread has used a ring */
	char comm[16];
};

struct linux_binprm {
	const char *filename;
};

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

typedef struct {
	__s64 counter;
} atomic64_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	unsigned long skc_flags;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie; /* 0: none yet */
};

struct upid {
	int nr;
};

struct pid {
	struct upid numbers[1]; /* by pid namespace, the initial one first */
};

struct sock {
	struct sock_common __sk_common;
	struct pid *sk_peer_pid; /* Unix: the process that connected to an accepted socket */
	struct socket *sk_socket;
	void *sk_user_data;
	__u16 sk_protocol;
	__u16 sk_type;
	int sk_err;
	__u8 sk_shutdown;
	struct sk_buff_head {
		__u32 qlen;
	} sk_receive_queue;
};

struct socket {
	struct file *file;
	struct sock *sk;
};

struct iovec {
	void *iov_base;
	__u64 iov_len;
};

struct timespec64 {
	__s64 tv_sec; /* where a plain number is to be read */
};

struct iov_iter {
	__u8 iter_type;
	unsigned long iov_offset;
	unsigned long count;
	const struct iovec *__iov;
	void *ubuf;
};

struct iov_iter___v6_3 {
	const struct iovec *iov; /* until 6.3 */
};

struct iov_iter___v5_13 {
	unsigned int type; /* until 5.13: enum iter_type, and whether it is written */
};

struct msghdr {
	struct iov_iter msg_iter;
	unsigned int msg_flags;
};

struct inet_sock {
	struct sock sk;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	const struct tcp_ulp_ops *icsk_ulp_ops;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 rcv_nxt;
	__u32 copied_seq;
	__u32 write_seq;
	__u32 snd_una;
	__u32 snd_wl1;
	__u64 bytes_received;
	__u64 bytes_acked;
	__u64 tcp_wstamp_ns;
};

struct mptcp_sock {
	__u64 bytes_received; /* 6.5 */
	__u64 bytes_sent;
};

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address {
	int len; /* of the name, its family included */
	struct sockaddr_un name[];
};

struct unix_sock {
	struct unix_address *addr; /* an accepted socket has its listener's */
	struct sock *peer;
};

struct file___v6_13 {
	struct {
		struct {
			__s64 counter;
		} refcnt;
	} f_ref; /* holders but one */
};

#pragma clang attribute pop

/* Only the names count: the numbers differ between kernels. */
enum iter_type {
	ITER_UBUF, /* 6.0 */
	ITER_IOVEC,
	ITER_BVEC,
	ITER_KVEC,
};

/* Kernel constants that no BTF carries. */
#define AF_UNIX         1
#define AF_INET         2
#define AF_INET6        10
#define IPPROTO_TCP     6
#define IPPROTO_MPTCP   262
#define SOCK_STREAM     1
#define SOCK_DEAD_BIT   (1ul << 0) /* enum sock_flags: its process has closed it */
#define SOCK_DONE_BIT   (1ul << 1) /* enum sock_flags: the peer's FIN was received */
#define S_IFMT          0170000
#define S_IFSOCK        0140000
#define RCV_SHUTDOWN    1
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT    2
#define TCP_FIN_WAIT1   4
#define TCP_CLOSE       7
#define TCP_CLOSE_WAIT  8
#define TCP_LAST_ACK    9
#define TCP_LISTEN      10
#define PSOCK_BIT                                                                                  \
	4ul /* SK_USER_DATA_PSOCK, 5.18; before, psocks set no bit that could be told apart */
#define MSG_OOB      0x1
#define MSG_PEEK     0x2
#define MSG_TRUNC    0x20
#define MSG_ERRQUEUE 0x2000
#define O_NONBLOCK   00004000
#define PF_IO_WORKER 0x00000010
#define PF_KTHREAD   0x00200000
#define ENOSYS       38
#define ENOENT       2
#define EOPNOTSUPP   95
#define ECONNRESET   104
