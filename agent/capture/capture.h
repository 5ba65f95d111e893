/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel side from the agent's view: loads and attaches a hook set, reads its records, and
 * tells it which processes are traced and how much of each connection is wanted. One thread, but
 * for capture_counts and capture_ring_used, which any thread may call.
 */
#pragma once
#include "capture/options.h"
#include "weft/budget.h"
#include "weft/control.h"
#include "weft/counters.h"
#include "weft/record.h"

#include <signal.h>

struct capture;

/* One record, valid during the call; size is at least sizeof(struct weft_record), and the lengths
 * inside were checked against it. */
typedef void (*capture_handler)(void *ctx, const struct weft_record *record, size_t size);

/* hooks: SOCK or SYSCALLS. 0, or -errno and in ret_why a sentence for the log. */
int capture_open(const struct capture_options *options, enum hooks hooks, capture_handler handler,
	void *ctx, struct capture **ret_capture, char ret_why[static 256]);
void capture_close(struct capture *capture); /* takes NULL */

/* Takes the programs off their hooks; what they recorded can still be read. */
void capture_detach(struct capture *capture);

/* Gives every record there is to the handler; all: perf also those it would hold back for order.
 * The number of records, or -errno. */
int capture_read(struct capture *capture, bool all);

/* Waits until records are worth reading, a signal comes (by sigmask), or timeout_ms has passed.
 * idle: nothing has happened for a while, so that the first record shall wake us; else only a
 * backlog does. */
void capture_wait(struct capture *capture, bool idle, int timeout_ms, const sigset_t *sigmask);

/* Malformed records dropped by capture_read. */
uint64_t capture_bad(const struct capture *capture);

int capture_trace(struct capture *capture, uint32_t pid, enum weft_verdict verdict);
/* Whether processes that connect to this host are to be decided on too. */
void capture_local_clients(struct capture *capture, bool wanted);

/* Records about sockets and processes that were lost. */
uint64_t capture_life_lost(const struct capture *capture);

int capture_untrace(struct capture *capture, uint32_t pid);
void capture_want(struct capture *capture, uint64_t conn, enum weft_want want);

/* It was announced: no longer asked for with WEFT_WANT_AGAIN. */
void capture_heard(struct capture *capture, uint64_t conn);

/* What the programs counted; *ret_missed: runs that the kernel skipped. */
void capture_counts(const struct capture *capture, uint64_t ret_counts[static WEFT_COUNT_MAX],
	uint64_t *ret_missed);
uint64_t capture_ring_used(const struct capture *capture);
uint64_t capture_map_bytes(const struct capture *capture);
unsigned capture_programs(const struct capture *capture);
