/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of one HTTP/2 connection, both directions (RFC 9113). A request and its reply have the
 * number of their stream, so they need no order; what they do need is every header block, for each
 * changes what the next ones mean. Where bytes are missing that may have been one, what is open is
 * given up, for its end may be among them, and frames are looked for at the starts of calls.
 */
#include "proto/http2.h"

#include "core/clock.h"
#include "core/counters.h"
#include "proto/http2_state.h"

#define LOSSES_MAX 1000 /* after that a connection is not worth its trouble */
#define UNSURE_NS                                                                                  \
	(60 * NS_PER_SEC) /* streams that were not seen to begin are over, or heard of             \
			   */
#define FAR_STREAM 4096u /* most that the next stream is above the highest so far */

static void count_one(struct sink *sink, enum counter which)
{
	sink->ops->count(sink, which, 1);
}

static enum parse ignore(const struct feed *in, struct parsed *ret)
{
	ret->used = in->bytes.len;
	return PARSE_CONSUMED;
}

static enum parse give_up(struct http2 *h, struct sink *sink, uint64_t time_ns)
{
	http2_finish_all(h, sink, END_HOLE, time_ns);
	for (int side = 0; side < 2; side++)
		http2_hpack_release(&h->half[side].hpack);
	h->dead = true;
	return PARSE_BAD;
}

/* Where the frames of a side begin is not known any more, nor what its next header blocks mean. */
static void lose(struct http2 *h, struct sink *sink, enum side side, uint64_t time_ns)
{
	struct http2_half *half = &h->half[side];

	http2_finish_all(h, sink, END_HOLE, time_ns);
	http2_hpack_forget(&half->hpack);
	half->at = HTTP2_LOST;
	half->begun = false;
	half->lost = true;
	h->unsure = true;
	h->losses++;
	http2_strange(h, time_ns);
	sink->ops->unsure(sink, true);
}

/* What comes is no frame, or none that may come here. */
static enum parse malformed(struct http2 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	if (!h->half[side].lost || h->losses >= LOSSES_MAX) {
		count_one(sink, side == SIDE_REQUEST ? COUNT_BAD_REQUEST : COUNT_BAD_REPLY);
		return give_up(h, sink, in->time_ns);
	}
	lose(h, sink, side, in->time_ns);
	return ignore(in, ret);
}

static uint32_t max_frame(const struct http2_half *half)
{
	return half->max_frame ? half->max_frame : HTTP2_FRAME_DEFAULT;
}

/* The DATA frame under way is over. */
static void data_over(struct http2 *h, struct sink *sink, enum side side, const struct feed *in)
{
	struct http2_half *half = &h->half[side];
	struct exchange *ex = half->frame.type == HTTP2_DATA
				      ? http2_streams_find(&h->streams, half->frame.stream)
				      : NULL;

	half->at = HTTP2_AT_FRAME;
	half->begun = false;
	if (ex && half->frame.flags & HTTP2_END_STREAM)
		http2_side_over(h, sink, ex, side, in);
	else if (ex && side == SIDE_REPLY)
		ex->reply_end_ns = in->time_ns;
}

/* The frame's header, and lead bytes of its payload, are used. */
static enum parse skip_payload(struct http2 *h, struct sink *sink, enum side side,
	const struct feed *in, uint32_t lead, struct parsed *ret)
{
	struct http2_half *half = &h->half[side];

	ret->used = HTTP2_FRAME_HEADER + lead;
	ret->skip = half->frame.len - lead;
	half->at = HTTP2_IN_SKIP;
	if (!ret->skip)
		data_over(h, sink, side, in);
	return PARSE_CONSUMED;
}

static enum parse feed_messages(struct http2 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	struct http2_half *half = &h->half[side];
	struct exchange *ex = http2_streams_find(&h->streams, half->frame.stream);
	uint32_t skip = half->left;

	if (ex)
		http2_messages(&ex->http.messages[side], in->bytes, half->left, &ret->used, &skip);
	ret->skip = skip;
	half->left -= (uint32_t)ret->used + skip;
	if (!half->left && !skip)
		data_over(h, sink, side, in);
	return PARSE_CONSUMED;
}

