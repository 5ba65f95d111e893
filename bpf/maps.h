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

/* Each program that records calls has a slot of its own where threads can preempt programs, and its
 * twins others (twin.h): a call of another thread comes in between. No program interrupts itself.
 * Elsewhere a send and a receive have one. */
#ifndef OWN_SLOTS
#define OWN_SLOTS 2
#endif
#define TLS_SLOTS 2 /* for plaintext: see tls.h */
#define TWIN_SLOT (OWN_SLOTS + TLS_SLOTS) /* a twin's is so far behind its first's */
#define TLS_SLOT  (twins ? OWN_SLOTS : WEFT_SLOTS - TLS_SLOTS)
#define SLOTS_ALL (twins ? (twins + 1) * TWIN_SLOT : WEFT_SLOTS)
/* Where plaintext is counted for which there is no scratch, by threads that can come in between. */
#define TLS_LOST_SLOT SLOTS_ALL

/* What BPF counts: by slot, one struct a CPU, written here, summed by the agent. */
struct weft_counts {
	__u64 v[WEFT_COUNT_MAX];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TWIN_SLOT + 1); /* resized before load: SLOTS_ALL + 1 */
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

/* A call that moved n bytes of a connection. */
struct frames_call {
	struct source src;
	__u64 what; /* the agent wants, see conn_wants() */
	__u32 start; /* the number of its first byte; with WEFT_WANT_FRAMES_* */
	__u32 n;
	__u32 dir;
};

/* The same, with what its record needs. It lies in a map and not on a program's stack: what is
 * stored there the verifier does not follow, so that the ways in which a call's bytes are found do
 * not multiply those that it takes then. */
struct moved_call {
	struct frames_call bytes;
	__u64 time_ns; /* of the record */
	__u32 seq, other, age_ns; /* as in struct weft_data */
	__u32 slot; /* see OWN_SLOTS */
	__u8 flags; /* of the record */
	__u8 waits; /* how the process waits on the socket */
	__u8 layer; /* enum weft_layer */
	__u8 how; /* enum caller_how */
	__u32 kind; /* enum sock_kind */
};

/* A thread's call moved bytes of a connection that is TLS. */
struct tls_moved {
	__u64 conn;
	__u64 sock; /* its address */
	__u64 sp; /* the thread's stack */
	__u64 random; /* where its hello's random is in user memory; 0: not in this call */
	__u32 seq; /* the number of the first of them */
	__u32 n;
	__u32 key; /* sock_key() */
	__u8 dir;
	__u8 fresh; /* they were the connection's first */
	__u8 waits;
	__u8 known; /* CONN_TLS_KNOWN */
};

/* Where the frames of an HTTP/2 connection have got to, in one direction. */
struct frames {
	__u64 head; /* the bytes of a frame's header that came */
	__u32 have; /* their number */
	__u32 left; /* bytes of the frame's payload still to come */
	__u32 copy; /* of which so many are to be copied */
	__u32 pad;
};

/* A walk through the frames of a call. */
struct walk {
	__u64 base, room; /* the memory at hand: where it goes on, and how much there is */
	__u64 iov, count; /* what comes behind it */
	__u64 lead; /* bytes of the first of these before the call's own */
	__u32 at, n; /* bytes of the call that are passed, and all of them */
	__u32 out; /* bytes written so far */
	__u32 piece; /* 1 + where the open piece's header lies; 0: none is open */
	__u32 wrong; /* memory that could not be read */
	struct frames f;
};

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
	__u32 ino; /* of a socket whose address may be used again: Unix' inode, TCP's cookie, 0:
		      none yet */
	struct frames frames[2]; /* by direction, with CONN_FRAMES_RECV, _SEND */
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
	CONN_FRAMES_RECV = 1u << 10, /* HTTP/2 whose frames are followed: see frames.h */
	CONN_FRAMES_SEND = 1u << 11,
	CONN_FRAMES = CONN_FRAMES_RECV | CONN_FRAMES_SEND,
	CONN_TLS = 1u << 12, /* its bytes are TLS: see tls_pair.h */
	CONN_TLS_KNOWN = 1u << 13, /* and its session is known for certain */
	CONN_TUNNEL = 1u << 14, /* it has asked for a tunnel, in which TLS may begin */
	CONN_SELF = 1u << 5, /* weft's own: announced, so that its server's end can be left out */
};
/* Where a record is put together, by slot, and what else is too large for small stacks. */
struct scratch {
	struct weft_data data;
	struct copied copied;
	struct walk walk;
	struct conn fresh;
	struct tls_moved tls;
	struct moved_call call;
	__u64 busy; /* plaintext's: in use */
};
/* By CPU and slot. Not a per-CPU array, which takes memory for every CPU that there could ever be:
 * 128 on a small machine of Azure's. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TWIN_SLOT); /* resized before load: SLOTS_ALL for each CPU present */
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* NULL on a CPU that was added later: its calls are counted as lost. */
static __always_inline struct scratch *scratch_get(__u32 slot)
{
	__u32 index = bpf_get_smp_processor_id() * SLOTS_ALL + slot;

	return bpf_map_lookup_elem(&scratches, &index);
}

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

/* Sockets whose bytes are TLS, by address, as long as no session is known for certain. Written
 * here, deleted with the socket. The least used give way to new ones. */
struct tls_socket {
	__u64 conn;
	__u64 first_ns; /* when its first byte was moved; 0: not seen */
	__u32 base, key; /* as in struct tls_sign */
	__u32 waits; /* as in struct tls_session */
	__u32 used; /* plaintext was told of */
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096); /* resized before load */
	__type(key, __u64);
	__type(value, struct tls_socket);
} tls_sockets SEC(".maps");
