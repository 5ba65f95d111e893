/* SPDX-License-Identifier: Apache-2.0 */
/* A connection of one protocol fed through two streams, and a sink that checks the contract of
 * protocol.h. */
#pragma once
#include "conn/stream.h"
#include "conn/turns.h"
#include "core/counters.h"
#include "proto/exchange.h"
#include "proto/http1.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RIG_EXCHANGES 256
#define RIG_DONE      512

struct rig_result {
	enum exchange_end end;
	uint16_t status;
	bool tunnelled;
	char method[40], target[160], host[128], traceparent[140];
	uint64_t request_start_ns, request_end_ns, reply_start_ns, reply_end_ns;
	uint64_t request_body, reply_body;
	uint32_t request_tid, reply_tid;
	uint64_t request_pos;
	uint32_t messages[2]; /* gRPC's */
	bool unknown, has_rpc_status;
	uint32_t rpc_status;
};

struct rig;

struct rig_side {
	struct rig *rig;
	enum side side;
	struct stream stream;
	uint32_t seq;
	int32_t late; /* bytes of the other side that were moved before, but come to be known later
		       */
};

struct rig {
	struct sink sink; /* first: ops get its address */
	struct rig_side sides[2];
	struct turns turns; /* requests as what is received */
	struct stream_pool *pool;
	struct exchange_pool *exchanges;
	const struct protocol *proto;
	void *state;
	enum role role;
	uint64_t counts[COUNT_MAX];
	unsigned open, asked, done_total;
	bool full; /* open() has no room */
	bool bad, unsure;
	enum want want;
	struct stream_tally tally;
	struct exchange *live[RIG_EXCHANGES];
	uint8_t replied[RIG_EXCHANGES];
	struct rig_result done[RIG_DONE]; /* the first ones */
};

static inline unsigned rig_find(struct rig *rig, const struct exchange *ex)
{
	for (unsigned i = 0; i < RIG_EXCHANGES; i++)
		if (rig->live[i] == ex)
			return i;
	abort(); /* not open: done twice, or never handed out */
}

static inline struct exchange *rig_open(struct sink *sink)
{
	struct rig *rig = (struct rig *)sink;
	struct exchange *ex = rig->full ? NULL : exchange_take(rig->exchanges);
	unsigned i;

	if (!ex) {
		rig->counts[COUNT_REQUESTS_FULL]++;
		return NULL;
	}
	ex->role = rig->role;
	i = rig_find(rig, NULL);
	rig->live[i] = ex;
	rig->replied[i] = 0;
	rig->open++;
	return ex;
}

static inline void rig_asked(
	struct sink *sink, struct exchange *ex, const struct field *fields, unsigned n)
{
	struct rig *rig = (struct rig *)sink;

	rig_find(rig, ex);
	for (unsigned i = 0; i < n; i++)
		if (!fields[i].name.len)
			abort();
	rig->asked++;
}

static inline void rig_replied(
	struct sink *sink, struct exchange *ex, const struct field *fields, unsigned n)
{
	struct rig *rig = (struct rig *)sink;

	(void)fields;
	(void)n;
	if (rig->replied[rig_find(rig, ex)]++)
		abort();
}

static inline void rig_text(char *to, size_t cap, struct slice s)
{
	snprintf(to, cap, "%.*s", (int)s.len, s.ptr ? s.ptr : "");
}

