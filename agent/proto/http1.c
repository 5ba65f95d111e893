/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of one HTTP/1.x connection, both directions. Requests wait in a queue for their
 * replies, which come in the same order (RFC 9112, 9.3.2). Where bytes are missing, a request is
 * rather given up than paired with a reply that may be another's.
 */
#include "proto/http1.h"

#include "core/counters.h"
#include "proto/http1_head.h"
#include "proto/http1_state.h"
#include "proto/http_fill.h"

static void count_one(struct sink *sink, enum counter which)
{
	sink->ops->count(sink, which, 1);
}

static enum parse ignore_rest(const struct feed *in, struct parsed *ret)
{
	ret->used = in->bytes.len;
	ret->skip = SKIP_REST;
	return PARSE_CONSUMED;
}

static enum parse ignore(const struct feed *in, struct parsed *ret)
{
	ret->used = in->bytes.len;
	ret->skip = 0;
	return PARSE_CONSUMED;
}

static enum parse give_up(struct http1 *h, struct sink *sink, uint64_t time_ns)
{
	http1_finish_all(h, sink, END_HOLE, time_ns);
	h->dead = true;
	return PARSE_BAD;
}

/* The rest of the request is not understood. */
static void pass_over(struct http1 *h)
{
	http1_next(&h->half[SIDE_REQUEST]);
	h->half[SIDE_REQUEST].state = PASSED_OVER;
	h->asking = NULL;
	h->unsure = true;
}

static enum parse malformed(struct http1 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	if (side == SIDE_REPLY) {
		count_one(sink, COUNT_BAD_REPLY);
		if (h->queue.count)
			http1_finish(sink, http1_pop(h), END_BAD, in->time_ns);
		return give_up(h, sink, in->time_ns);
	}
	count_one(sink, COUNT_BAD_REQUEST);
	if (!h->queue.count)
		return give_up(h, sink, in->time_ns);
	/* it, or the requests before it, can still be answered */
	pass_over(h);
	return ignore(in, ret);
}

/* A reply body whose end cannot be seen ends at the latest where the client goes on. */
static void end_unseen_reply(struct http1 *h, struct sink *sink)
{
	struct half *reply = &h->half[SIDE_REPLY];

	if (reply->state != IN_LOST && (h->answering || reply->state == AT_HEAD ||
					       reply->state == IN_LENGTH || reply->state == DEAF))
		return;
	/* the end of this one and the whole of the next may be in the same hole */
	if (h->answering && h->half[SIDE_REQUEST].start_ns < reply->last_ns)
		http1_lose(h, sink, reply->last_ns);
	http1_reply_over(h, sink);
	reply->trust = BLIND;
}

/* After a loss, a client that has never pipelined, that had its last reply and now starts a
 * request, has no other reply to come. */
static bool is_quiet(const struct http1 *h)
{
	const struct half *request = &h->half[SIDE_REQUEST];
	const struct half *reply = &h->half[SIDE_REPLY];

	return !h->pipelined && request->start_call && reply->state == AT_HEAD && !reply->begun &&
	       h->request_ns <= h->replied_ns && h->replied_ns <= request->start_ns;
}

/* Whether the reply to the request that has just started is known not to be the next one, or not
 * known to be it. */
static bool must_drop(struct http1 *h, struct sink *sink, uint64_t time_ns)
{
	if (h->lost && is_quiet(h))
		h->lost = false;
	if ((h->suspect || h->hidden) && h->queue.count)
		http1_lose(h, sink, time_ns);
	if (h->lost)
		return true;
	/* what came after it has its reply in it */
	return h->half[SIDE_REQUEST].start_ns <= h->orphan_ns;
}

static struct exchange *open_exchange(
	struct http1 *h, struct sink *sink, const struct feed *in, const struct http1_head *head)
{
	const struct half *half = &h->half[SIDE_REQUEST];
	struct exchange *ex;

