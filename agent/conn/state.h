/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the stage: what conn.c (the life of connections) and parse.c (their bytes) share. */
#pragma once
#include "conn/conn.h"
#include "conn/paths.h"
#include "conn/stream.h"
#include "conn/turns.h"
#include "core/table.h"

#define WAITING_MAX 256 /* connections with something held back that are looked after each tick */

/* What a server's connection carries that is not understood. */
enum conn_hides { HIDES_NOTHING, HIDES_REQUESTS, HIDES_TUNNEL };

struct conn {
	uint64_t id;
	struct conns *all;
	const struct protocol *proto;
	void *state;
	struct stream streams[2]; /* by weft_direction */
	struct endpoints ends;
	uint64_t connect_ns, connect_evidence;
	uint64_t received_ns; /* time of the latest receive */
	uint64_t latest_ns; /* time of the latest record */
	uint32_t connect_pid, connect_tid;
	uint32_t pid; /* of the latest record */
	uint32_t other; /* of the latest record */
	uint32_t epoch; /* of the selection that pid was checked against */
	enum role role;
	enum conn_hides hides;
	uint32_t hides_pid; /* from whom */
	uint16_t tries;
	struct turns turns;
	enum weft_direction quiet; /* in which calls leave no record, up to quiet_until */
	uint64_t quiet_until; /* a position; 0: none */
	bool numbered; /* positions are what the other end sees as well */
	enum weft_direction latest; /* of the latest record */
	bool polled, nonblocking; /* at the latest record with bytes */
	bool given_up; /* not understood, or a tunnel: no more bytes wanted */
	bool unselected; /* nor, for now, of this one */
	bool own; /* weft's */
	bool selected; /* pid was traced at epoch */
	bool asked_once;
	bool heard; /* there was a record with bytes */
	bool joined; /* what came before was not seen, and something may have been under way */
	bool shut, peer_first; /* a direction has ended; the peer's first */
	bool waiting; /* in the list of those */
	bool touched; /* since the search for a victim last came by */
};

struct conns {
	struct sink sink; /* first: callbacks get its address */
	struct table by_id;
	struct table own; /* weft's own connections, by their client's end */
	uint32_t self;
	bool unix_ends_unseen;
	uint32_t unix_hand; /* how far the search for ended ones has come */
	struct paths paths;
	struct conn *v;
	uint32_t *free;
	uint32_t free_count, capacity, hand;
	char *states;
	size_t state_size;
	struct stream_pool *blocks;
	struct exchange_pool *exchanges;
	struct conn *current; /* whose bytes are being parsed */
	struct conn *waiting[WAITING_MAX];
	unsigned waiting_count;
	uint64_t doubt_ns; /* the ends of those without a record since then may be lost; 0: no */
	uint64_t doubt_next_ns; /* the same, when that doubt is settled */
	uint32_t doubt_at; /* how far the search for them has come */
	uint32_t epoch;
	struct procs *procs;
	struct listeners *listeners;
	struct capture *capture;
	struct counters *counters;
	const struct conns_ops *ops;
	void *ctx;
	_Atomic unsigned in_use, open;
};

/* One stream of a connection: the ctx of its callbacks. */
struct flow {
	struct conn *conn;
	enum weft_direction dir;
};

/* What a call into the stream needs; flow must outlive it. */
struct stream_io conn_io(struct flow *flow);

/* What the protocols call. */
extern const struct sink_ops CONN_SINK;

void conn_hides(struct conn *conn, enum conn_hides what);

/* No more bytes of it are wanted. */
void conn_give_up(struct conn *conn);
