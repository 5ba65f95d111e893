/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Every map: key, value, who writes it, how long an entry lives. */
#pragma once
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include "source.h"
#include "weft/budget.h"
#include "weft/control.h"
#include "weft/counters.h"
#include "weft/record.h"

/* Records for the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* resized before load */
} ring SEC(".maps");

/* The same records, one buffer a CPU, where the agent asks for perf. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, int);
	__type(value, int);
} perf SEC(".maps");

/* SHUT, CLOSE and EXIT records that the full buffer did not take: nothing would tell these ends
 * again. Written here, emptied by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4096); /* resized before load */
	__uint(key_size, 0);
	__uint(value_size, sizeof(struct weft_shut));
} kept SEC(".maps");

/* tgid -> enum weft_verdict. Absent: not traced. Written by the agent (its decisions), at fork (a
 * child of a traced process), at exec, listen and cgroup moves (undecided). Deleted at exit or by
 * the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096); /* resized before load */
	__type(key, __u32);
	__type(value, __u32);
} procs SEC(".maps");

/* Programs that record calls and can interrupt one another on one CPU have a slot each: where the
 * kernel preempts them, another thread's call comes in between. No program interrupts itself. */
#ifndef WEFT_SLOTS
#define WEFT_SLOTS 2 /* a send's and a receive's */
#endif

/* What BPF counts: by slot, one struct a CPU, written here, summed by the agent. */
struct weft_counts {
	__u64 v[WEFT_COUNT_MAX];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WEFT_SLOTS);
	__type(key, __u32);
	__type(value, struct weft_counts);
} counts SEC(".maps");

/* One struct weft_control, mapped into the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weft_control);
} control SEC(".maps");

/* conn & mask -> what the agent still wants of it; mapped into the agent, which alone writes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, WEFT_WANT_SLOTS);
	__type(key, __u32);
	__type(value, struct weft_want_slot);
} wants SEC(".maps");

/* Where a record is put together, by slot. */
struct scratch {
	struct weft_data data;
	struct copied copied;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WEFT_SLOTS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* What is known of a connection. Written here. Lives with its socket: as socket storage where
 * programs get a trusted socket, else by the socket's address, deleted at tcp_destroy_sock. */
struct conn {
	__u64 id;
	__u64 connect_ns;
	__u32 connect_pid, connect_tid;
	__u32 moved[2]; /* unnumbered sockets: bytes so far, by direction */
	__u32 left[2]; /* bytes still to copy in this turn */
	__u32 error; /* sk_err when the connection ended */
	__u8 turn; /* direction of the latest call + 1 */
	__u8 start; /* enum conn_start: of the next call */
	__u16 flags; /* CONN_* */
	__u32 start_seq; /* QUIET: where that call must begin */
	__u32 base; /* Unix: the number of either direction's first byte, the same at both ends */
	__u32 ino; /* Unix: of the socket, whose address may be used again */
};
enum conn_start {
	START_IN_BETWEEN, /* nothing is known: another call was before it */
	START_LOOK, /* the first one here: the socket is to be asked whether it is its first, too */
	START_FRESH, /* nothing was sent or received before it */
	START_QUIET_RECV, /* nothing was under way before it, if it is a receive */
	START_QUIET_SEND, /* the same, if it is a send */
	START_AGAIN, /* the call before was the first since the agent forgot the connection */
};
enum {
	CONN_OPENED = 1u << 0, /* the agent was told */
	CONN_CLIENT = 1u << 1, /* seen at connect */
	CONN_CONNECTING = 1u << 2, /* and not established yet */
	CONN_UNNUMBERED = 1u << 3,
	CONN_MPTCP = 1u << 4,
	CONN_NONBLOCKING = 1u << 6, /* connect() did not wait */
	CONN_SHED = 1u << 7, /* left out to stay within the budget */
	CONN_UNIX = 1u << 8,
	CONN_ACCEPTED = 1u << 9, /* Unix: the server's end */
	CONN_SELF = 1u << 5, /* weft's own: announced, so that its server's end can be left out */
};
#ifdef WEFT_TRUSTED_SOCKS
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct conn);
} conns SEC(".maps");
#else
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096); /* resized before load */
	__type(key, __u64);
	__type(value, struct conn);
} conns SEC(".maps");
#endif
