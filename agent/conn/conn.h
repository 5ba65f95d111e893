/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: each with two byte streams, a protocol once it is known, and the exchanges that the
 * protocol finds. A fixed number; when all are taken, one that has been quiet is forgotten.
 */
#pragma once
#include "core/counters.h"
#include "proto/exchange.h"
#include "proto/protocol.h"
#include "weft/record.h"

struct capture;
struct conns;
struct listeners;
struct procs;

/* What happens on connections; all are set. */
struct conns_ops {
	/* A traced process called connect(); the answer is kept for the connection's first request.
	 */
	uint64_t (*connecting)(void *ctx, uint32_t pid, uint32_t tid, uint64_t time_ns);
	/* It succeeded. */
	void (*connected)(void *ctx, const struct endpoints *ends);
	void (*asked)(void *ctx, struct exchange *ex, const struct field *fields, unsigned n);
	void (*replied)(void *ctx, struct exchange *ex, const struct field *fields, unsigned n);
	/* Over; the exchange is given back right after. */
	void (*done)(void *ctx, struct exchange *ex);
	/* Something that may have been a request to the process was missed. */
	void (*unseen)(void *ctx, uint32_t pid, uint64_t time_ns);
	/* A connection that the process serves carries what is not understood, or a tunnel; from
	 * now on, or no longer. */
	void (*opaque)(void *ctx, uint32_t pid, bool tunnel, bool on);
	/* A connection is TLS: whether the process' library may be read, or may turn out to be. */
	bool (*readable)(void *ctx, uint32_t pid);
	/* One was not, nor is it going to be. */
	void (*unread)(void *ctx, uint32_t pid);
	/* A client's connection will bring no more exchanges. */
	void (*gone)(void *ctx, const struct endpoints *ends);
};

struct conns_options {
	uint32_t self; /* our own pid: connections from it are not followed, at either end */
	unsigned max_connections;
	unsigned max_exchanges;
	bool unix_ends_unseen; /* the hooks do not tell of every Unix socket that is closed */
};

/* Borrows everything. 0 or -ENOMEM. */
int conns_new(const struct conns_options *options, struct procs *procs, struct listeners *listeners,
	struct capture *capture, struct counters *counters, const struct conns_ops *ops, void *ctx,
	struct conns **ret_conns);
void conns_free(struct conns *conns);

void conns_on_open(struct conns *conns, const struct weft_open *record);
/* time_ns: of the bytes, which for a send can be earlier than the record's. */
void conns_on_data(struct conns *conns, const struct weft_data *record, uint64_t time_ns);
void conns_on_shut(struct conns *conns, const struct weft_shut *record);
void conns_on_close(struct conns *conns, const struct weft_shut *record);

/* Gives up on bytes that are missing for too long. Call every few milliseconds while conns_waiting.
 */
void conns_tick(struct conns *conns, uint64_t now_ns);
bool conns_waiting(const struct conns *conns);

/* Says which connections carry TLS that is not read. Call every few seconds. */
void conns_look_sealed(struct conns *conns, uint64_t now_ns);

/* Calls were missed. Where bytes are counted, for want of numbers, nothing fits any more: such
 * connections start anew, in their middle. */
void conns_missed(struct conns *conns, uint64_t now_ns);

/* Ends of connections were lost: those that stay quiet for minutes from now on are taken for ended,
 * a few a tick. One that lives after all is announced again by its next bytes. */
void conns_doubt(struct conns *conns, uint64_t now_ns);

/* Selection changed: ask again which processes are traced. */
void conns_reselect(struct conns *conns);

/* Ends every open exchange with END_SHUTDOWN. */
void conns_shutdown(struct conns *conns, uint64_t now_ns);

unsigned conns_count(const struct conns *conns);
unsigned conns_exchanges(const struct conns *conns);
