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

/* hooks: any but AUTO; twins: of each program, 1 or 2, where another thread can come in between
 * one, else 0 (bpf/twin.h). 0, or -errno and in ret_why a sentence for the log; -ENOBUFS: the
 * records' buffers could not be had, whatever the hooks. */
int capture_open(const struct capture_options *options, enum hooks hooks, enum transport transport,
	unsigned twins, capture_handler handler, void *ctx, struct capture **ret_capture,
	char ret_why[static 256]);
void capture_close(struct capture *capture); /* takes NULL */

/* Puts the programs for TLS libraries on the functions of a file (probes.h). */
struct probes;
struct tls_symbols;
int capture_probe(struct capture *capture, const char *path, uint32_t number,
	const struct tls_symbols *symbols, struct probes **ret_probes);
/* Whether that takes CAP_BPF and CAP_PERFMON only. */
bool capture_probes_multi(struct capture *capture);

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

/* Records lost so far, of any kind; one that was read after it was asked for came before any that
 * is not counted here. */
uint64_t capture_lost(const struct capture *capture);

/* Leaves out this share (0 to 1) of the connections, from their next call on. */
void capture_shed(struct capture *capture, double share);

/* Lowers the programs' count of connections to what the machine has, if it nears its most: each end
 * that is missed leaves it too high by one. */
void capture_recount(struct capture *capture);

/* Time that the programs took, in nanoseconds, as far as the kernel measured it (bpf_enable_stats).
 */
uint64_t capture_run_ns(const struct capture *capture);

/* Runs of the programs that the kernel left out, for one of them was interrupted by the same, and
 * that no other program made up for. */
uint64_t capture_missed(struct capture *capture);

/* Records about sockets and processes that were lost. Of ends, only what found no place beside the
 * ring buffer either. */
uint64_t capture_life_lost(const struct capture *capture);

/* It is traced from now on, and may hold connections that are older: WEFT_LOOKING, unless the
 * kernel has seen it begin meanwhile. Whether they are to be looked at. */
bool capture_trace_older(struct capture *capture, uint32_t pid);

/* It is traced as before: WEFT_LOOKING stays, if it is that. */
void capture_trace_on(struct capture *capture, uint32_t pid);

/* From the verdict WEFT_LOOKING to WEFT_TRACED, if the process is still there. Any thread. */
void capture_looked(struct capture *capture, uint32_t pid);

/* Calls on Unix sockets were missed: see weft_control.unix_lost. */
void capture_unix_lost(struct capture *capture);

int capture_untrace(struct capture *capture, uint32_t pid);
void capture_want(struct capture *capture, uint64_t conn, enum weft_want want);

/* As WEFT_WANT_CALLS, and in this direction a frame of HTTP/2 begins at `at`, a TCP number, from
 * where on frames can be followed. */
void capture_want_frames(
	struct capture *capture, uint64_t conn, enum weft_direction direction, uint32_t at);
/* A body of the connection goes on in this direction up to the sequence number `until`, at most
 * WEFT_UNTIL_AHEAD from here: of the calls before it only the one that reaches it is a record.
 * Until capture_want() says otherwise. */
void capture_want_until(
	struct capture *capture, uint64_t conn, enum weft_direction direction, uint32_t until);

/* It is forgotten while nothing is under way on it, and its next message will begin in this
 * direction at the sequence number `at`. */
void capture_want_again(
	struct capture *capture, uint64_t conn, enum weft_direction direction, uint32_t at);

/* It was announced: no longer asked for again. */
void capture_heard(struct capture *capture, uint64_t conn);

/* What the programs counted; *ret_missed: see capture_missed. */
void capture_counts(
	struct capture *capture, uint64_t ret_counts[static WEFT_COUNT_MAX], uint64_t *ret_missed);
uint64_t capture_ring_used(const struct capture *capture);
uint64_t capture_map_bytes(const struct capture *capture);
unsigned capture_programs(const struct capture *capture);