	count_one(sink, COUNT_REQUESTS);
	ex = sink->ops->open(sink);
	if (!ex)
		return NULL;
	ex->request_start_ns = half->start_ns;
	ex->request_end_ns = in->time_ns;
	ex->request_pos = half->start_pos;
	ex->request_tid = in->tid;
	if (http1_fill(ex, head))
		count_one(sink, COUNT_TEXT_CUT);
	sink->ops->asked(sink, ex, head->fields.v, head->fields.n);
	return ex;
}

static enum parse got_request(struct http1 *h, struct sink *sink, const struct feed *in,
	const struct http1_head *head, struct parsed *ret)
{
	struct half *half = &h->half[SIDE_REQUEST];
	struct exchange *ex;
	bool dropped;

	end_unseen_reply(h, sink);
	if (h->queue.count == HTTP1_QUEUE_MAX) {
		count_one(sink, COUNT_BAD_REQUEST);
		return give_up(h, sink, in->time_ns);
	}
	dropped = must_drop(h, sink, in->time_ns);
	ex = open_exchange(h, sink, in, head);
	if (dropped) {
		http1_finish(sink, ex, END_HOLE, in->time_ns);
		ex = NULL;
	} else {
		h->suspect = !h->queue.count && h->orphaned;
		http1_queue_push(&h->queue, ex, head->start.method);
	}
	h->orphaned = false;
	h->hidden = false;
	h->request_ns = half->start_ns;
	h->asking = ex;
	http1_note_seen(half, in, ret->used);
	half->body_pos = half->last_pos;
	if (head->framing == HTTP1_CODED)
		return malformed(h, sink, SIDE_REQUEST, in, ret); /* RFC 9112, 6.3 */
	if (head->framing == HTTP1_CHUNKED) {
		half->state = IN_CHUNKS;
		half->chunk = (struct http1_chunk){0};
	} else if (head->framing == HTTP1_LENGTH && head->length) {
		half->state = IN_LENGTH;
		ret->skip = head->length;
	} else {
		http1_request_over(h);
	}
	/* the tunnel's first bytes may come before the answer */
	if (slice_eq(head->start.method, SLICE("CONNECT")))
		half->trust = BLIND;
	return PARSE_CONSUMED;
}

/* A request whose head will not be whole, out of the bytes that it begins with. late: it is being
 * answered. Then a client's is not told of: the parent of a call has to be found when it is made.
 */
static void open_begun(struct http1 *h, struct sink *sink, struct slice bytes, bool late)
{
	const struct half *half = &h->half[SIDE_REQUEST];
	struct http1_start start;
	struct exchange *ex;

	if (h->queue.count == HTTP1_QUEUE_MAX || !http1_head_begun(bytes, &start) ||
		must_drop(h, sink, half->last_ns))
		return;
	count_one(sink, COUNT_REQUESTS);
	ex = sink->ops->open(sink);
	if (ex && late && ex->role != ROLE_SERVER) {
		sink->ops->cancel(sink, ex);
		ex = NULL;
	}
	if (ex) {
		ex->request_start_ns = half->start_ns;
		ex->request_end_ns = half->last_ns;
		ex->request_pos = half->start_pos;
		ex->request_tid = half->last_tid;
		http_fill_begun(ex, start.method, start.target);
		ex->http.major = 1;
		ex->http.minor = start.minor;
		sink->ops->asked(sink, ex, NULL, 0);
	}
	h->suspect = !h->queue.count && h->orphaned;
	h->orphaned = h->hidden = false;
	h->request_ns = half->start_ns;
	http1_queue_push(&h->queue, ex, start.method);
}

/* A reply before the request's head is whole: 400, 408, 414, 431. The server had seen no more of it
 * either. The client's FIN can be told before the reply is, and where bytes are counted by what was
 * sent it counts as one. */
static void answer_begun(struct http1 *h, struct sink *sink, const struct feed *in)
{
	const struct half *half = &h->half[SIDE_REQUEST];

	if (h->queue.count || (half->state != AT_HEAD && !half->cut) || !half->begun ||
		in->other - (uint32_t)half->last_pos > half->cut ||
		half->start_ns > h->half[SIDE_REPLY].start_ns)
		return;
	open_begun(h, sink, slice_of(h->line, h->line_len), true);
	if (h->queue.count)
		pass_over(h);
}

