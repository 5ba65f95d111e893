/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces: gives each exchange its place (trace, span id, parent) on evidence only, and lets its
 * span go when that place is settled. One thread.
 *
 * The rules, strongest evidence first. A server's request: the client's record of the very same
 * bytes on this node (`socket`), else the traceparent it carried (`header`). A client's request: a
 * traceparent whose trace is that of an open request of its process (`header`); the request that
 * the thread received and has not answered, if the thread is proven to have one request at a time
 * (`thread`, see tasks.h); an open request of the process that was passed on (`forward`); the only
 * open request of the process, if that kind of call has proven to come from requests (`thread`).
 * Where several fit, none does. A link that needs a proof, or the other end's record, waits for
 * it; the span is held meanwhile, and goes out with what is known when there is no more room to
 * wait.
 */
#pragma once
#include "core/counters.h"
#include "proto/exchange.h"
#include "span/span.h"
#include "trace/options.h"

struct trace;

/* The span is complete; its slices die with the call. */
typedef void (*trace_release)(void *ctx, struct span *span);

struct trace_sizes {
	unsigned max_exchanges, max_processes, max_connections;
};

/* counters is borrowed; options are copied. now_ns: CLOCK_MONOTONIC. 0 or -errno. */
int trace_new(const struct trace_options *options, const struct trace_sizes *sizes, uint64_t now_ns,
	struct counters *counters, trace_release release, void *ctx, struct trace **ret_trace);
void trace_free(struct trace *trace);
void trace_reload(struct trace *trace, const struct sampler_options *sampling);

/* A process was forked or executed just now; or is gone. */
void trace_born(struct trace *trace, uint32_t pid);
/* It began to listen. */
void trace_listens(struct trace *trace, uint32_t pid, uint64_t time_ns);
void trace_exit(struct trace *trace, uint32_t pid);

/* A thread moved bytes. Gives their time: a send's is when its last segment left (age_ns before
 * time_ns, UINT32_MAX: not known), if that lies after the thread's previous record. */
uint64_t trace_moved(
	struct trace *trace, uint32_t pid, uint32_t tid, uint64_t time_ns, uint32_t age_ns);

/* Something was not seen that may have been a request to this process, or, pid 0, to any; see
 * parents.h. */
void trace_unseen(struct trace *trace, uint32_t pid, uint64_t time_ns);
/* Connections are left out: any process may have requests that are not seen. */
void trace_partial(struct trace *trace, uint64_t time_ns);
/* A connection that this process serves carries what is not understood (from now on, or no longer):
 * other requests, maybe, or, in a tunnel, at least reasons for calls. */
void trace_opaque(struct trace *trace, uint32_t pid, bool tunnel, bool on);

/* A thread called connect(). The answer goes into the exchange (connect_evidence). */
uint64_t trace_connecting(struct trace *trace, uint32_t pid, uint32_t tid, uint64_t time_ns);
/* It succeeded: requests from this address and port will be seen at their client's end. */
void trace_connected(struct trace *trace, const struct endpoints *ends);
/* A client's connection is gone. */
void trace_gone(struct trace *trace, const struct endpoints *ends);

/* An exchange has its request's head. fields die with the call; sets ex->node. Of one that is left
 * out, neither its own span goes out nor those that hang from it. */
void trace_asked(struct trace *trace, struct exchange *ex, const struct field *fields, unsigned n);

/* An exchange is over: adjusts its times to those of the other end, before its span is built. */
void trace_done(struct trace *trace, struct exchange *ex);
/* Its span (built, without identity) goes out, now or when its trace is settled. Ends the
 * exchange's hold on its node. */
void trace_span(struct trace *trace, struct exchange *ex, struct span *span);

/* Lets go what has settled or waited long enough. Call every few milliseconds while trace_held;
 * all: everything. */
void trace_tick(struct trace *trace, uint64_t now_ns, bool all);
unsigned trace_held(const struct trace *trace); /* any thread */
