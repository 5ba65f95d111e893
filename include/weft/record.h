/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 OR BSD-2-Clause */
/*
 * The records that the BPF programs hand to the agent, through the BPF ring buffer or through
 * per-CPU perf buffers: the same bytes either way. Native byte order; every record starts with
 * struct weft_record. The agent checks each length before it reads.
 */
#pragma once

#ifndef __BPF__
#include <assert.h>
#include <stdint.h>
#else
#include <linux/types.h>
typedef __u8 uint8_t;
typedef __u16 uint16_t;
typedef __u32 uint32_t;
typedef __u64 uint64_t;
typedef __s32 int32_t;
#define static_assert _Static_assert
#endif

enum weft_record_type {
	WEFT_RECORD_DATA = 1, /* a call moved bytes: struct weft_data, then the captured bytes */
	WEFT_RECORD_OPEN = 2, /* first sight of a connection, and again when a connect() succeeded:
				 struct weft_open */
	WEFT_RECORD_SHUT = 3, /* one direction ended with a FIN: struct weft_shut */
	WEFT_RECORD_CLOSE = 4, /* the socket is gone: struct weft_shut */
	WEFT_RECORD_PROC = 5, /* a process to decide on (first sight, or exec): struct weft_proc */
	WEFT_RECORD_EXIT = 6, /* its last thread ended: struct weft_record alone */
	WEFT_RECORD_LISTEN = 7, /* a socket started to listen: struct weft_open */
};

/* Directions as the process that owns the socket sees them. */
enum weft_direction {
	WEFT_RECV = 0,
	WEFT_SEND = 1,
};

/* weft_record.flags */
enum {
	WEFT_SEND_BIT = 1u << 0, /* DATA, SHUT: direction is WEFT_SEND */
	WEFT_UNNUMBERED = 1u << 1, /* seq counts bytes since first sight (kTLS, sockmap, MPTCP, a
				      Unix socket joined in its middle) */
	WEFT_NO_COPY = 1u << 2, /* the bytes could not be read at all: weft_data.why says why */
	WEFT_FORKED = 1u << 3, /* PROC: the parent was traced */
	WEFT_EXEC = 1u << 4, /* PROC: seen at exec */
	WEFT_POLLED = 1u << 3, /* DATA with bytes: an epoll watches the socket; OPEN: connect() did
				  not block */
	WEFT_NONBLOCKING = 1u << 4, /* DATA with bytes: the socket is O_NONBLOCK */
	WEFT_CONNECTED = 1u << 5, /* OPEN: this end called connect(): it is the client */
	WEFT_ACCEPTED = 1u << 6, /* OPEN: this end was accepted: it is the server (only Unix sockets
				    say so) */
	WEFT_CALLER_TRACED = 1u << 0, /* OPEN, Unix and accepted: so is the client, whose record may
					 come later */
	WEFT_UNIX = 1u << 7, /* OPEN: a Unix stream socket: struct weft_open_unix */
	WEFT_PIECES =
		1u << 7, /* DATA: what was copied are pieces of it, each behind a struct weft_piece
			  */
	WEFT_FRESH = 1u << 5, /* DATA: nothing was sent or received on the socket before */
	WEFT_QUIET = 1u << 6, /* DATA: nothing was under way before, if this asks and not answers */
	WEFT_LOCAL_CLIENT = 1u << 7, /* PROC: it connects to this very host */
	WEFT_NEVER_UP = 1u << 6, /* CLOSE: the connect failed or was given up */
	WEFT_END_MISSED = 1u << 5, /* CLOSE: it ended earlier, unseen; recv_seq says nothing */
	WEFT_SHED = 1u << 4, /* CLOSE: it goes on, but is left out to stay within the budget */
};

/* Why a call's bytes were not copied (a counted hole). */
enum weft_no_copy {
	WEFT_COPY_OK = 0,
	WEFT_NO_COPY_FILE, /* sendfile, splice: the bytes never were in user memory */
	WEFT_NO_COPY_COMPAT, /* a 32-bit caller */
	WEFT_NO_COPY_URING, /* io_uring or a kernel thread: the arguments at hand are another call's
			     */
	WEFT_NO_COPY_TRUNC, /* MSG_TRUNC: nothing was written to the buffer */
	WEFT_NO_COPY_BATCH, /* sendmmsg or recvmmsg of several messages under the sock hooks */
	WEFT_NO_COPY_OOB, /* sent with MSG_OOB: its last byte is not part of the content */
	WEFT_NO_COPY_FAULT, /* the buffer could not be read */
	WEFT_NO_COPY_BUDGET, /* past the connection's budget: nothing is missing that was wanted */
	WEFT_NO_COPY_MAX,
};