/* Whose reply has started. NULL also where the request has no exchange. */
static struct exchange *find_request(struct http1 *h, struct sink *sink, const struct feed *in)
{
	const struct half *half = &h->half[SIDE_REPLY];
	struct exchange *ex = NULL;

	if (h->queue.count && !h->lost) {
		ex = http1_queue_front(&h->queue);
		if (!ex || ex->request_start_ns <= half->start_ns) {
			h->answering = true;
			h->suspect = false;
			return ex;
		}
		http1_lose(h, sink, in->time_ns); /* it answers something earlier */
	}
	count_one(sink, COUNT_REPLY_UNPAIRED);
	h->orphaned = true;
	h->orphan_ns = half->start_ns;
	return NULL;
}

/* RFC 9112, 6.3 */
static bool has_no_body(const struct http1_head *head, uint8_t request)
{
	uint16_t status = head->start.status;

	return request & HTTP1_IS_HEAD || status == 204 || status == 304 ||
	       (head->framing == HTTP1_LENGTH && !head->length);
}

static void start_reply_body(struct http1 *h, struct sink *sink, const struct http1_head *head,
	uint8_t request, struct parsed *ret)
{
	struct half *half = &h->half[SIDE_REPLY];

	if (has_no_body(head, request)) {
		http1_reply_over(h, sink);
		return;
	}
	if (!h->answering)
		half->trust = BLIND;
	if (head->framing == HTTP1_CHUNKED) {
		half->state = IN_CHUNKS;
		half->chunk = (struct http1_chunk){0};
	} else if (head->framing != HTTP1_LENGTH) {
		half->state = IN_REST;
	} else if (h->answering) {
		half->state = IN_LENGTH;
		ret->skip = head->length;
	} else {
		half->state = IN_COUNTED;
		half->left = head->length;
	}
}

static enum parse got_reply(struct http1 *h, struct sink *sink, const struct feed *in,
	const struct http1_head *head, struct parsed *ret)
{
	struct half *half = &h->half[SIDE_REPLY];
	uint16_t status = head->start.status;
	uint8_t request;
	struct exchange *ex;

	if (status < 200 && status != 101)
		return PARSE_CONSUMED; /* RFC 9110, 15.2: the final one follows */
	if (status == 101 && http1_offers_http2(head))
		return http1_become_http2(h, sink, in);
	count_one(sink, COUNT_REPLIES);
	if (h->half[SIDE_REQUEST].state == IN_LOST && h->queue.count <= 1)
		http1_request_over(h);
	answer_begun(h, sink, in);
	ex = find_request(h, sink, in);
	request = h->answering ? http1_queue_flags(&h->queue) : 0;
	http1_note_seen(half, in, ret->used);
	half->body_pos = half->last_pos;
	if (ex) {
		ex->reply_start_ns = half->start_ns;
		ex->reply_end_ns = in->time_ns;
		ex->reply_tid = in->tid;
		ex->http.status = status;
		ex->http.until_close = !has_no_body(head, request) &&
				       head->framing != HTTP1_CHUNKED &&
				       head->framing != HTTP1_LENGTH;
		http_fill_rpc_status(ex, &head->fields); /* gRPC-Web, whose call failed at once */
		sink->ops->replied(sink, ex, head->fields.v, head->fields.n);
	}
	if (status == 101 || (request & HTTP1_IS_CONNECT && status < 300))
		return http1_leave(h, sink, in, ret);
	start_reply_body(h, sink, head, request, ret);
	return PARSE_CONSUMED;
}

/* The bytes start with a whole start line. */
static bool is_message(enum side side, struct slice bytes)
{
	if (side == SIDE_REQUEST)
		return http1_detect_request(bytes) == DETECT_REQUEST;
	return http1_detect_reply(bytes) == DETECT_REPLY;
}