static inline void rig_done(struct sink *sink, struct exchange *ex)
{
	struct rig *rig = (struct rig *)sink;
	unsigned i = rig_find(rig, ex);

	if (ex->end == END_OPEN || ex->text_used > EXCHANGE_TEXT)
		abort();
	if (ex->end == END_PAIRED && (!ex->http.status || !rig->replied[i]))
		abort();
	if (rig->done_total < RIG_DONE) {
		struct rig_result *r = &rig->done[rig->done_total];

		r->end = ex->end;
		r->status = ex->http.status;
		r->tunnelled = ex->http.tunnelled;
		rig_text(r->method, sizeof(r->method), ex->http.method);
		rig_text(r->target, sizeof(r->target), ex->http.target);
		rig_text(r->host, sizeof(r->host), ex->http.host);
		rig_text(r->traceparent, sizeof(r->traceparent), ex->http.traceparent);
		r->request_start_ns = ex->request_start_ns;
		r->request_end_ns = ex->request_end_ns;
		r->reply_start_ns = ex->reply_start_ns;
		r->reply_end_ns = ex->reply_end_ns;
		r->request_body = ex->http.request_body;
		r->reply_body = ex->http.reply_body;
		r->request_tid = ex->request_tid;
		r->reply_tid = ex->reply_tid;
		r->request_pos = ex->request_pos;
		r->messages[0] = ex->http.messages[0].count;
		r->messages[1] = ex->http.messages[1].count;
		r->unknown = ex->http.unknown;
		r->has_rpc_status = ex->http.has_rpc_status;
		r->rpc_status = ex->http.rpc_status;
	}
	rig->done_total++;
	rig->live[i] = NULL;
	rig->open--;
	memset(ex->text, 0xee, sizeof(ex->text));
	exchange_give(rig->exchanges, ex);
}

static inline void rig_cancel(struct sink *sink, struct exchange *ex)
{
	struct rig *rig = (struct rig *)sink;
	unsigned i = rig_find(rig, ex);

	rig->counts[COUNT_UNPAIRED_UNSURE]++;
	rig->live[i] = NULL;
	rig->open--;
	memset(ex->text, 0xee, sizeof(ex->text));
	exchange_give(rig->exchanges, ex);
}

static inline void rig_unsure(struct sink *sink, bool on)
{
	((struct rig *)sink)->unsure = on;
}

static inline void rig_want(struct sink *sink, enum want want)
{
	struct rig *rig = (struct rig *)sink;

	rig->want = want;
	if (want == WANT_NOTHING || want == WANT_TUNNEL || want == WANT_TUNNEL_TLS)
		for (int i = 0; i < 2; i++)
			stream_mute(&rig->sides[i].stream, rig->pool);
}

static inline void rig_become(
	struct sink *sink, const struct protocol *protocol, struct exchange *ex)
{
	struct rig *rig = (struct rig *)sink;

	rig->proto = protocol;
	free(rig->state);
	rig->state = calloc(1, protocol->state_size);
	protocol->take_over(rig->state, ex);
}

static inline void rig_count(struct sink *sink, unsigned counter, uint64_t n)
{
	((struct rig *)sink)->counts[counter] += n;
}

static inline enum parse rig_feed(void *ctx, const struct feed *in, struct parsed *ret)
{
	struct rig_side *side = ctx;
	struct feed turned = *in;
	enum parse parse;

	turned.turn_start =
		in->call_start &&
		turns_taken(&side->rig->turns, (enum weft_direction)side->side, (uint32_t)in->pos);
	parse = side->rig->proto->feed(
		side->rig->state, &side->rig->sink, side->side, &turned, ret);

	if (parse != PARSE_BAD && ret->used > in->bytes.len)
		abort();
	if (parse == PARSE_CONSUMED && in->bytes.len && !ret->used && !ret->skip)
		abort();
	if (parse == PARSE_BAD) {
		side->rig->bad = true;
		stream_mute(&side->rig->sides[!side->side].stream, side->rig->pool);
	}
	return parse;
}

static inline void rig_hole(void *ctx, const struct feed *in, uint64_t n)
{
	struct rig_side *side = ctx;

	side->rig->proto->hole(side->rig->state, &side->rig->sink, side->side, in, n);
}

static inline void rig_eof(void *ctx, uint64_t time_ns)
{
	struct rig_side *side = ctx;

	side->rig->proto->eof(side->rig->state, &side->rig->sink, side->side, time_ns);
}