/* Which bytes of a connection a DATA record tells of. */
enum weft_layer {
	WEFT_LAYER_SOCKET = 0, /* those that the socket moved */
	WEFT_LAYER_TLS = 1, /* the same, and they are TLS */
	WEFT_LAYER_PLAIN = 2, /* what TLS carries: numbered by itself, from the number of the
				 connection's first byte on, at both ends */
};

struct weft_record {
	uint64_t time_ns; /* CLOCK_MONOTONIC at the return of the call */
	uint8_t type;
	uint8_t flags;
	uint16_t size; /* of the whole record, this header included */
	uint32_t pid; /* the process (thread group) in the initial pid namespace */
	uint32_t tid; /* 0: an io_uring's worker, which says nothing of who asked for the call */
	uint32_t cpu;
};

struct weft_data {
	struct weft_record head;
	uint64_t conn; /* never used twice while the agent runs */
	uint32_t seq; /* TCP sequence number of the call's first byte, or the like */
	uint32_t len; /* bytes that the call moved */
	uint32_t other; /* sequence number that the opposite direction had reached */
	uint32_t age_ns; /* sends: since the last segment left (tcp_wstamp_ns), saturated */
	uint16_t off; /* of the captured bytes behind seq; 0xffff: they are the call's last */
	uint16_t caught; /* number of captured bytes that follow this struct */
	uint8_t why; /* enum weft_no_copy */
	uint8_t layer; /* enum weft_layer */
	uint8_t pad[2];
};

#define WEFT_OFF_TAIL 0xffffu

/* Captured bytes of a call from `at` on, which follow; of those between two pieces nothing is
 * missing that was wanted. In order, and not aligned. */
struct weft_piece {
	uint32_t at; /* behind seq */
	uint32_t len;
};

/* Addresses are 16 bytes; IPv4 stands in its v4-mapped form (RFC 4291, 2.5.5.2). Ports are in
 * host byte order. "local" is the end that the traced process owns. */
struct weft_open {
	struct weft_record head;
	uint64_t conn;
	uint8_t local_addr[16];
	uint8_t remote_addr[16];
	uint16_t local_port;
	uint16_t remote_port;
	uint32_t netns; /* inode number of the network namespace */
	uint64_t connect_ns; /* when connect() began, 0 if not seen; head.tid called it */
};

#define WEFT_PATH_LEN 108

/* open: an address is the number of that end's socket, zeroes if it has none yet; no ports. */
struct weft_open_unix {
	struct weft_open open;
	char path[WEFT_PATH_LEN]; /* where the server listens; an abstract one begins with a 0 */
	uint16_t path_len;
	uint16_t pad;
};

struct weft_shut {
	struct weft_record head;
	uint64_t conn;
	uint32_t recv_seq; /* SHUT: first number never sent by the peer; CLOSE: never taken by the
			      process */
	uint32_t send_seq; /* SHUT: first number never sent; neither counts the FIN */
	int32_t error; /* CLOSE: sk_err as a positive errno, else 0 */
	uint32_t pad;
};

#define WEFT_COMM_LEN 16
#define WEFT_EXE_LEN  128

struct weft_proc {
	struct weft_record head;
	uint64_t cgroup; /* id in the v2 hierarchy */
	uint32_t parent; /* pid */
	uint32_t pad;
	char comm[WEFT_COMM_LEN];
	char exe[WEFT_EXE_LEN]; /* as given to exec, cut; empty if not an exec */
};

static_assert(sizeof(struct weft_record) == 24, "record layout");
static_assert(sizeof(struct weft_data) == 56, "record layout");
static_assert(sizeof(struct weft_piece) == 8, "record layout");
static_assert(sizeof(struct weft_open) == 80, "record layout");
static_assert(sizeof(struct weft_open_unix) == 192, "record layout");
static_assert(sizeof(struct weft_shut) == 48, "record layout");
static_assert(sizeof(struct weft_proc) == 184, "record layout");