/* The same, or as much of it as there is. */
static bool begins_message(enum side side, struct slice bytes)
{
	struct http1_start start;

	return side == SIDE_REQUEST ? http1_head_begun(bytes, &start) : is_message(side, bytes);
}

static bool starts_message(enum side side, const struct feed *in)
{
	return in->call_start && is_message(side, in->bytes);
}

/* These bytes may hide a message. */
static enum parse ignore_unknown(struct http1 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	if (side == SIDE_REQUEST) {
		h->hidden = true;
		return ignore(in, ret);
	}
	h->orphan_ns = in->time_ns;
	if (h->queue.count)
		http1_lose(h, sink, in->time_ns);
	return ignore(in, ret);
}

static enum parse feed_head(struct http1 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	struct half *half = &h->half[side];
	struct slice bytes = half->begun ? in->bytes : http1_skip_empty(in->bytes);
	size_t lead = in->bytes.len - bytes.len;
	struct http1_head head;
	enum parse parse;

	if (!bytes.len)
		return ignore(in, ret);
	if (!half->begun) {
		if (half->trust == BLIND && !starts_message(side, in))
			return ignore_unknown(h, sink, side, in, ret);
		half->begun = true;
		half->start_ns = in->time_ns;
		half->start_pos = in->pos + lead;
		half->start_call = in->call_start;
	}
	parse = http1_head_parse(bytes, side == SIDE_REPLY, &half->scanned, &head, &ret->used);
	ret->used += lead;
	if (parse == PARSE_MORE && side == SIDE_REQUEST) {
		h->line_len = (uint8_t)(bytes.len < LINE_KEPT ? bytes.len : LINE_KEPT);
		memcpy(h->line, bytes.ptr, h->line_len);
	}
	if (parse == PARSE_MORE || side == SIDE_REQUEST)
		http1_note_seen(half, in, in->bytes.len);
	if (parse == PARSE_MORE)
		return PARSE_MORE;
	if (half->trust == FRESH && begins_message(side, bytes))
		half->trust = SYNCED;
	if (parse == PARSE_BAD && half->trust != SYNCED) {
		http1_lose_place(half);
		return ignore_unknown(h, sink, side, in, ret);
	}
	http1_next(half);
	if (parse == PARSE_BAD) {
		if (side == SIDE_REQUEST)
			open_begun(h, sink, bytes, false);
		return malformed(h, sink, side, in, ret);
	}
	half->trust = SYNCED;
	return side == SIDE_REQUEST ? got_request(h, sink, in, &head, ret)
				    : got_reply(h, sink, in, &head, ret);
}

static enum parse feed_chunks(struct http1 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	struct half *half = &h->half[side];
	bool end;

	if (http1_chunk_parse(&half->chunk, in->bytes, ret, &end) == PARSE_BAD) {
		if (side == SIDE_REQUEST || h->answering)
			return malformed(h, sink, side, in, ret);
		http1_lose_place(half); /* of an unpaired reply: it had no body */
		return ignore(in, ret);
	}
	http1_note_seen(half, in, ret->used);
	if (end)
		http1_body_over(h, sink, side);
	return PARSE_CONSUMED;
}

/* RFC 9112, 7.1: the last chunk, where a call ends with it or is nothing else. */
static bool ends_chunks(const struct feed *in)
{
	struct slice last = SLICE("\r\n0\r\n\r\n");
	struct slice bytes = in->bytes;

	if (in->call_start && slice_eq(bytes, SLICE("0\r\n\r\n")))
		return true;
	return bytes.len >= last.len &&
	       memcmp(bytes.ptr + bytes.len - last.len, last.ptr, last.len) == 0;
}

static enum parse feed_lost(struct http1 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	struct half *half = &h->half[side];

	if (side == SIDE_REPLY && !h->answering && starts_message(side, in)) {
		http1_body_over(h, sink, side);
		half->trust = BLIND;
		return feed_head(h, sink, side, in, ret);
	}
	http1_note_seen(half, in, in->bytes.len);
	if (ends_chunks(in)) {
		http1_body_over(h, sink, side);
		half->trust = BLIND;
	}
	return ignore(in, ret);
}

