/* SPDX-License-Identifier: Apache-2.0 */
#include "stream_model.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Writes down what it is told; does what it is told to. */
struct script {
	char log[2000];
	size_t n;
	struct parsed next[8]; /* answers to the first feeds; then all is used */
	bool more[8];
	unsigned at;
};

static void note(struct script *s, const char *what, const struct feed *in, size_t n)
{
	s->n += (size_t)snprintf(s->log + s->n, sizeof(s->log) - s->n, "%s%s%.*s@%u+%zu t%u;", what,
		in->call_start ? "^" : "", (int)in->bytes.len, in->bytes.len ? in->bytes.ptr : "",
		(unsigned)in->pos, n, (unsigned)in->time_ns);
}

static enum parse script_feed(void *ctx, const struct feed *in, struct parsed *ret)
{
	struct script *s = ctx;
	unsigned i = s->at++;

	note(s, "F", in, in->bytes.len);
	ret->used = in->bytes.len;
	if (i >= 8)
		return PARSE_CONSUMED;
	if (s->next[i].used || s->next[i].skip || s->more[i])
		*ret = s->next[i];
	return s->more[i] ? PARSE_MORE : PARSE_CONSUMED;
}

static void script_hole(void *ctx, const struct feed *in, uint64_t n)
{
	note(ctx, "H", in, n);
}

static void script_eof(void *ctx, uint64_t time_ns)
{
	struct script *s = ctx;

	s->n += (size_t)snprintf(s->log + s->n, sizeof(s->log) - s->n, "E t%u;", (unsigned)time_ns);
}

static const struct stream_ops SCRIPT = {script_feed, script_hole, script_eof};

struct bench {
	struct stream stream;
	struct stream_pool *pool;
	struct script script;
	struct stream_io io;
};

static void bench_init(struct bench *b, unsigned blocks)
{
	memset(b, 0, sizeof(*b));
	cr_assert_eq(stream_pool_new(blocks, &b->pool), 0);
	b->io = (struct stream_io){.pool = b->pool, .ops = &SCRIPT, .ctx = &b->script};
}

static void push(
	struct bench *b, uint32_t seq, const char *bytes, uint32_t len, uint16_t off, uint64_t t)
{
	struct segment seg = {.seq = seq,
		.len = len,
		.off = off,
		.caught = slice_str(bytes),
		.time_ns = t,
		.tid = 1};

	stream_push(&b->stream, &seg, &b->io);
}

static void expect(struct bench *b, const char *log)
{
	cr_assert_str_eq(b->script.log, log);
	b->script.n = 0;
	b->script.log[0] = '\0';
}

static void bench_end(struct bench *b)
{
	stream_release(&b->stream, b->pool);
	cr_assert_eq(stream_pool_used(b->pool), 0);
	stream_pool_free(b->pool);
}

Test(stream, in_order_and_kept)
{
	struct bench b;

	bench_init(&b, 2);
	b.script.more[1] = true;
	b.script.next[1].used = 1;
	push(&b, 10, "abc", 3, 0, 1);
	push(&b, 13, "def", 3, 0, 2);
	push(&b, 16, "gh", 2, 0, 3);
	expect(&b, "F^abc@10+3 t1;F^def@13+3 t2;Fefgh@14+4 t3;");
	bench_end(&b);
}

Test(stream, parts_that_were_not_copied)
{
	struct bench b;

	bench_init(&b, 2);
	push(&b, 0, "ab", 5, 0, 1);
	push(&b, 5, "yz", 5, STREAM_OFF_TAIL, 2);
	push(&b, 10, "mn", 6, 2, 3);
	push(&b, 16, "", 4, 0, 4);
	expect(&b, "F^ab@0+2 t1;H@2+3 t1;H@5+3 t2;Fyz@8+2 t2;H@10+2 t3;Fmn@12+2 t3;H@14+2 "
		   "t3;H@16+4 t4;");
	cr_assert_eq(b.io.tally.hole_bytes, 14);
	bench_end(&b);
}

