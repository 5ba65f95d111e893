/* SPDX-License-Identifier: Apache-2.0 */
#include "conn/stream.h"

#include "weft/budget.h"
#include "weft/record.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static_assert(STREAM_OFF_TAIL == WEFT_OFF_TAIL, "the record's value");

/* A segment, or what is left of one, beyond the stream's position. */
struct held {
	uint64_t pos;
	uint64_t time_ns;
	struct slice caught; /* in a block: of block->bytes */
	uint64_t len;
	uint64_t off; /* of caught behind pos */
	uint32_t tid;
	uint32_t other;
	bool waits;
};

#define BLOCK_BYTES (PARSE_KEEP + WEFT_CAPTURE_BYTES)

struct stream_block {
	struct stream_block *next;
	unsigned n; /* held segments, by position, disjoint */
	uint32_t used; /* bytes that they take */
	struct held v[STREAM_HELD_MAX];
	char bytes[BLOCK_BYTES];
};

struct stream_pool {
	struct stream_block *free; /* given back, most recent first */
	unsigned fresh; /* v[fresh..] were never taken: their pages are not resident */
	unsigned used;
	unsigned capacity;
	struct stream_block v[];
};

int stream_pool_new(unsigned blocks, struct stream_pool **ret_pool)
{
	struct stream_pool *pool = calloc(1, sizeof(*pool) + blocks * sizeof(pool->v[0]));

	if (!pool)
		return -ENOMEM;
	pool->capacity = blocks;
	*ret_pool = pool;
	return 0;
}

void stream_pool_free(struct stream_pool *pool)
{
	free(pool);
}