static enum parse got_data(struct http2 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	struct http2_half *half = &h->half[side];
	const struct http2_frame *f = &half->frame;
	struct exchange *ex = http2_streams_find(&h->streams, f->stream);
	uint32_t lead = 0, padding = 0;

	if (f->flags & HTTP2_PADDED) {
		if (in->bytes.len <= HTTP2_FRAME_HEADER)
			return PARSE_MORE;
		lead = 1;
		padding = (unsigned char)in->bytes.ptr[HTTP2_FRAME_HEADER];
		if (lead + padding > f->len)
			return malformed(h, sink, side, in, ret);
	}
	if (!ex) {
		http2_strange(h, in->time_ns);
		return skip_payload(h, sink, side, in, lead, ret);
	}
	if (side == SIDE_REQUEST)
		ex->http.request_body += f->len - lead - padding;
	else
		ex->http.reply_body += f->len - lead - padding;
	if (ex->http.rpc != HTTP_RPC_GRPC || ex->http.messages[side].unknown)
		return skip_payload(h, sink, side, in, lead, ret);
	if (lead) /* gRPC does not pad */
		ex->http.messages[side].unknown = true;
	if (lead || !f->len)
		return skip_payload(h, sink, side, in, lead, ret);
	half->at = HTTP2_IN_MESSAGES;
	half->left = f->len;
	ret->used = HTTP2_FRAME_HEADER;
	return PARSE_CONSUMED;
}

/* Decodes a header block that starts with the frame at hand: PARSE_CONSUMED with *ret_size, the
 * bytes of all its frames; PARSE_MORE; PARSE_BAD, too, if it is longer than what can be kept. */
static enum parse block_size(struct http2_half *half, const struct feed *in, size_t *ret_size)
{
	struct http2_frame f = half->frame;
	size_t at = 0;

	for (;;) {
		at += HTTP2_FRAME_HEADER + f.len;
		if (at > PARSE_KEEP)
			return PARSE_BAD;
		if (f.flags & HTTP2_END_HEADERS)
			break;
		if (at > in->bytes.len ||
			!http2_frame_parse(slice_of(in->bytes.ptr + at, in->bytes.len - at), &f))
			return PARSE_MORE;
		if (f.type != HTTP2_CONTINUATION || f.stream != half->frame.stream)
			return PARSE_BAD; /* RFC 9113, 6.10 */
	}
	*ret_size = at;
	return at > in->bytes.len ? PARSE_MORE : PARSE_CONSUMED;
}

static int decode(struct http2_half *half, const struct feed *in, struct http2_block *block)
{
	struct slice rest = in->bytes;

	http2_block_init(block);
	for (;;) {
		struct http2_frame f;
		struct slice fragment;
		bool last;
		int err;

		http2_frame_parse(rest, &f);
		last = f.flags & HTTP2_END_HEADERS;
		if (!http2_frame_block(
			    &f, slice_of(rest.ptr + HTTP2_FRAME_HEADER, f.len), &fragment))
			return -1;
		err = http2_hpack_decode(&half->hpack, fragment, last, block);
		if (err || last)
			return err;
		rest.ptr += HTTP2_FRAME_HEADER + f.len;
		rest.len -= HTTP2_FRAME_HEADER + f.len;
	}
}

/* A block that does not decode, or that is too long to be looked at, may have changed the table. */
static enum parse block_lost(struct http2 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	struct http2_half *half = &h->half[side];

	if (!half->lost)
		count_one(sink, side == SIDE_REQUEST ? COUNT_BAD_REQUEST : COUNT_BAD_REPLY);
	lose(h, sink, side, in->time_ns);
	if (h->losses >= LOSSES_MAX)
		return give_up(h, sink, in->time_ns);
	/* the frames themselves are in their place; CONTINUATIONs are passed over */
	half->at = HTTP2_AT_FRAME;
	return skip_payload(h, sink, side, in, 0, ret);
}

