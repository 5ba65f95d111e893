/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer that checks a stream against what was really sent: byte i of the stream is
 * model_byte(i). It uses, keeps and skips at random, and aborts at a wrong byte or a wrong place.
 */
#pragma once
#include "conn/stream.h"

#include <stdlib.h>

struct model {
	uint64_t base; /* position of byte 0 */
	uint64_t pos; /* next position that the consumer expects */
	uint64_t seed;
	uint64_t ended;
	bool greedy; /* uses all bytes at once */
	size_t keep; /* bytes it has kept */
};

static inline char model_byte(uint64_t i)
{
	return (char)(i * 131 + (i >> 8) * 17);
}

static inline unsigned model_random(struct model *m, unsigned n)
{
	m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(m->seed >> 33) % n;
}

static inline void model_expect(bool ok)
{
	if (!ok)
		abort();
}

static inline enum parse model_feed(void *ctx, const struct feed *in, struct parsed *ret)
{
	struct model *m = ctx;

	model_expect(in->pos == m->pos && in->bytes.len >= m->keep);
	for (size_t i = 0; i < in->bytes.len; i++)
		model_expect(in->bytes.ptr[i] == model_byte(in->pos + i - m->base));
	m->keep = 0;
	*ret = (struct parsed){.used = in->bytes.len};
	if (!m->greedy && in->bytes.len) {
		ret->used = model_random(m, (unsigned)in->bytes.len + 1);
		if (in->bytes.len - ret->used < PARSE_KEEP && model_random(m, 3) == 0) {
			m->keep = in->bytes.len - ret->used;
			m->pos += ret->used;
			return PARSE_MORE;
		}
		if (!ret->used || model_random(m, 3) == 0)
			ret->skip = 1 + model_random(m, model_random(m, 4) ? 20 : 3000);
	}
	m->pos += ret->used + ret->skip;
	return PARSE_CONSUMED;
}

static inline void model_hole(void *ctx, const struct feed *in, uint64_t n)
{
	struct model *m = ctx;

	/* what was kept before the hole is dropped; or it is the hole, where no block was free */
	if (in->pos != m->pos)
		model_expect(in->pos == m->pos + m->keep);
	m->keep = 0;
	m->pos = in->pos + n;
}

static inline void model_eof(void *ctx, uint64_t time_ns)
{
	struct model *m = ctx;

	(void)time_ns;
	m->ended++;
}

static inline struct stream_io model_io(struct model *m, struct stream_pool *pool)
{
	static const struct stream_ops ops = {model_feed, model_hole, model_eof};

	return (struct stream_io){.pool = pool, .ops = &ops, .ctx = m};
}

static inline void model_push(struct stream *s, struct stream_io *io, struct model *m,
	uint64_t from, uint32_t len, uint16_t off, uint32_t caught, uint64_t time_ns)
{
	uint64_t at = off == STREAM_OFF_TAIL ? from + len - caught : from + off;
	char *bytes = malloc(caught ? caught : 1);
	struct segment seg = {
		.seq = (uint32_t)(m->base + from),
		.len = len,
		.off = off,
		.caught = slice_of(bytes, caught),
		.time_ns = time_ns,
		.tid = 1,
	};

	for (uint32_t i = 0; i < caught; i++)
		bytes[i] = model_byte(at + i);
	stream_push(s, &seg, io);
	free(bytes);
}
