/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http1_join.h"

#include "core/counters.h"

/* Something that looks like a request, and is no exchange's. */
static void count_refused(struct sink *sink)
{
	sink->ops->count(sink, COUNT_REQUESTS, 1);
	sink->ops->count(sink, COUNT_UNPAIRED_UNSURE, 1);
}

void http1_join_drop(struct http1_join *join, struct sink *sink)
{
	if (join->ex)
		sink->ops->cancel(sink, join->ex);
	join->ex = NULL;
	join->state = HTTP1_JOIN_LOOK;
	join->asking = join->answering = false;
}

static enum parse ignore(const struct feed *in, struct parsed *ret)
{
	ret->used = in->bytes.len;
	return PARSE_CONSUMED;
}

/* Opens the exchange without asking. A client's is not: the parent of a call has to be found when
 * it is made. Nor is one whose head has no room to be kept. */
static void open_trial(struct http1_join *join, struct sink *sink, const struct feed *in,
	const struct http1_head *head, size_t head_len)
{
	struct exchange *ex;
	bool cut = false;

	join->method_len = 0;
	if (head->start.method.len <= sizeof(join->method)) {
		join->method_len = (uint8_t)head->start.method.len;
		memcpy(join->method, head->start.method.ptr, head->start.method.len);
	}
	if (head_len > EXCHANGE_TEXT) {
		count_refused(sink);
		return;
	}
	sink->ops->count(sink, COUNT_REQUESTS, 1);
	ex = sink->ops->open(sink);
	if (!ex)
		return;
	if (ex->role != ROLE_SERVER) {
		sink->ops->cancel(sink, ex);
		return;
	}
	ex->request_start_ns = join->start_ns;
	ex->request_end_ns = in->time_ns;
	ex->request_pos = join->start_pos;
	ex->request_tid = in->tid;
	exchange_keep(ex, slice_of(in->bytes.ptr, head_len), &cut);
	join->ex = ex;
	join->head_len = (uint32_t)head_len;
}

static void request_whole(struct http1_join *join, const struct feed *in, uint64_t used)
{
	join->state = HTTP1_JOIN_WAIT;
	join->request_end = (uint32_t)(in->pos + used);
	if (!join->ex)
		return;
	join->ex->request_end_ns = in->time_ns;
	join->ex->http.request_body = in->pos + used - join->body_pos;
}

static void body_moves(struct http1_join *join, const struct feed *in, uint64_t n)
{
	join->left -= n;
	if (!join->left)
		request_whole(join, in, n);
}

static enum parse look(
	struct http1_join *join, struct sink *sink, const struct feed *in, struct parsed *ret)
{
	struct http1_head head;
	enum parse parse;

	if (!join->asking) {
		if (!in->turn_start) {
			if (in->call_start && http1_detect_request(in->bytes) == DETECT_REQUEST)
				count_refused(sink);
			return ignore(in, ret);
		}
		join->asking = true;
		join->scanned[SIDE_REQUEST] = 0;
		join->start_ns = in->time_ns;
		join->start_pos = in->pos;
		join->reply_due = in->other;
	}
	parse = http1_head_parse(in->bytes, false, &join->scanned[SIDE_REQUEST], &head, &ret->used);
	if (parse == PARSE_MORE)
		return PARSE_MORE;
	join->asking = false;
	if (parse == PARSE_BAD || head.framing == HTTP1_CODED)
		return ignore(in, ret);
	open_trial(join, sink, in, &head, ret->used);
	join->body_pos = in->pos + ret->used;
	if (head.framing == HTTP1_CHUNKED) {
		join->state = HTTP1_JOIN_CHUNKS;
		join->chunk = (struct http1_chunk){0};
	} else if (head.framing == HTTP1_LENGTH && head.length) {
		join->state = HTTP1_JOIN_LENGTH;
		join->left = head.length;
	} else {
		request_whole(join, in, ret->used);
	}
	return PARSE_CONSUMED;
}

