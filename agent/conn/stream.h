/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a connection as bytes with a place, some of which may be missing, none wrong.
 * Segments go in as the kernel recorded them; a consumer (a protocol's parser) gets them in order,
 * without a copy where nothing has to be kept. Pure: no clock, no counter, no allocation; what must
 * be kept lies in blocks of a pool that all streams share.
 */
#pragma once
#include "core/slice.h"
#include "proto/protocol.h"

#include <stdbool.h>
#include <stdint.h>

#define STREAM_HELD_MAX 16 /* segments waiting for an earlier one */
#define STREAM_HELD_NS  (20ull * 1000 * 1000) /* longest that one waits */
#define STREAM_OFF_TAIL 0xffffu /* segment.off: the caught bytes are the last */

struct stream_block;
struct stream_pool;

/* Each block holds about 33 KiB; one that was never taken takes no memory. 0 or -ENOMEM. */
int stream_pool_new(unsigned blocks, struct stream_pool **ret_pool);
void stream_pool_free(struct stream_pool *pool);
unsigned stream_pool_used(const struct stream_pool *pool);

/* What one call of the process moved. */
struct segment {
	uint32_t seq; /* of the first byte */
	uint32_t len; /* bytes moved; 0: ignored */
	uint16_t off; /* of the caught bytes behind seq, or STREAM_OFF_TAIL */
	struct slice caught;
	uint64_t time_ns;
	uint32_t tid;
	/* The opposite direction had reached `other` when this was recorded: wait for that, too
	 * (STREAM_HELD_NS at most). For receives: a thread's send may be recorded after another
	 * thread's receive of the answer to it, never the other way round. */
	bool waits;
	uint32_t other;
};

/* As in struct protocol, for one side. */
struct stream_ops {
	enum parse (*feed)(void *ctx, const struct feed *in, struct parsed *ret);
	void (*hole)(void *ctx, const struct feed *in, uint64_t n);
	void (*eof)(void *ctx, uint64_t time_ns);
};

struct stream_tally {
	uint64_t fed_bytes; /* used by the consumer */
	uint64_t hole_bytes; /* missing where the consumer needed them */
	uint64_t skipped_bytes; /* the consumer did not want them, seen or not */
	unsigned conflicts; /* segments over bytes that another one claimed, too */
	unsigned reordered; /* segments that came after a later one */
	unsigned starved; /* times that no block was free: the bytes became a hole */
};

/* What every call needs; made by the caller, who adds the tally to its counters. */
struct stream_io {
	struct stream_pool *pool;
	const struct stream_ops *ops;
	void *ctx;
	const struct stream *peer; /* the opposite direction; NULL: segment.waits is ignored */
	struct stream_tally tally; /* added to */
};

/* Zeroed is a valid stream that has seen nothing. */
struct stream {
	uint64_t pos; /* next byte to come, unwrapped from the TCP number */
	uint64_t skip; /* bytes from pos on that are not wanted */
	uint64_t fin; /* position of the end, if has_fin */
	uint64_t last_ns; /* of the latest byte's record */
	uint64_t gap, gap_end; /* the latest range that was given up waiting for */
	struct stream_block *kept; /* bytes before pos that the consumer wants again */
	struct stream_block *held; /* segments beyond pos */
	uint32_t kept_len;
	bool kept_start; /* a call began at the first kept byte */
	uint32_t early_seq; /* the end, if it was announced before any byte was seen */
	bool started, mute, feeding, has_fin, ended, early_fin;
};

/* Where a stream that has seen nothing begins; without this, at its first segment, so that the loss
 * of an earlier one goes unnoticed. From what a record says the opposite direction had reached:
 * safe for the receiving direction, and for the sending one of a server. No effect once started. */
void stream_start(struct stream *s, uint32_t seq);

void stream_push(struct stream *s, const struct segment *seg, struct stream_io *io);

/* After the peer moved on: delivers what waited for it. */
void stream_resume(struct stream *s, struct stream_io *io);

/* Something waits: stream_resume, stream_flush or stream_settle will have work. */
bool stream_holds(const struct stream *s);

/* Gives up on what is missing before segments that have waited STREAM_HELD_NS. */
void stream_flush(struct stream *s, uint64_t now_ns, struct stream_io *io);

/* The direction ends before seq. Once everything up to there was delivered: eof. A FIN can arrive
 * long before the process reads the bytes before it, so this alone declares no hole. */
void stream_fin(struct stream *s, uint32_t seq, struct stream_io *io);

/* The process has taken everything before seq, seen or not: what is missing up to there was only
 * not recorded (splice). Call before stream_settle. time_ns: when that became known, as in
 * struct feed of a hole. */
void stream_reach(struct stream *s, uint32_t seq, uint64_t time_ns, struct stream_io *io);

/* Nothing more will come (the socket is gone): missing bytes are holes, up to the end if known. */
void stream_settle(struct stream *s, uint64_t time_ns, struct stream_io *io);

/* From now on only the position is followed. May be called from within a consumer's callback; the
 * same happens when feed answers PARSE_BAD. */
void stream_mute(struct stream *s, struct stream_pool *pool);

/* Gives its blocks back. */
void stream_release(struct stream *s, struct stream_pool *pool);