Test(stream, skips)
{
	struct bench b;

	bench_init(&b, 2);
	b.script.next[0] = (struct parsed){.used = 1, .skip = 9}; /* to the end of a record */
	b.script.next[2] = (struct parsed){.used = 1, .skip = 6}; /* into what was not copied */
	push(&b, 0, "abc", 5, 0, 1);
	push(&b, 5, "", 5, 0, 2);
	push(&b, 10, "defg", 10, 0, 3);
	expect(&b, "F^abc@0+3 t1;F@10+0 t2;F^defg@10+4 t3;F@17+0 t3;H@17+3 t3;");
	cr_assert_eq(b.io.tally.skipped_bytes, 15);
	b.script.at = 0;
	b.script.next[0] = (struct parsed){.used = 1, .skip = 6}; /* over a lost record */
	b.script.next[2] = (struct parsed){0};
	push(&b, 20, "hi", 2, 0, 4);
	push(&b, 27, "j", 1, 0, 9);
	expect(&b, "F^hi@20+2 t4;F@27+0 t4;F^j@27+1 t9;");
	b.script.at = 0;
	b.script.next[0] = (struct parsed){.used = 0, .skip = SKIP_REST};
	push(&b, 28, "k", 1, 0, 10);
	push(&b, 90, "l", 1, 0, 11);
	stream_fin(&b.stream, 91, &b.io);
	expect(&b, "F^k@28+1 t10;E t11;");
	bench_end(&b);
}

Test(stream, reordering)
{
	struct bench b;

	bench_init(&b, 2);
	push(&b, 0, "a", 1, 0, 1);
	push(&b, 2, "c", 1, 0, 3);
	push(&b, 3, "d", 1, 0, 4);
	cr_assert(stream_holds(&b.stream));
	push(&b, 1, "b", 1, 0, 2);
	cr_assert_not(stream_holds(&b.stream));
	expect(&b, "F^a@0+1 t1;F^b@1+1 t2;F^c@2+1 t3;F^d@3+1 t4;");
	cr_assert_eq(b.io.tally.reordered, 1);
	push(&b, 6, "e", 1, 0, 5);
	stream_flush(&b.stream, 4 + STREAM_HELD_NS, &b.io);
	expect(&b, "");
	stream_flush(&b.stream, 5 + STREAM_HELD_NS, &b.io);
	expect(&b, "H@4+2 t5;F^e@6+1 t5;");
	push(&b, 4, "xy", 2, 0, 6); /* too late */
	cr_assert_eq(b.io.tally.reordered, 2);
	cr_assert_eq(b.io.tally.conflicts, 0);
	for (uint32_t i = 0; i < STREAM_HELD_MAX; i++)
		push(&b, 10 + i * 2, "f", 1, 0, 7);
	expect(&b, "");
	push(&b, 90, "g", 1, 0, 8);
	expect(&b, "H@7+3 t7;F^f@10+1 t7;");
	stream_fin(&b.stream, 92, &b.io);
	expect(&b, "");
	stream_settle(&b.stream, 9, &b.io);
	cr_assert(strstr(b.script.log, "F^g@90+1 t8;H@91+1 t9;E t8;"));
	bench_end(&b);
}

Test(stream, conflicts)
{
	struct bench b;

	bench_init(&b, 2);
	push(&b, 0, "abcd", 4, 0, 1);
	push(&b, 0, "abcd", 4, 0, 2); /* delivered already */
	push(&b, 2, "cdef", 4, 0, 3); /* in part */
	expect(&b, "F^abcd@0+4 t1;H@4+2 t3;");
	cr_assert_eq(b.io.tally.conflicts, 2);
	push(&b, 10, "kl", 2, 0, 4);
	push(&b, 11, "lm", 2, 0, 5); /* neither is known to be right */
	push(&b, 6, "ghij", 4, 0, 6);
	expect(&b, "F^ghij@6+4 t6;H@10+3 t5;");
	cr_assert_eq(b.io.tally.conflicts, 3);
	bench_end(&b);
}

Test(stream, waits_for_the_peer)
{
	struct bench b;
	struct stream peer = {0};
	struct segment seg = {
		.seq = 0, .len = 1, .caught = SLICE("r"), .time_ns = 5, .waits = true, .other = 70};

	bench_init(&b, 2);
	stream_start(&peer, 60);
	b.io.peer = &peer;
	stream_push(&b.stream, &seg, &b.io);
	stream_resume(&b.stream, &b.io);
	expect(&b, "");
	peer.pos += 10;
	stream_resume(&b.stream, &b.io);
	expect(&b, "F^r@0+1 t5;");
	seg.seq = 1;
	seg.other = 99;
	stream_push(&b.stream, &seg, &b.io);
	expect(&b, "");
	stream_flush(&b.stream, 5 + STREAM_HELD_NS, &b.io);
	expect(&b, "F^r@1+1 t5;");
	/* inside what the peer skips nothing may come, before its end something must */
	peer.skip = 1000;
	seg.seq = 2;
	seg.other = (uint32_t)peer.pos + 999;
	stream_push(&b.stream, &seg, &b.io);
	expect(&b, "F^r@2+1 t5;");
	seg.seq = 3;
	seg.other++;
	stream_push(&b.stream, &seg, &b.io);
	expect(&b, "");
	bench_end(&b);
}

