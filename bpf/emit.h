/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Hands a record to the agent, and counts. */
#pragma once
#include "knobs.h"
#include "maps.h"

static __always_inline struct weft_counts *counts_get(__u32 slot)
{
	return bpf_map_lookup_elem(&counts, &slot);
}

/* The agent must not take what it saw for all there was. */
static __always_inline void lost_tell(void)
{
	__u32 zero = 0;
	struct weft_control *c = bpf_map_lookup_elem(&control, &zero);

	if (c)
		__sync_fetch_and_add(&c->lost, 1);
}

static __always_inline void unix_lost_tell(void)
{
	__u32 zero = 0;
	struct weft_control *c = bpf_map_lookup_elem(&control, &zero);

	if (c)
		__sync_fetch_and_add(&c->unix_lost, 1);
}

enum emit_how {
	EMIT_URGENT, /* wake a napping agent */
	EMIT_LOOK, /* wake it if the backlog has grown */
	EMIT_QUIET, /* one of many: others look */
};

/* The wake-up is what a ring buffer costs most; see agent/README.md, "Reading without wake-ups". */
static __always_inline __u64 wake_flags(enum emit_how how)
{
	__u32 zero = 0;
	struct weft_control *c = bpf_map_lookup_elem(&control, &zero);

	if (!c || c->sleep == WEFT_AWAKE)
		return BPF_RB_NO_WAKEUP;
	if (how != EMIT_URGENT && c->sleep == WEFT_NAP &&
		(how == EMIT_QUIET || bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) < wake_bytes))
		return BPF_RB_NO_WAKEUP;
	c->sleep = WEFT_AWAKE;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline long emit(void *ctx, void *record, __u64 size, enum emit_how how)
{
	long err = use_perf ? bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, record, size)
			    : bpf_ringbuf_output(&ring, record, size, wake_flags(how));

	if (err)
		lost_tell();
	return err;
}

/* As what a record of a call is lost that could not be handed over. */
static __always_inline enum weft_kernel_counter lost_why(long err)
{
	/* the CPU has no perf buffer */
	if (use_perf && (err == -ENOENT || err == -EOPNOTSUPP))
		return WEFT_COUNT_LOST_CPU;
	return WEFT_COUNT_LOST_FULL;
}

static __always_inline void count_life(long err)
{
	struct weft_counts *c = counts_get(0);

	if (c) /* several programs count these, and a softirq's socket can change right here */
		__sync_fetch_and_add(
			&c->v[err ? WEFT_COUNT_LIFE_LOST : WEFT_COUNT_LIFE_EMITTED], 1);
}

static __always_inline long emit_counted(void *ctx, void *record, __u64 size, enum emit_how how)
{
	long err = emit(ctx, record, size, how);

	count_life(err);
	return err;
}

/* For records about sockets and processes. */
static __always_inline long emit_life(void *ctx, void *record, __u64 size)
{
	return emit_counted(ctx, record, size, EMIT_LOOK);
}

/* For ends, of which there is no second sign: kept until the agent has time. While any is kept, the
 * next ones queue up behind it, so that a connection's FIN is told before its close. */
static __always_inline void emit_end(void *ctx, struct weft_shut *end, __u64 size)
{
	__u32 zero = 0;
	struct weft_control *ctl = bpf_map_lookup_elem(&control, &zero);
	struct weft_counts *c = counts_get(0);
	long err;

	if (!ctl || !c)
		return;
	end->head.size = size;
	if (ctl->ends_kept == ctl->ends_taken && !emit(ctx, end, size, EMIT_LOOK)) {
		count_life(0);
		return;
	}
	err = bpf_map_push_elem(&kept, end, BPF_ANY);
	count_life(err);
	if (err) {
		lost_tell();
		return;
	}
	__sync_fetch_and_add(&c->v[WEFT_COUNT_LIFE_KEPT], 1);
	__sync_fetch_and_add(&ctl->ends_kept, 1);
}

/* For what the agent must look at before it changes: a process' environment and name. */
static __always_inline long emit_urgent(void *ctx, void *record, __u64 size)
{
	return emit_counted(ctx, record, size, EMIT_URGENT);
}

static __always_inline void record_head_at(
	struct weft_record *head, __u8 type, __u8 flags, __u16 size, __u64 time_ns)
{
	__u64 id = bpf_get_current_pid_tgid();

	head->time_ns = time_ns;
	head->type = type;
	head->flags = flags;
	head->size = size;
	head->pid = id >> 32;
	head->tid = (__u32)id;
	head->cpu = bpf_get_smp_processor_id();
}

static __always_inline void record_head(struct weft_record *head, __u8 type, __u8 flags, __u16 size)
{
	record_head_at(head, type, flags, size, bpf_ktime_get_ns());
}