static enum parse feed_counted(
	struct http1 *h, struct sink *sink, const struct feed *in, struct parsed *ret)
{
	struct half *half = &h->half[SIDE_REPLY];

	ret->used = in->bytes.len < half->left ? in->bytes.len : half->left;
	half->left -= ret->used;
	http1_note_seen(half, in, ret->used);
	if (!half->left)
		http1_reply_over(h, sink);
	return PARSE_CONSUMED;
}

/* The exchange that is on trial fits: from here on, all is as if it had been seen from the start.
 */
static void believe(struct http1 *h, struct sink *sink)
{
	struct half *half = &h->half[SIDE_REPLY];
	struct slice method;
	struct exchange *ex;

	sink->ops->unsure(sink, false);
	ex = http1_join_take(&h->join, sink, &method);
	http1_queue_push(&h->queue, ex, method);
	h->half[SIDE_REQUEST].trust = SYNCED;
	half->trust = SYNCED;
	half->begun = true;
	half->start_ns = h->join.start_ns;
	half->start_pos = h->join.start_pos;
	half->start_call = true;
}

static enum parse feed_joined(struct http1 *h, struct sink *sink, enum side side,
	const struct feed *in, struct parsed *ret)
{
	bool fits = false;
	enum parse parse;

	if (side == SIDE_REQUEST)
		return http1_join_request(&h->join, sink, in, ret);
	parse = http1_join_reply(&h->join, sink, in, ret, &fits);
	if (!fits)
		return parse;
	believe(h, sink);
	return feed_head(h, sink, side, in, ret);
}

static enum parse http1_feed(
	void *state, struct sink *sink, enum side side, const struct feed *in, struct parsed *ret)
{
	struct http1 *h = state;
	struct half *half = &h->half[side];

	*ret = (struct parsed){0};
	if (h->dead)
		return ignore_rest(in, ret);
	if (h->unsure && !h->queue.count)
		http1_start_over(h, sink);
	if (h->join.state != HTTP1_JOIN_OFF)
		return feed_joined(h, sink, side, in, ret);
	switch ((enum state)half->state) {
	case IN_LENGTH:
		http1_note_seen(half, in, 0);
		http1_body_over(h, sink, side);
		return feed_head(h, sink, side, in, ret);
	case IN_COUNTED:
		return feed_counted(h, sink, in, ret);
	case IN_CHUNKS:
		return feed_chunks(h, sink, side, in, ret);
	case IN_LOST:
		return feed_lost(h, sink, side, in, ret);
	case IN_REST:
		http1_note_seen(half, in, in->bytes.len);
		return ignore(in, ret);
	case PASSED_OVER:
		return ignore(in, ret);
	case DEAF:
		return ignore_rest(in, ret);
	case AT_HEAD:
		break;
	}
	return feed_head(h, sink, side, in, ret);
}

/* Whole messages may be missing. */
static void hole_at_head(struct http1 *h, struct sink *sink, enum side side, uint64_t time_ns)
{
	struct half *half = &h->half[side];

	if (side == SIDE_REQUEST && half->begun && half->last_pos - half->start_pos >= HEAD_LONG) {
		open_begun(h, sink, slice_of(h->line, h->line_len), false);
		pass_over(h);
		return;
	}
	if (side == SIDE_REQUEST) {
		http1_finish_all(h, sink, END_HOLE, time_ns);
		http1_start_over(h, sink);
		return;
	}
	http1_lose_place(half);
	h->orphan_ns = time_ns;
	if (h->queue.count == 1 && !h->pipelined)
		http1_finish_all(h, sink, END_HOLE, time_ns); /* that reply, and no other */
	else if (h->queue.count)
		http1_lose(h, sink, time_ns);
}