Test(stream, no_block_is_free)
{
	struct bench b;

	bench_init(&b, 0);
	b.script.more[0] = true;
	push(&b, 0, "abc", 3, 0, 1);
	push(&b, 9, "x", 1, 0, 2);
	expect(&b, "F^abc@0+3 t1;H@0+3 t1;H@3+6 t2;F^x@9+1 t2;");
	cr_assert_eq(b.io.tally.starved, 2);
	bench_end(&b);
}

Test(stream, nonsense_and_muteness)
{
	struct bench b;

	bench_init(&b, 2);
	push(&b, 0, "abcdef", 3, 0, 1); /* more caught than moved */
	push(&b, 3, "ab", 3, 2, 1); /* beyond the end */
	push(&b, 6, "", 0, 0, 1); /* nothing */
	push(&b, 6, "ab", 2, STREAM_OFF_TAIL, 1); /* all of it */
	expect(&b, "H@0+3 t1;H@3+3 t1;F^ab@6+2 t1;");
	push(&b, 20, "late", 4, 0, 2);
	stream_mute(&b.stream, b.pool);
	push(&b, 30, "x", 1, 0, 3);
	cr_assert_eq((uint32_t)b.stream.pos, 31);
	expect(&b, "");
	bench_end(&b);
}

/* Random cuts, holes, reordering, overlaps, flushes: never a wrong byte, and all of it adds up. */
Test(stream, against_a_model)
{
	struct stream_pool *pool;

	cr_assert_eq(stream_pool_new(3, &pool), 0);
	for (unsigned round = 0; round < 4000; round++) {
		/* the numbers wrap within the first bytes of some */
		uint32_t first = round % 3 ? 0xffffff00u + round : round;
		struct model m = {
			.base = (1ull << 32) + first, .seed = round, .greedy = round % 5 == 0};
		struct stream s = {0};
		struct stream_io io = model_io(&m, pool);
		uint64_t at = 0, end = 0;
		uint64_t lates[4], late_lens[4];
		unsigned late = 0;

		m.pos = m.base;
		stream_start(&s, first);
		for (unsigned i = 0; i < 60; i++) {
			unsigned what = model_random(&m, 20);
			uint32_t len = 1 + model_random(&m, model_random(&m, 10) ? 60 : 40000);
			uint32_t caught = len < 16384 ? len : 16384;
			uint64_t from = at;
			uint16_t off = 0;

			if (model_random(&m, 4) == 0) {
				caught = model_random(&m, caught + 1);
				off = model_random(&m, 2) ? STREAM_OFF_TAIL : 0;
			}
			at += len;
			if (what == 0)
				continue; /* lost */
			if (what == 1 && late < 4) {
				lates[late] = from;
				late_lens[late++] = len;
				continue;
			}
			if (what == 2 && from > 30)
				from -= 1 + model_random(&m, 30);
			if (end < from + len)
				end = from + len;
			model_push(&s, &io, &m, from, len, off, caught, i);
			if (what > 15 && late) {
				late--;
				caught =
					late_lens[late] < 16384 ? (uint32_t)late_lens[late] : 16384;
				if (end < lates[late] + late_lens[late])
					end = lates[late] + late_lens[late];
				model_push(&s, &io, &m, lates[late], (uint32_t)late_lens[late], 0,
					caught, i);
			}
			if (what == 3)
				stream_flush(&s, UINT64_MAX, &io);
		}
		stream_fin(&s, (uint32_t)(m.base + end), &io);
		stream_settle(&s, UINT64_MAX, &io);
		cr_assert_eq(s.pos, m.base + end);
		cr_assert_eq(m.ended, 1);
		cr_assert(!s.mute);
		cr_assert_leq(
			io.tally.fed_bytes + io.tally.hole_bytes + io.tally.skipped_bytes, end);
		if (m.greedy)
			cr_assert_eq(io.tally.fed_bytes + io.tally.hole_bytes, end);
		stream_release(&s, pool);
		cr_assert_eq(stream_pool_used(pool), 0);
	}
	stream_pool_free(pool);
}