unsigned stream_pool_used(const struct stream_pool *pool)
{
	return pool->used;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static struct stream_block *block_take(struct stream_pool *pool)
{
	struct stream_block *b = pool->free;

	if (b)
		pool->free = b->next;
	else if (pool->fresh < pool->capacity)
		b = &pool->v[pool->fresh++];
	else
		return NULL;
	pool->used++;
	b->n = 0;
	b->used = 0;
	return b;
}

static void block_give(struct stream_pool *pool, struct stream_block **b)
{
	if (!*b)
		return;
	(*b)->next = pool->free;
	pool->free = *b;
	pool->used--;
	*b = NULL;
}

void stream_release(struct stream *s, struct stream_pool *pool)
{
	block_give(pool, &s->kept);
	block_give(pool, &s->held);
	s->kept_len = 0;
}

void stream_mute(struct stream *s, struct stream_pool *pool)
{
	s->mute = true;
	if (s->feeding)
		return; /* the bytes may lie in a block */
	if (s->held && s->held->n) {
		const struct held *last = &s->held->v[s->held->n - 1];

		s->pos = max_u64(s->pos, last->pos + last->len);
	}
	stream_release(s, pool);
}

bool stream_holds(const struct stream *s)
{
	return s->held != NULL;
}

static void tell_hole(struct stream *s, struct stream_io *io, uint64_t pos, uint64_t n,
	uint64_t time_ns, uint32_t tid)
{
	struct feed in = {.pos = pos, .time_ns = time_ns, .tid = tid};

	io->tally.hole_bytes += n;
	s->feeding = true;
	io->ops->hole(io->ctx, &in, n);
	s->feeding = false;
}

/* Keeps what the consumer wants again; it may lie in s->kept already. */
static void keep(struct stream *s, struct stream_io *io, const struct feed *in)
{
	if (!in->bytes.len) {
		block_give(io->pool, &s->kept);
		s->kept_len = 0;
		return;
	}
	if (in->bytes.len > PARSE_KEEP) {
		s->mute = true; /* the consumer should have decided */
		return;
	}
	if (!s->kept)
		s->kept = block_take(io->pool);
	if (!s->kept) {
		io->tally.starved++;
		tell_hole(s, io, in->pos, in->bytes.len, in->time_ns, in->tid);
		return;
	}
	memmove(s->kept->bytes, in->bytes.ptr, in->bytes.len);
	s->kept_len = (uint32_t)in->bytes.len;
	s->kept_start = in->call_start;
}

static void advance(struct feed *in, size_t n)
{
	if (!n)
		return;
	in->bytes.ptr += n;
	in->bytes.len -= n;
	in->pos += n;
	in->call_start = false;
}

static uint64_t skip_some(struct stream *s, struct stream_io *io, uint64_t n)
{
	if (s->skip < n)
		n = s->skip;
	if (s->skip != SKIP_REST)
		s->skip -= n;
	io->tally.skipped_bytes += n;
	return n;
}

/* Offers bytes, kept ones included, until the consumer has no more use for them. */
static void offer(struct stream *s, struct stream_io *io, struct feed in)
{
	do {
		struct parsed parsed = {0};
		enum parse parse;

		s->feeding = true;
		parse = io->ops->feed(io->ctx, &in, &parsed);
		s->feeding = false;
		if (parse == PARSE_BAD || parsed.used > in.bytes.len)
			s->mute = true;
		if (s->mute)
			break;
		advance(&in, parsed.used);
		io->tally.fed_bytes += parsed.used;
		if (parse == PARSE_MORE)
			break;
		s->skip = parsed.skip;
		if (!parsed.used && !parsed.skip) {
			if (in.bytes.len)
				s->mute = true; /* it would never end */
			break;
		}
		advance(&in, skip_some(s, io, in.bytes.len));
		if (!in.bytes.len && (s->skip || !parsed.skip))
			break;
	} while (true);
	if (!s->mute)
		keep(s, io, &in);
	if (s->mute)
		stream_mute(s, io->pool);
}

/* The next bytes of the stream. */
static void take_bytes(struct stream *s, struct stream_io *io, struct feed in)
{
	size_t skipped;

	s->last_ns = in.time_ns;
	s->pos += in.bytes.len;
	skipped = skip_some(s, io, in.bytes.len);
	advance(&in, skipped);
	if (!in.bytes.len && (s->skip || !skipped))
		return;
	if (s->kept) {
		memcpy(s->kept->bytes + s->kept_len, in.bytes.ptr, in.bytes.len);
		in.pos -= s->kept_len;
		in.bytes = slice_of(s->kept->bytes, s->kept_len + in.bytes.len);
		in.call_start = s->kept_start;
	}
	offer(s, io, in);
}

/* The bytes up to `to` are missing. seen_ns: of the record that they belong to, or, where that was
 * lost, of the last one before it. */
static void take_missing(struct stream *s, struct stream_io *io, uint64_t to, uint64_t seen_ns,
	uint64_t shown_ns, uint32_t tid)
{
	while (s->pos < to && !s->mute) {
		uint64_t n = to - s->pos;
		uint64_t skipped = skip_some(s, io, n);

		if (skipped) {
			s->pos += skipped;
			if (!s->skip)
				offer(s, io,
					(struct feed){
						.pos = s->pos, .time_ns = seen_ns, .tid = tid});
			continue;
		}
		block_give(io->pool, &s->kept);
		s->kept_len = 0;
		s->pos = to;
		tell_hole(s, io, to - n, n, shown_ns, tid);
		if (s->mute)
			stream_mute(s, io->pool);
	}
	s->pos = max_u64(s->pos, to);
}

static void deliver(struct stream *s, struct stream_io *io, const struct held *p)
{
	struct slice rest = p->caught;
	struct feed in = {
		.time_ns = p->time_ns,
		.tid = p->tid,
		.other = p->other,
		.call_start = p->off == 0,
	};

	take_missing(s, io, p->pos + p->off, p->time_ns, p->time_ns, p->tid);
	while (rest.len && !s->mute) {
		in.pos = s->pos;
		in.bytes = slice_of(
			rest.ptr, rest.len < WEFT_CAPTURE_BYTES ? rest.len : WEFT_CAPTURE_BYTES);
		rest.ptr += in.bytes.len;
		rest.len -= in.bytes.len;
		take_bytes(s, io, in);
		in.call_start = false;
	}
	take_missing(s, io, p->pos + p->len, p->time_ns, p->time_ns, p->tid);
	s->last_ns = p->time_ns;
}

/* What is missing before pos will not be waited for. */
static void give_up(struct stream *s, struct stream_io *io, uint64_t pos, uint64_t time_ns)
{
	if (pos <= s->pos)
		return;
	s->gap = s->pos;
	s->gap_end = pos;
	take_missing(s, io, pos, s->last_ns, time_ns, 0);
}

static void held_remove(struct stream_block *b, unsigned i)
{
	const char *at = b->v[i].caught.ptr;
	uint32_t len = (uint32_t)b->v[i].caught.len;

	if (len) {
		memmove((char *)at, at + len, b->bytes + b->used - (at + len));
		b->used -= len;
		for (unsigned j = 0; j < b->n; j++)
			if (b->v[j].caught.len && b->v[j].caught.ptr > at)
				b->v[j].caught.ptr -= len;
	}
	b->n--;
	for (; i < b->n; i++)
		b->v[i] = b->v[i + 1];
}

static bool must_wait(const struct held *p, const struct stream_io *io)
{
	const struct stream *peer = io->peer;
	uint32_t behind;

	if (!p->waits || !peer)
		return false;
	behind = p->other - (uint32_t)peer->pos;
	if (peer->started && (int32_t)behind <= 0)
		return false;
	/* inside what is skipped most calls leave no record: there is nothing to wait for before
	 * its end */
	return !peer->started || behind >= peer->skip;
}

static void end_if_due(struct stream *s, struct stream_io *io)
{
	if (!s->has_fin || s->ended || s->pos < s->fin)
		return;
	s->ended = true;
	if (s->mute)
		return;
	block_give(io->pool, &s->kept);
	s->kept_len = 0;
	io->ops->eof(io->ctx, s->last_ns);
}

static void release_first(struct stream *s, struct stream_io *io)
{
	struct held first = s->held->v[0];

	give_up(s, io, first.pos, first.time_ns);
	if (s->mute)
		return;
	deliver(s, io, &first);
	if (!s->mute)
		held_remove(s->held, 0);
}

void stream_resume(struct stream *s, struct stream_io *io)
{
	while (s->held && s->held->n && s->held->v[0].pos == s->pos &&
		!must_wait(&s->held->v[0], io))
		release_first(s, io);
	if (s->held && !s->held->n)
		block_give(io->pool, &s->held);
	end_if_due(s, io);
}

static void release_all(struct stream *s, struct stream_io *io)
{
	while (s->held && s->held->n)
		release_first(s, io);
	stream_resume(s, io);
}

/* Two threads on one socket: neither record's bytes need be where its numbers say. So the whole of
 * what both claim is unknown. */
static void merge_conflicts(struct stream_block *b, struct held *p, struct stream_io *io)
{
	for (unsigned i = 0; i < b->n;) {
		const struct held *q = &b->v[i];
		uint64_t end = p->pos + p->len;

		if (q->pos + q->len <= p->pos || end <= q->pos) {
			i++;
			continue;
		}
		if (q->pos + q->len > end)
			end = q->pos + q->len;
		if (q->pos < p->pos)
			p->pos = q->pos;
		p->len = end - p->pos;
		p->caught.len = 0;
		p->off = 0;
		held_remove(b, i);
		io->tally.conflicts++;
		i = 0;
	}
}

static void hold(struct stream_block *b, const struct held *p)
{
	unsigned at = b->n;

	while (at && b->v[at - 1].pos > p->pos) {
		b->v[at] = b->v[at - 1];
		at--;
	}
	b->v[at] = *p;
	b->n++;
	if (!p->caught.len)
		return;
	memcpy(b->bytes + b->used, p->caught.ptr, p->caught.len);
	b->v[at].caught.ptr = b->bytes + b->used;
	b->used += (uint32_t)p->caught.len;
}

static bool hold_has_room(const struct stream_block *b, const struct held *p)
{
	return b->n < STREAM_HELD_MAX && p->caught.len <= sizeof(b->bytes) - b->used;
}

/* Beyond 1 GiB, TCP's largest window, nothing can lie behind: it is ahead. */
static uint64_t unwrap(uint64_t near, uint32_t seq)
{
	uint32_t ahead = seq - (uint32_t)near;

	return ahead >= 0xc0000000u ? near - (0u - ahead) : near + ahead;
}

static struct held held_of(const struct segment *seg, uint64_t pos)
{
	struct held p = {
		.pos = pos,
		.time_ns = seg->time_ns,
		.caught = seg->caught,
		.len = seg->len,
		.off = seg->off,
		.tid = seg->tid,
		.other = seg->other,
		.waits = seg->waits,
	};

	if (p.caught.len > p.len)
		p.caught.len = 0;
	if (seg->off == STREAM_OFF_TAIL)
		p.off = p.len - p.caught.len;
	if (!p.caught.len || p.off > p.len - p.caught.len) {
		p.caught.len = 0;
		p.off = 0;
	}
	return p;
}

/* Cuts off what lies before the stream's position. False: nothing is left. */
static bool cut_old(struct stream *s, struct held *p, struct stream_io *io)
{
	uint64_t end = p->pos + p->len;

	if (p->pos >= s->pos)
		return true;
	if (p->pos >= s->gap && end <= s->gap_end)
		io->tally.reordered++; /* too late */
	else
		io->tally.conflicts++;
	if (end <= s->pos)
		return false;
	p->pos = s->pos;
	p->len = end - s->pos;
	p->caught.len = 0;
	p->off = 0;
	return true;
}

void stream_start(struct stream *s, uint32_t seq)
{
	if (s->started)
		return;
	s->started = true;
	s->pos = (1ull << 32) + seq;
}

void stream_push(struct stream *s, const struct segment *seg, struct stream_io *io)
{
	struct held p;

	if (!seg->len)
		return;
	stream_start(s, seg->seq);
	if (s->early_fin) {
		s->early_fin = false;
		s->has_fin = true;
		s->fin = unwrap(s->pos, s->early_seq);
	}
	p = held_of(seg, unwrap(s->pos, seg->seq));
	if (s->mute) {
		s->pos = max_u64(s->pos, p.pos + p.len);
		return;
	}
	if (!cut_old(s, &p, io))
		return;
	if (s->held) {
		if (s->held->n && s->held->v[s->held->n - 1].pos > p.pos)
			io->tally.reordered++;
		merge_conflicts(s->held, &p, io);
	}
	/* a gap that the consumer skips anyway is no reason to wait */
	if (p.pos > s->pos && p.pos - s->pos <= s->skip && !s->held && !must_wait(&p, io))
		give_up(s, io, p.pos, p.time_ns);
	while (!s->mute && (p.pos > s->pos || must_wait(&p, io))) {
		if (!s->held)
			s->held = block_take(io->pool);
		if (s->held && hold_has_room(s->held, &p)) {
			hold(s->held, &p);
			stream_resume(s, io);
			return;
		}
		io->tally.starved += !s->held;
		if (!s->held || !s->held->n || p.pos < s->held->v[0].pos)
			break;
		release_first(s, io);
	}
	if (s->mute) {
		s->pos = max_u64(s->pos, p.pos + p.len);
		return;
	}
	give_up(s, io, p.pos, p.time_ns);
	deliver(s, io, &p);
	stream_resume(s, io);
}

void stream_flush(struct stream *s, uint64_t now_ns, struct stream_io *io)
{
	while (s->held && s->held->n) {
		uint64_t oldest = UINT64_MAX;

		for (unsigned i = 0; i < s->held->n; i++)
			if (s->held->v[i].time_ns < oldest)
				oldest = s->held->v[i].time_ns;
		if (now_ns < STREAM_HELD_NS || oldest > now_ns - STREAM_HELD_NS)
			break;
		release_first(s, io);
	}
	stream_resume(s, io);
}

void stream_fin(struct stream *s, uint32_t seq, struct stream_io *io)
{
	if (!s->started) {
		s->early_fin = true;
		s->early_seq = seq;
		return;
	}
	s->has_fin = true;
	s->fin = unwrap(s->pos, seq);
	stream_resume(s, io);
}

void stream_reach(struct stream *s, uint32_t seq, uint64_t time_ns, struct stream_io *io)
{
	uint64_t to;

	if (!s->started || s->mute)
		return;
	release_all(s, io);
	to = unwrap(s->pos, seq);
	if (to > s->pos)
		give_up(s, io, to, time_ns);
}

void stream_settle(struct stream *s, uint64_t time_ns, struct stream_io *io)
{
	release_all(s, io);
	if (s->has_fin)
		give_up(s, io, s->fin, time_ns);
	end_if_due(s, io);
}
