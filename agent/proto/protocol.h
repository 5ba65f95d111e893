/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a protocol is: one file that exports one const struct protocol, listed in proto/table.c.
 *
 * A parser is a pure function of bytes and its own state: it never logs, reads a clock, or knows
 * sockets or configuration. The connection's streams feed it; it answers through a struct sink.
 * Bytes come from someone else's network and may be anything.
 */
#pragma once
#include "core/slice.h"
#include "proto/exchange.h"

#include <stdbool.h>
#include <stdint.h>

/* A stream's direction by what it carries. */
enum side { SIDE_REQUEST = 0, SIDE_REPLY = 1 };

enum detect {
	DETECT_NO, /* not this protocol */
	DETECT_MORE, /* a prefix of something that may be */
	DETECT_REQUEST, /* bytes of a client */
	DETECT_REPLY, /* bytes of a server */
};

enum want { /* what the parser still needs of this connection; see weft/budget.h */
	WANT_HEADS,
	WANT_CALLS, /* the beginning of every call: messages stand anywhere */
	WANT_CALLS_TUNNEL, /* the same; and one of its streams has become a tunnel */
	WANT_NOTHING,
	WANT_TUNNEL, /* nothing, for it has become a tunnel */
	WANT_TUNNEL_TLS, /* the same, in which its client may begin TLS */
};

struct protocol;
struct sink;

/* What a parser calls. All are set. */
struct sink_ops {
	/* A request's head is complete: an exchange with conn, role, ends and pid set, that the
	 * caller fills; NULL when there is no room (the callee counted it). */
	struct exchange *(*open)(struct sink *sink);
	/* The exchange has its request head (times, tid, text set). fields die with the call. */
	void (*asked)(
		struct sink *sink, struct exchange *ex, const struct field *fields, unsigned n);
	/* A final reply's head arrived; same lifetime. */
	void (*replied)(
		struct sink *sink, struct exchange *ex, const struct field *fields, unsigned n);
	/* The exchange is over, ex->end says how; ownership goes back. */
	void (*done)(struct sink *sink, struct exchange *ex);
	/* How much of the connection is still wanted. */
	void (*want)(struct sink *sink, enum want want);
	/* What was opened, and never asked, is no request after all. */
	void (*cancel)(struct sink *sink, struct exchange *ex);
	/* From now on, or no longer: there may be requests that are not told of. A connection that
	 * was joined begins so. */
	void (*unsure)(struct sink *sink, bool on);
	/* What follows, in both directions, is another protocol, for which the connection has no
	 * parser state yet; ex, NULL for none, is a request of this one that it will answer. The
	 * state of this one is not used again, and holds nothing open. */
	void (*become)(struct sink *sink, const struct protocol *protocol, struct exchange *ex);
	/* Something to count: see core/counters.h (COUNT_BAD_REQUEST, COUNT_REPLY_UNPAIRED, …). */
	void (*count)(struct sink *sink, unsigned counter, uint64_t n);
};

struct sink {
	const struct sink_ops *ops;
};

/* Consecutive bytes of one stream. */
struct feed {
	struct slice bytes; /* may be empty: a skip has ended exactly here */
	uint64_t pos; /* of the first byte; counts on from a TCP sequence number */
	uint64_t time_ns; /* of the record that brought the last byte */
	uint32_t tid; /* its thread */
	uint32_t other; /* low half of the other side's position at that call */
	bool call_start; /* a call of the process began at pos: where one may resynchronise */
	bool turn_start; /* and it is the first one since the other side's latest (conn/turns.h) */
};

enum parse {
	PARSE_CONSUMED, /* `used` bytes are done with; then `skip` more, holes or not, are not
			   wanted */
	PARSE_MORE, /* `used` bytes are done with; the rest again, with more behind it */
	PARSE_BAD, /* not this protocol (any more): nothing more is fed */
};

struct parsed {
	size_t used;
	uint64_t skip; /* SKIP_REST: all that still comes */
};

#define SKIP_REST  UINT64_MAX
#define PARSE_KEEP (16u * 1024 + 512) /* most bytes a parser may leave unused with PARSE_MORE */

struct protocol {
	const char *name; /* as in the metrics and the log */
	size_t state_size; /* of the parser's state, zeroed before init; one a connection */

	/* Judges the first bytes of a stream. Pure. */
	enum detect (*detect)(struct slice bytes);

	/* Called after init for a connection whose first bytes are not known to begin anything: a
	 * message may be under way in either direction. */
	void (*join)(void *state);

	/* No message is under way, surely. */
	bool (*idle)(const void *state);

	/* A frame begins on this side right where what is to be skipped ends. NULL: there are none.
	 */
	bool (*aligned)(const void *state, enum side side);

	/* Called after init for a connection that another protocol leaves to this one; see become
	 * of struct sink_ops. NULL: none does. */
	void (*take_over)(void *state, struct exchange *ex);

	/* Called with the bytes of a side, in order. After PARSE_CONSUMED with bytes left the
	 * caller calls again; after a skip it calls with what follows, or with no bytes where the
	 * skip ends at the end of a record, so that times are exact. bytes.len never exceeds
	 * PARSE_KEEP + one record. A parser that has PARSE_KEEP bytes and still wants MORE must
	 * decide for BAD. */
	enum parse (*feed)(void *state, struct sink *sink, enum side side, const struct feed *in,
		struct parsed *ret);

	/* n bytes of a side are missing at pos, none of them inside a skip. What was unused before
	 * the hole is dropped. in->bytes is empty, in->time_ns is that of the record that showed
	 * the hole. */
	void (*hole)(
		void *state, struct sink *sink, enum side side, const struct feed *in, uint64_t n);

	/* A side ended with a FIN, all its bytes were fed. time_ns: of the side's last byte. */
	void (*eof)(void *state, struct sink *sink, enum side side, uint64_t time_ns);

	/* The connection is over: every open exchange is given to done() with this end
	 * (END_CLOSED…), but one whose reply is only delimited by the close and had its head is
	 * END_PAIRED if `how` is END_CLOSED. The state is not used again. time_ns: of the close. */
	void (*close)(
		void *state, struct sink *sink, enum exchange_end how, int error, uint64_t time_ns);
};

/* Every protocol, in the order of detection. */
extern const struct protocol *const PROTOCOLS[];
extern const unsigned PROTOCOLS_COUNT;
