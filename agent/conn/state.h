/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the stage: what conn.c (the life of connections) and parse.c (their bytes) share. */
#pragma once
#include "conn/conn.h"
#include "conn/paths.h"
#include "conn/stream.h"
#include "conn/turns.h"
#include "core/clock.h"
#include "core/table.h"

#define OLDER_REQUESTS 2 /* of a server: a joined client does not tell of the first */
#define WAITING_MAX    256 /* connections with something held back that are looked after each tick */

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
	bool calls; /* the beginning of every call is wanted */
	bool followed[2]; /* the programs follow frames, by direction */
	bool given_up; /* not understood, or a tunnel: no more bytes wanted */
	bool unselected; /* nor, for now, of this one */
	bool own; /* weft's */
	bool selected; /* pid was traced at epoch */
	bool asked_once;
	bool heard; /* there was a record with bytes */
	bool joined; /* what came before was not seen, and something may have been under way */
	uint8_t older; /* its beginning was not seen: so many of its next requests say so */
	bool shut, peer_first; /* a direction has ended; the peer's first */
	bool waiting; /* in the list of those */
	bool tunnel; /* asked for and granted; nothing was sent through it yet */
	bool sealed; /* it is TLS, and nothing of what that carries has come */
	bool opened; /* it is TLS, and its bytes are what that carries */
	bool unread; /* it was said that it is not to be read */
	uint64_t sealed_ns; /* since when it is */
	struct secure secure; /* if opened */
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
	struct paths names; /* of servers, as their clients ask for them in TLS */
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

/* Which side of its exchanges a direction carries. */
enum side conn_side(const struct conn *conn, enum weft_direction dir);

void conn_hides(struct conn *conn, enum conn_hides what);

/* Says again what is wanted, for another connection can have taken the slot; and, where the
 * programs do not follow the frames of a direction, where one begins: of the other direction's
 * first, whose call is likely to be the next. followed: those of this record's. */
void conn_follow(struct conn *conn, enum weft_direction dir, bool followed);

/* A record's bytes, as seg or, of pieces, a segment for each: what follows a piece up to the next
 * one was not copied. */
void conn_push(struct conn *conn, const struct weft_data *record, struct segment *seg,
	struct stream_io *io);

/* Ends what is open on it, and forgets its streams. */
void conn_finish(struct conn *conn, enum exchange_end how, int error, uint64_t time_ns);

/* Follows it again from its next call, of which nothing is known. */
void conn_restart(struct conn *conn);

/* Its bytes are TLS. */
void conn_seal(struct conn *conn);

/* Its protocol may have been found: HTTP/2 is only spoken where it was agreed on (RFC 9113, 3.2),
 * which TLS 1.3 does not show. */
void conn_agreed(struct conn *conn);

/* Takes note of what the record tells of; whether its bytes are to be parsed. */
bool conn_layer(struct conn *conn, const struct weft_data *record);

/* It ends. */
void conn_sealed_end(struct conn *conn);

/* No more bytes of it are wanted. */
void conn_give_up(struct conn *conn);