static inline struct rig *rig_of(const struct protocol *protocol, enum role role)
{
	static const struct sink_ops ops = {rig_open, rig_asked, rig_replied, rig_done, rig_want,
		rig_cancel, rig_unsure, rig_become, rig_count};
	struct rig *rig = calloc(1, sizeof(*rig));

	if (!rig || stream_pool_new(8, &rig->pool) < 0 ||
		exchange_pool_new(RIG_EXCHANGES, &rig->exchanges) < 0)
		abort();
	rig->sink.ops = &ops;
	rig->role = role;
	rig->proto = protocol;
	rig->state = calloc(1, protocol->state_size);
	for (int i = 0; i < 2; i++) {
		rig->sides[i].rig = rig;
		rig->sides[i].side = (enum side)i;
		rig->sides[i].seq = i ? 7000 : 1000;
	}
	return rig;
}

static inline struct rig *rig_new(enum role role)
{
	return rig_of(&http1, role);
}

static inline struct stream_io rig_io(struct rig *rig, enum side side)
{
	static const struct stream_ops ops = {rig_feed, rig_hole, rig_eof};

	return (struct stream_io){.pool = rig->pool, .ops = &ops, .ctx = &rig->sides[side]};
}

static inline void rig_tally(struct rig *rig, const struct stream_io *io)
{
	rig->tally.fed_bytes += io->tally.fed_bytes;
	rig->tally.hole_bytes += io->tally.hole_bytes;
	rig->tally.skipped_bytes += io->tally.skipped_bytes;
}

/* One call that moved len bytes, of which caught were copied (from its start, or its last ones). */
static inline void rig_call(struct rig *rig, enum side side, const void *caught, size_t n,
	size_t len, bool tail, uint64_t time_ns, uint32_t tid)
{
	struct stream_io io = rig_io(rig, side);
	struct segment seg = {
		.seq = rig->sides[side].seq,
		.len = (uint32_t)len,
		.off = tail ? STREAM_OFF_TAIL : 0,
		.caught = slice_of(caught, n),
		.time_ns = time_ns,
		.tid = tid,
		.other = rig->sides[!side].seq + (uint32_t)rig->sides[side].late,
	};

	rig->sides[side].seq += (uint32_t)len;
	turns_note(&rig->turns, (enum weft_direction)side, seg.seq, seg.len, seg.other);
	stream_push(&rig->sides[side].stream, &seg, &io);
	rig_tally(rig, &io);
}

static inline void rig_say(struct rig *rig, enum side side, const char *bytes, uint64_t time_ns)
{
	rig_call(rig, side, bytes, strlen(bytes), strlen(bytes), false, time_ns, 1);
}

static inline void rig_lost(struct rig *rig, enum side side, size_t n, uint64_t time_ns)
{
	rig_call(rig, side, NULL, 0, n, false, time_ns, 1);
}

static inline void rig_fin(struct rig *rig, enum side side)
{
	struct stream_io io = rig_io(rig, side);

	stream_fin(&rig->sides[side].stream, rig->sides[side].seq, &io);
	rig_tally(rig, &io);
}

/* The connection is over; every exchange must have been given back. */
static inline void rig_close(struct rig *rig, enum exchange_end how, int error, uint64_t time_ns)
{
	for (int i = 0; i < 2; i++) {
		struct stream_io io = rig_io(rig, (enum side)i);

		stream_settle(&rig->sides[i].stream, time_ns, &io);
		rig_tally(rig, &io);
	}
	rig->proto->close(rig->state, &rig->sink, how, error, time_ns);
	for (int i = 0; i < 2; i++)
		stream_release(&rig->sides[i].stream, rig->pool);
	if (rig->open || exchange_pool_used(rig->exchanges) || stream_pool_used(rig->pool))
		abort();
	if (rig->counts[COUNT_REQUESTS] != rig->done_total + rig->counts[COUNT_REQUESTS_FULL] +
						   rig->counts[COUNT_UNPAIRED_UNSURE] ||
		rig->asked != rig->done_total)
		abort();
}

static inline void rig_free(struct rig *rig)
{
	stream_pool_free(rig->pool);
	exchange_pool_free(rig->exchanges);
	free(rig->state);
	free(rig);
}
