/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent's stages count. Each counter has one writer thread (the pipeline's, or one
 * exporter's for its own struct), any reader: relaxed atomics, no lock.
 *
 * The books, each an invariant that tests assert:
 *   records:  read = good + bad
 *   requests: requests = requests_done{*} + open
 *   spans:    made = released + held + dropped
 *             released = sampled_out + left_out + waiting + offered
 *   each exporter: offered = dropped + sent + rejected + failed + queued
 */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

/* X(identifier, metric name without "weft_" and "_total", label or "", help) */
#define COUNTERS(X)                                                                                \
	X(RECORDS_READ, "records_read", "", "records read from the ring buffer")                   \
	X(RECORDS_BAD, "records_bad", "", "records whose lengths or type made no sense")           \
	X(RECORD_BYTES, "record_bytes", "", "bytes read from the ring buffer")                     \
	X(CONNS_OPENED, "connections_opened", "", "connections seen for the first time")           \
	X(CONNS_CLOSED, "connections_closed", "", "connections seen to end")                       \
	X(CONNS_EVICTED, "connections_evicted", "", "connections forgotten: table full")           \
	X(CONNS_OWN, "connections_own", "", "ends of weft's own connections: not followed")        \
	X(SHED, "shed", "", "connections left out to stay within the budget")                      \
	X(CONNS_ENDED_UNSEEN, "connections_ended_unseen", "",                                      \
		"connections quiet for minutes after ends were lost: taken for ended")             \
	X(CONNS_UNKNOWN, "records_of_unknown_connections", "",                                     \
		"data records whose connection was never announced")                               \
	X(CONNS_FAILED, "connects_failed", "", "connects that failed")                             \
	X(HOLE_BYTES, "hole_bytes", "", "bytes missing where a parser needed them")                \
	X(CONFLICTS, "stream_conflicts", "", "overlapping records: the range is unknown")          \
	X(REORDERED, "stream_reordered", "", "records that arrived before an earlier one")         \
	X(TLS_UNREAD, "connections_tls_unread", "", "connections of TLS that cannot be read")      \
	X(TLS_EMPTY, "connections_tls_empty", "",                                                  \
		"connections of TLS that could be read, and on which nothing was said")            \
	X(PROTO_UNKNOWN, "connections_not_understood", "", "connections of no known protocol")     \
	X(TUNNELS, "connections_tunnelled", "",                                                    \
		"connections that left HTTP by CONNECT or Upgrade")                                \
	X(REQUESTS, "requests", "", "requests seen, and connects that failed")                     \
	X(REPLIES, "replies", "", "final reply heads parsed")                                      \
	X(REPLY_UNPAIRED, "replies_unpaired", "", "replies whose request was not seen")            \
	X(PAIRED, "requests_done", "result=\"paired\"", "requests that ended, by result")          \
	X(UNPAIRED_CLOSED, "requests_done", "result=\"closed\"", "requests that ended, by result") \
	X(UNPAIRED_RESET, "requests_done", "result=\"reset\"", "requests that ended, by result")   \
	X(UNPAIRED_HOLE, "requests_done", "result=\"hole\"", "requests that ended, by result")     \
	X(UNPAIRED_BAD, "requests_done", "result=\"bad_reply\"", "requests that ended, by result") \
	X(UNPAIRED_EVICTED, "requests_done", "result=\"evicted\"",                                 \
		"requests that ended, by result")                                                  \
	X(UNPAIRED_SHUTDOWN, "requests_done", "result=\"shutdown\"",                               \
		"requests that ended, by result")                                                  \
	X(UNPAIRED_UNSURE, "requests_done", "result=\"unsure\"", "requests that ended, by result") \
	X(REQUESTS_FULL, "requests_done", "result=\"table_full\"",                                 \
		"requests that ended, by result")                                                  \
	X(BAD_REQUEST, "messages_bad", "side=\"request\"", "malformed messages")                   \
	X(BAD_REPLY, "messages_bad", "side=\"reply\"", "malformed messages")                       \
	X(TEXT_CUT, "text_cut", "", "strings shortened to fit")                                    \
	X(SPANS_MADE, "spans_made", "", "spans built")                                             \
	X(SPANS_RELEASED, "spans_released", "", "spans whose trace was settled")                   \
	X(SPANS_SAMPLED_OUT, "spans_sampled_out", "", "spans left out by the sampler")             \
	X(SPANS_PROBES, "spans_left_out", "reason=\"probe\"",                                      \
		"spans of traces that were not asked for")                                         \
	X(SPANS_UNSELECTED, "spans_left_out", "reason=\"not_selected\"",                           \
		"spans of traces that were not asked for")                                         \
	X(SPANS_UNPLACED, "spans_unplaced", "",                                                    \
		"spans that went out without the name of their pod")                               \
	X(SPANS_HELD_DROPPED, "spans_dropped", "reason=\"hold_full\"",                             \
		"spans dropped before export")                                                     \
	X(LINK_ROOT, "links", "link=\"none\"", "spans by the evidence for their parent")           \
	X(LINK_HEADER, "links", "link=\"header\"", "spans by the evidence for their parent")       \
	X(LINK_SOCKET, "links", "link=\"socket\"", "spans by the evidence for their parent")       \
	X(LINK_THREAD, "links", "link=\"thread\"", "spans by the evidence for their parent")       \
	X(LINK_FORWARD, "links", "link=\"forward\"", "spans by the evidence for their parent")     \
	X(LINK_AMBIGUOUS, "links_ambiguous", "",                                                   \
		"spans left unlinked: several parents were possible")                              \
	X(LINK_UNSEEN, "links_unseen", "",                                                         \
		"calls for which a request was not looked for: others may have been missed")       \
	X(ENDS_EVICTED, "ends_evicted", "", "requests whose client's end was given up for room")   \
	X(ROUTES_FULL, "routes_full", "", "paths named without a route: clusterer at its limit")   \
	X(PROCS_SEEN, "processes_seen", "", "processes decided on")                                \
	X(PROCS_EVICTED, "processes_evicted", "", "processes forgotten: table full")               \
	X(PROCS_ENDED_UNSEEN, "processes_ended_unseen", "",                                        \
		"processes whose end was not told, found by looking")

enum counter {
#define X(id, name, label, help) COUNT_##id,
	COUNTERS(X)
#undef X
		COUNT_MAX,
};

struct counters {
	_Atomic uint64_t v[COUNT_MAX];
};

static inline void count_add(struct counters *c, enum counter which, uint64_t n)
{
	uint64_t old = atomic_load_explicit(&c->v[which], memory_order_relaxed);

	atomic_store_explicit(&c->v[which], old + n, memory_order_relaxed);
}

static inline void count(struct counters *c, enum counter which)
{
	count_add(c, which, 1);
}

static inline uint64_t count_get(const struct counters *c, enum counter which)
{
	return atomic_load_explicit(&c->v[which], memory_order_relaxed);
}
