/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Hands a record to the agent, and counts. */
#pragma once
#include "knobs.h"
#include "maps.h"

static __always_inline struct weft_counts *counts_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counts, &zero);
}

/* The wake-up is what a ring buffer costs most; see agent/README.md, "Reading without wake-ups". */
static __always_inline __u64 wake_flags(bool urgent)
{
	__u32 zero = 0;
	struct weft_control *c = bpf_map_lookup_elem(&control, &zero);

	if (!c || c->sleep == WEFT_AWAKE)
		return BPF_RB_NO_WAKEUP;
	if (!urgent && c->sleep == WEFT_NAP &&
		bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) < wake_bytes)
		return BPF_RB_NO_WAKEUP;
	c->sleep = WEFT_AWAKE;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline long emit(void *ctx, void *record, __u64 size, bool urgent)
{
	if (use_perf)
		return bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, record, size);
	return bpf_ringbuf_output(&ring, record, size, wake_flags(urgent));
}

static __always_inline long emit_counted(void *ctx, void *record, __u64 size, bool urgent)
{
	long err = emit(ctx, record, size, urgent);
	struct weft_counts *c = counts_get();

	if (c) /* a softirq's socket can change its state right here */
		__sync_fetch_and_add(
			&c->v[err ? WEFT_COUNT_LIFE_LOST : WEFT_COUNT_LIFE_EMITTED], 1);
	return err;
}

/* For records about sockets and processes. */
static __always_inline long emit_life(void *ctx, void *record, __u64 size)
{
	return emit_counted(ctx, record, size, false);
}

/* For what the agent must look at before it changes: a process' environment and name. */
static __always_inline long emit_urgent(void *ctx, void *record, __u64 size)
{
	return emit_counted(ctx, record, size, true);
}

static __always_inline void record_head(struct weft_record *head, __u8 type, __u8 flags, __u16 size)
{
	__u64 id = bpf_get_current_pid_tgid();

	head->time_ns = bpf_ktime_get_ns();
	head->type = type;
	head->flags = flags;
	head->size = size;
	head->pid = id >> 32;
	head->tid = (__u32)id;
	head->cpu = bpf_get_smp_processor_id();
}