static enum parse got_block(struct http2 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	struct http2_half *half = &h->half[side];
	struct http2_frame f = half->frame;
	struct http2_block block;
	size_t size = 0;
	enum parse parse = block_size(half, in, &size);
	bool end = f.flags & HTTP2_END_STREAM;

	if (parse == PARSE_MORE)
		return parse;
	if (parse == PARSE_BAD || decode(half, in, &block))
		return block_lost(h, sink, side, in, ret);
	ret->used = size;
	half->at = HTTP2_AT_FRAME;
	half->begun = false;
	if (f.type == HTTP2_PUSH_PROMISE) /* its reply comes on a stream that nobody asked on */
		return PARSE_CONSUMED;
	if (side == SIDE_REPLY)
		http2_reply_block(h, sink, in, &block, f.stream, end);
	else if (!http2_request_block(h, sink, in, &block, f.stream, end))
		return malformed(h, sink, side, in, ret);
	return PARSE_CONSUMED;
}

static void got_reset(struct http2 *h, struct sink *sink, enum side side, const struct feed *in)
{
	struct exchange *ex = http2_streams_find(&h->streams, h->half[side].frame.stream);
	bool own;

	if (!ex) {
		http2_strange(h, in->time_ns);
		return;
	}
	own = (ex->role == ROLE_SERVER) == (side == SIDE_REPLY);
	ex->reply_tid = in->tid;
	http2_finish(h, sink, ex, own ? END_ABORTED : END_STREAM_RESET, in->time_ns);
}

/* RFC 9113, 6.8: what is above the last stream was not, and will not be, looked at. */
static void got_goaway(struct http2 *h, struct sink *sink, enum side side, const struct feed *in)
{
	uint32_t last = http2_u32(in->bytes.ptr + HTTP2_FRAME_HEADER) & 0x7fffffff;
	struct exchange *ex;

	while (side == SIDE_REPLY && (ex = http2_streams_above(&h->streams, last)))
		http2_finish(h, sink, ex, ex->role == ROLE_SERVER ? END_ABORTED : END_STREAM_RESET,
			in->time_ns);
}

/* What one side says binds the other. */
static bool got_settings(struct http2 *h, enum side side, const struct feed *in)
{
	struct http2_half *half = &h->half[side], *other = &h->half[!side];
	const char *at = in->bytes.ptr + HTTP2_FRAME_HEADER;

	for (uint32_t n = half->frame.len / 6; n; n--, at += 6) {
		unsigned id = (unsigned)((unsigned char)at[0] << 8 | (unsigned char)at[1]);
		uint32_t value = http2_u32(at + 2);

		if (id == HTTP2_SETTING_FRAME_SIZE && value >= HTTP2_FRAME_DEFAULT &&
			value < 1u << 24)
			other->max_frame = value;
		if (id == HTTP2_SETTING_TABLE_SIZE && http2_hpack_allow(&other->hpack, value))
			return false;
	}
	return true;
}

/* Frames whose payload is small and needed whole. */
static enum parse got_control(struct http2 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	struct http2_half *half = &h->half[side];
	size_t size = HTTP2_FRAME_HEADER + half->frame.len;

	if (size > PARSE_KEEP)
		return malformed(h, sink, side, in, ret);
	if (in->bytes.len < size)
		return PARSE_MORE;
	if (half->frame.type == HTTP2_RST_STREAM)
		got_reset(h, sink, side, in);
	else if (half->frame.type == HTTP2_GOAWAY)
		got_goaway(h, sink, side, in);
	else if (!got_settings(h, side, in))
		return give_up(h, sink, in->time_ns);
	return skip_payload(h, sink, side, in, half->frame.len, ret);
}

static enum parse feed_frame(struct http2 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	struct http2_half *half = &h->half[side];
	struct http2_frame f;

	if (!in->bytes.len)
		return PARSE_CONSUMED;
	if (!half->begun) {
		half->begun = true;
		half->start_ns = in->time_ns;
		half->start_pos = in->pos;
	}
	if (!http2_frame_parse(in->bytes, &f))
		return PARSE_MORE;
	half->frame = f;
	if (!http2_frame_valid(&f, max_frame(half), false))
		return malformed(h, sink, side, in, ret);
	switch (f.type) {
	case HTTP2_DATA:
		return got_data(h, sink, side, in, ret);
	case HTTP2_PUSH_PROMISE:
		if (side == SIDE_REQUEST)
			return malformed(h, sink, side, in, ret);
		return got_block(h, sink, side, in, ret);
	case HTTP2_HEADERS:
		return got_block(h, sink, side, in, ret);
	case HTTP2_CONTINUATION:
		if (!half->lost)
			return malformed(h, sink, side, in, ret);
		break;
	case HTTP2_RST_STREAM:
	case HTTP2_SETTINGS:
	case HTTP2_GOAWAY:
		return got_control(h, sink, side, in, ret);
	}
	return skip_payload(h, sink, side, in, 0, ret);
}

