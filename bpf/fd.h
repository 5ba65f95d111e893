/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The socket behind a descriptor. */
#pragma once
#include "sock.h"

/* The socket's file behind a descriptor of the task, or NULL. */
static __always_inline struct file *fd_file(struct task_struct *task, __u64 fd)
{
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **slots = BPF_CORE_READ(fdt, fd);
	struct file *file = NULL;

	if ((__u32)fd >= BPF_CORE_READ(fdt, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), slots + (__u32)fd);
	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	return file;
}

static __always_inline struct sock *file_sock(struct file *file)
{
	struct socket *socket = BPF_CORE_READ(file, private_data);

	return BPF_CORE_READ(socket, sk);
}

static __always_inline struct sock *fd_sock(struct task_struct *task, __u64 fd)
{
	struct file *file = fd_file(task, fd);

	return file ? file_sock(file) : NULL;
}