/* More behind a request that should be all. */
static enum parse refuse(
	struct http1_join *join, struct sink *sink, const struct feed *in, struct parsed *ret)
{
	http1_join_drop(join, sink);
	return look(join, sink, in, ret);
}

enum parse http1_join_request(
	struct http1_join *join, struct sink *sink, const struct feed *in, struct parsed *ret)
{
	bool end = false;

	switch ((enum http1_join_state)join->state) {
	case HTTP1_JOIN_LENGTH:
		ret->used = in->bytes.len < join->left ? in->bytes.len : join->left;
		body_moves(join, in, ret->used);
		return PARSE_CONSUMED;
	case HTTP1_JOIN_CHUNKS:
		if (http1_chunk_parse(&join->chunk, in->bytes, ret, &end) == PARSE_BAD) {
			ret->skip = 0;
			http1_join_drop(join, sink);
			return ignore(in, ret);
		}
		if (end)
			request_whole(join, in, ret->used);
		return PARSE_CONSUMED;
	case HTTP1_JOIN_WAIT:
		return refuse(join, sink, in, ret);
	case HTTP1_JOIN_LOOK:
	case HTTP1_JOIN_OFF:
		break;
	}
	return look(join, sink, in, ret);
}

enum parse http1_join_reply(struct http1_join *join, struct sink *sink, const struct feed *in,
	struct parsed *ret, bool *ret_fits)
{
	struct http1_head head;
	enum parse parse;
	size_t used;

	if (!join->answering) {
		if (join->state != HTTP1_JOIN_WAIT || !in->call_start ||
			(uint32_t)in->pos != join->reply_due || in->other != join->request_end) {
			if (in->call_start && http1_detect_reply(in->bytes) == DETECT_REPLY)
				sink->ops->count(sink, COUNT_REPLY_UNPAIRED, 1);
			http1_join_drop(join, sink);
			return ignore(in, ret);
		}
		join->answering = true;
		join->scanned[SIDE_REPLY] = 0;
		join->start_ns = in->time_ns;
		join->start_pos = in->pos;
	}
	parse = http1_head_parse(in->bytes, true, &join->scanned[SIDE_REPLY], &head, &used);
	if (parse == PARSE_MORE)
		return PARSE_MORE;
	/* an interim reply may be to anything */
	if (parse == PARSE_BAD || (head.start.status < 200 && head.start.status != 101)) {
		http1_join_drop(join, sink);
		return ignore(in, ret);
	}
	*ret_fits = true;
	return PARSE_CONSUMED;
}

void http1_join_hole(struct http1_join *join, struct sink *sink, enum side side,
	const struct feed *in, uint64_t n)
{
	if (side == SIDE_REQUEST && join->state == HTTP1_JOIN_LENGTH && n <= join->left)
		body_moves(join, in, n);
	else
		http1_join_drop(join, sink);
}

struct exchange *http1_join_take(
	struct http1_join *join, struct sink *sink, struct slice *ret_method)
{
	struct exchange *ex = join->ex;
	char text[EXCHANGE_TEXT];
	struct http1_head head;
	uint32_t scanned = 0;
	size_t used;

	*ret_method = slice_of(join->method, join->method_len);
	join->state = HTTP1_JOIN_OFF;
	join->ex = NULL;
	if (!ex)
		return NULL;
	memcpy(text, ex->text, join->head_len);
	ex->text_used = 0;
	if (http1_head_parse(slice_of(text, join->head_len), false, &scanned, &head, &used) !=
		PARSE_CONSUMED) {
		sink->ops->cancel(sink, ex); /* it was parsed before, out of the same bytes */
		return NULL;
	}
	if (http1_fill(ex, &head))
		sink->ops->count(sink, COUNT_TEXT_CUT, 1);
	sink->ops->asked(sink, ex, head.fields.v, head.fields.n);
	return ex;
}