static void http2_join(void *state)
{
	struct http2 *h = state;

	for (int side = 0; side < 2; side++) {
		http2_hpack_forget(&h->half[side].hpack);
		h->half[side].at = HTTP2_LOST;
		h->half[side].lost = true;
	}
	h->unsure = true;
}

/* Whether a frame begins here, by all that can be told from its header. */
static bool resumes(const struct http2 *h, enum side side, const struct feed *in)
{
	uint32_t highest = h->half[SIDE_REQUEST].highest;
	struct http2_frame f;

	if (!in->call_start || !http2_frame_parse(in->bytes, &f) ||
		!http2_frame_valid(&f, max_frame(&h->half[side]), true) ||
		f.type == HTTP2_CONTINUATION)
		return false;
	return !highest || f.stream <= highest + FAR_STREAM;
}

static enum parse feed_lost(struct http2 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	if (!resumes(h, side, in))
		return ignore(in, ret);
	h->half[side].at = HTTP2_AT_FRAME;
	return feed_frame(h, sink, side, in, ret);
}

/* A connection whose first bytes are not how one begins: it was idle before. */
static enum parse feed_idle(struct http2 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	if (!resumes(h, side, in))
		return malformed(h, sink, side, in, ret);
	http2_join(h);
	sink->ops->unsure(sink, true);
	return feed_lost(h, sink, side, in, ret);
}

static enum parse feed_start(struct http2 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	struct slice preface = SLICE(HTTP2_PREFACE);
	struct http2_frame f;

	if (side == SIDE_REPLY) {
		if (!http2_frame_parse(in->bytes, &f))
			return in->bytes.len ? PARSE_MORE : PARSE_CONSUMED;
		if (f.type != HTTP2_SETTINGS) /* RFC 9113, 3.4 */
			return feed_idle(h, sink, side, in, ret);
		h->half[side].at = HTTP2_AT_FRAME;
		return feed_frame(h, sink, side, in, ret);
	}
	if (in->bytes.len < preface.len && slice_starts(preface, in->bytes))
		return PARSE_MORE;
	if (!slice_starts(in->bytes, preface))
		return feed_idle(h, sink, side, in, ret);
	h->half[side].at = HTTP2_AT_FRAME;
	ret->used = preface.len;
	return PARSE_CONSUMED;
}

static enum parse feed_rest(struct http2 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	struct http2_half *half = &h->half[side];

	ret->skip = half->left;
	half->left = 0;
	half->at = HTTP2_IN_SKIP;
	if (!ret->skip)
		data_over(h, sink, side, in);
	return PARSE_CONSUMED;
}

/* Nothing was heard for long of streams that were not seen to begin. */
static void settle(struct http2 *h, struct sink *sink, uint64_t time_ns)
{
	if (!h->strange_ns)
		h->strange_ns = time_ns;
	if (time_ns < h->strange_ns + UNSURE_NS)
		return;
	h->unsure = false;
	sink->ops->unsure(sink, false);
}

