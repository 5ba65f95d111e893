/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc and the cgroup file system say. Nothing here fails hard: a process can be gone at any
 * time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* /proc/PID/exe without " (deleted)". False if it can't be read; then *ret_path is empty. */
bool proc_exe(uint32_t pid, char *ret_path, size_t cap);

/* The path in the cgroup v2 hierarchy. */
bool proc_cgroup(uint32_t pid, char *ret_path, size_t cap);

/* The same by the cgroup's id, for a process that is gone: searched for below the mount point. */
bool cgroup_path(uint64_t id, char *ret_path, size_t cap);

/* Inode number of its network namespace; 0 if it can't be read. */
uint32_t proc_netns(uint32_t pid);

/* Parent's pid, 0 if gone. */
uint32_t proc_parent(uint32_t pid);
bool proc_lives(uint32_t pid); /* not if only its parent has yet to hear of its end */

/* When it started (CLOCK_MONOTONIC), rounded down to the kernel's tick; 0 if gone. */
uint64_t proc_started(uint32_t pid);

bool proc_comm(uint32_t pid, char *ret_comm, size_t cap);

/* A TCP socket as /proc/PID/net/tcp and tcp6 show it. */
struct tcp_row {
	uint64_t inode;
	uint16_t local_port;
	uint16_t remote_port;
	bool listens;
	bool local; /* established, and both ends have the same or a loopback address */
};
typedef void (*tcp_row_fn)(void *ctx, const struct tcp_row *row);
void proc_tcp(uint32_t pid, tcp_row_fn fn, void *ctx);

/* Calls fn with the inode of every socket the process holds. */
typedef void (*inode_fn)(void *ctx, uint32_t pid, uint64_t inode);
void proc_sockets(uint32_t pid, inode_fn fn, void *ctx);

/* Every process there is, by rising number. */
struct proc_walk;
int proc_walk_new(struct proc_walk **ret_walk); /* 0 or -errno */
void proc_walk_free(struct proc_walk *walk); /* takes NULL */
uint32_t proc_walk_next(struct proc_walk *walk); /* 0: that was the last */
void proc_walk_rewind(struct proc_walk *walk);
