/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Programs with twins. While a program is under way the kernel skips it for whatever else comes to
 * it on the same CPU: an interrupt, and where threads can preempt programs, another thread. So such
 * a program has a twin on the same hook, which runs right after it and does its work if it was
 * skipped; where both come it has two, and on Linux 7, where every hook's are preempted, for a busy
 * CPU preempts one in each of a pair now and then. Only what all of them were skipped for is
 * missed.
 */
#pragma once
#include "knobs.h"
#include "maps.h"
#include <bpf/bpf_helpers.h>

enum which { FIRST, TWIN, TRIPLET };

#define MARKS_BITS 12
#define TASK_CALL  16 /* and a slot: see twin_due() */

/* What has begun to be worked on: a twin that finds it has nothing to do. By CPU, for a program and
 * its twin run on one, but for the rare thread that is preempted and moved just in between; and by
 * a hash. Where a mark was overwritten, work is done twice. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE); /* the agent looks whether twins come last */
	__uint(max_entries,
		1u << MARKS_BITS); /* resized before load: for each CPU that is present */
	__type(key, __u32);
	__type(value, __u64);
} marks SEC(".maps");

/* Whether this one is to do the work; to be asked before anything else, for what the kernel skips
 * is counted by the run. of: the number of the thread or socket that only one of them works on at a
 * time; task: less than 64, to tell an object's tasks apart; last: no other comes after it. A mark
 * outlives a twin that was skipped itself; should the first be skipped the very next time, that is
 * missed, and counted. */
static __always_inline bool twin_due(enum which which, __u64 of, __u32 task, bool last)
{
	__u64 key = of << 6 | task;
	__u32 at = ((__u32)key * 0x9e3779b1u) >> (32 - MARKS_BITS), zero = 0;
	volatile __u64 *mark;
	struct weft_control *ctl;

	at += bpf_get_smp_processor_id() << MARKS_BITS;
	mark = bpf_map_lookup_elem(&marks, &at);
	if (!mark) /* a CPU that was added later */
		return which == FIRST;
	if (which == FIRST) {
		*mark = key;
		return true;
	}
	if (*mark == key) {
		if (last)
			*mark = 0;
		return false;
	}
	ctl = bpf_map_lookup_elem(&control, &zero);
	if (!ctl || !ctl->attached) /* the first may not be there yet */
		return false;
	__sync_fetch_and_add(&ctl->made_up, 1);
	if (!last)
		*mark = key;
	return true;
}

/* The same of a change of a socket. (Until 6.15 a new connection has its listener's number when it
 * becomes SYN_RECV: no mark may be left behind.) */
static __always_inline bool change_due(enum which which, struct sock *sk, __u32 task)
{
	return twin_due(which, bpf_get_socket_cookie(sk), task, which == (twins ? TRIPLET : TWIN));
}

/* The same of what a thread does, in which only other threads can come in between. */
static __always_inline bool thread_due(enum which which, __u32 tid, __u32 task)
{
	return !twins || twin_due(which, tid, task, which == twins);
}

static __always_inline bool call_due(enum which which, __u32 task)
{
	return thread_due(which, (__u32)bpf_get_current_pid_tgid(), task);
}

/* Where a call's record is put together; own: its program's among OWN_SLOTS. */
static __always_inline __u32 call_slot(enum which which, __u32 own, __u8 dir)
{
	if (!twins)
		return dir & 1;
	return which * TWIN_SLOT + own;
}

#define TWIN_PROG(section, name, body, which, args...)                                             \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wint-conversion\"")      \
		SEC(section) int                                                                   \
		name(unsigned long long *ctx)                                                      \
	{                                                                                          \
		return body(___bpf_ctx_cast(args), which);                                         \
	}                                                                                          \
	_Pragma("GCC diagnostic pop")

/* A program and its twins, as BPF_PROG defines one; the body is told which by `which`. */
#define TWINS(section, name, args...)                                                              \
	static __always_inline int name##_any(unsigned long long *ctx, ##args, enum which which);  \
	TWIN_PROG(section, name, name##_any, FIRST, args)                                          \
	TWIN_PROG(section, name##_twin, name##_any, TWIN, args)                                    \
	TWIN_PROG(section, name##_triplet, name##_any, TRIPLET, args)                              \
	static __always_inline int name##_any(unsigned long long *ctx, ##args, enum which which)