static enum parse http2_feed(
	void *state, struct sink *sink, enum side side, const struct feed *in, struct parsed *ret)
{
	struct http2 *h = state;
	struct http2_half *half = &h->half[side];

	*ret = (struct parsed){0};
	if (h->dead) {
		ret->used = in->bytes.len;
		ret->skip = SKIP_REST;
		return PARSE_CONSUMED;
	}
	if (!h->told) {
		h->told = true;
		sink->ops->want(sink, WANT_CALLS);
	}
	if (h->unsure)
		settle(h, sink, in->time_ns);
	switch ((enum http2_at)half->at) {
	case HTTP2_AT_START:
		return feed_start(h, sink, side, in, ret);
	case HTTP2_IN_SKIP:
		data_over(h, sink, side, in);
		break;
	case HTTP2_IN_MESSAGES:
		if (half->left)
			return feed_messages(h, sink, side, in, ret);
		data_over(h, sink, side, in);
		break;
	case HTTP2_IN_REST:
		return feed_rest(h, sink, side, in, ret);
	case HTTP2_LOST:
		return feed_lost(h, sink, side, in, ret);
	case HTTP2_AT_FRAME:
		break;
	}
	return feed_frame(h, sink, side, in, ret);
}

/* A hole where the next message of a gRPC stream begins; the frame's end is known all the same. */
static bool hole_in_messages(struct http2 *h, enum side side, uint64_t *n)
{
	struct http2_half *half = &h->half[side];
	struct exchange *ex = http2_streams_find(&h->streams, half->frame.stream);

	if (ex)
		ex->http.messages[side].unknown = true;
	if (*n < half->left) {
		half->left -= (uint32_t)*n;
		half->at = HTTP2_IN_REST;
		return true;
	}
	*n -= half->left;
	half->left = 0;
	return false;
}

static void http2_hole(
	void *state, struct sink *sink, enum side side, const struct feed *in, uint64_t n)
{
	struct http2 *h = state;
	struct http2_half *half = &h->half[side];

	if (h->dead)
		return;
	switch ((enum http2_at)half->at) {
	case HTTP2_LOST:
		http2_strange(h, in->time_ns);
		return;
	case HTTP2_IN_MESSAGES:
	case HTTP2_IN_REST:
		if (hole_in_messages(h, side, &n))
			return;
		data_over(h, sink, side, in);
		if (!n)
			return;
		break;
	case HTTP2_IN_SKIP:
		data_over(h, sink, side, in);
		break;
	case HTTP2_AT_START:
	case HTTP2_AT_FRAME:
		break;
	}
	lose(h, sink, side, in->time_ns);
}

static void http2_eof(void *state, struct sink *sink, enum side side, uint64_t time_ns)
{
	struct http2 *h = state;

	(void)sink;
	(void)time_ns;
	/* requests without a reply end with the connection, whose time is not known yet */
	if (side == SIDE_REPLY)
		h->ended = true;
}

static void http2_close(
	void *state, struct sink *sink, enum exchange_end how, int error, uint64_t time_ns)
{
	struct http2 *h = state;
	struct exchange *ex;

	for (int side = 0; side < 2; side++)
		http2_hpack_release(&h->half[side].hpack);
	if (h->dead)
		return;
	h->dead = true;
	while ((ex = http2_streams_above(&h->streams, 0))) {
		enum exchange_end end = how;

		if (h->ended && (how == END_CLOSED || how == END_ABORTED))
			end = ex->role == ROLE_SERVER ? END_ABORTED : END_CLOSED;
		ex->error = error;
		http2_finish(h, sink, ex, end, time_ns);
	}
}

/* What its header blocks mean would be forgotten with it. */
static bool http2_idle(const void *state)
{
	(void)state;
	return false;
}

static bool http2_aligned(const void *state, enum side side)
{
	const struct http2 *h = state;
	const struct http2_half *half = &h->half[side];

	return !h->dead &&
	       (half->at == HTTP2_IN_SKIP || (half->at == HTTP2_AT_FRAME && !half->begun));
}

static void http2_take_over(void *state, struct exchange *ex)
{
	struct http2 *h = state;

	h->half[SIDE_REQUEST].highest = 1;
	if (!ex)
		return;
	ex->stream = 1;
	ex->http.major = 2;
	http2_streams_add(&h->streams, ex);
}

const struct protocol http2 = {
	.name = "http2",
	.state_size = sizeof(struct http2),
	.detect = http2_detect,
	.join = http2_join,
	.idle = http2_idle,
	.aligned = http2_aligned,
	.take_over = http2_take_over,
	.feed = http2_feed,
	.hole = http2_hole,
	.eof = http2_eof,
	.close = http2_close,
};