static void http1_hole(
	void *state, struct sink *sink, enum side side, const struct feed *in, uint64_t n)
{
	struct http1 *h = state;
	struct half *half = &h->half[side];

	if (h->dead)
		return;
	if (h->join.state != HTTP1_JOIN_OFF) {
		http1_join_hole(&h->join, sink, side, in, n);
		return;
	}
	switch ((enum state)half->state) {
	case IN_LENGTH:
		http1_note_seen(half, in, 0);
		http1_body_over(h, sink, side);
		break;
	case IN_COUNTED:
		http1_note_seen(half, in, n < half->left ? n : half->left);
		if (n < half->left) {
			half->left -= n;
			return;
		}
		n -= half->left;
		http1_reply_over(h, sink);
		if (!n)
			return;
		break;
	case IN_CHUNKS:
	case IN_LOST:
		half->state = IN_LOST;
		http1_note_seen(half, in, n);
		/* the next message may be in there, too */
		if (side == SIDE_REQUEST)
			h->hidden = h->unsure = true;
		else if (h->queue.count > 1)
			http1_lose(h, sink, in->time_ns);
		return;
	case IN_REST:
		http1_note_seen(half, in, n);
		return;
	case PASSED_OVER:
	case DEAF:
		return;
	case AT_HEAD:
		break;
	}
	hole_at_head(h, sink, side, in->time_ns);
}

static void http1_eof(void *state, struct sink *sink, enum side side, uint64_t time_ns)
{
	struct http1 *h = state;
	struct half *half = &h->half[side];

	if (h->dead)
		return;
	if (half->state == IN_REST || half->state == IN_LOST) {
		half->last_ns = time_ns;
		http1_body_over(h, sink, side);
	}
	/* requests without a reply end with the connection, whose time is not known yet */
	if (side == SIDE_REPLY)
		h->ended = true;
	half->cut = half->state == AT_HEAD && half->begun;
	half->state = DEAF;
}

/* Whether the reply under way is taken for whole although only the close ended it. */
static bool is_whole_at_close(const struct http1 *h, enum exchange_end how)
{
	uint8_t state = h->half[SIDE_REPLY].state;
	const struct exchange *ex;

	if (!h->answering || (state != IN_REST && state != IN_LOST))
		return false;
	ex = http1_queue_front(&h->queue);
	return how == END_CLOSED ||
	       (how == END_ABORTED && (state == IN_LOST || (ex && ex->role == ROLE_SERVER)));
}

static void http1_close(
	void *state, struct sink *sink, enum exchange_end how, int error, uint64_t time_ns)
{
	struct http1 *h = state;

	if (h->dead)
		return;
	h->dead = true;
	if (h->join.state != HTTP1_JOIN_OFF)
		http1_join_drop(&h->join, sink);
	if (is_whole_at_close(h, how))
		http1_reply_over(h, sink);
	while (h->queue.count) {
		struct exchange *ex = http1_pop(h);
		enum exchange_end end = how;

		if (!ex)
			continue;
		if (h->ended && (how == END_CLOSED || how == END_ABORTED))
			end = ex->role == ROLE_SERVER ? END_ABORTED : END_CLOSED;
		ex->error = error;
		http1_finish(sink, ex, end, time_ns);
	}
}

static void http1_start_joined(void *state)
{
	struct http1 *h = state;

	h->join.state = HTTP1_JOIN_LOOK;
}

static bool http1_idle(const void *state)
{
	const struct http1 *h = state;

	if (h->dead || h->lost || h->queue.count || h->join.state != HTTP1_JOIN_OFF)
		return false;
	for (int i = 0; i < 2; i++)
		if (h->half[i].state != AT_HEAD || h->half[i].begun || h->half[i].trust != SYNCED)
			return false;
	return true;
}

const struct protocol http1 = {
	.name = "http1",
	.state_size = sizeof(struct http1),
	.detect = http1_detect,
	.join = http1_start_joined,
	.idle = http1_idle,
	.feed = http1_feed,
	.hole = http1_hole,
	.eof = http1_eof,
	.close = http1_close,
};
