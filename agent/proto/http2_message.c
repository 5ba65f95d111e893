/* SPDX-License-Identifier: Apache-2.0 */
/* What header blocks and DATA make of an exchange (RFC 9113, 8; gRPC over HTTP2). */
#include "core/counters.h"
#include "proto/http2_state.h"
#include "proto/http_fill.h"

#define PREFIX 5 /* gRPC: a flag and the message's length */

static void count_one(struct sink *sink, enum counter which)
{
	sink->ops->count(sink, which, 1);
}

void http2_finish(struct http2 *h, struct sink *sink, struct exchange *ex, enum exchange_end end,
	uint64_t time_ns)
{
	http2_streams_remove(&h->streams, ex);
	/* of what was not decoded nothing can be said */
	if (end == END_PAIRED && !ex->http.status)
		end = END_HOLE;
	ex->end = end;
	if (ex->reply_end_ns < time_ns)
		ex->reply_end_ns = time_ns;
	sink->ops->done(sink, ex);
}

void http2_finish_all(struct http2 *h, struct sink *sink, enum exchange_end end, uint64_t time_ns)
{
	struct exchange *ex;

	while ((ex = http2_streams_above(&h->streams, 0)))
		http2_finish(h, sink, ex, end, time_ns);
}

void http2_strange(struct http2 *h, uint64_t time_ns)
{
	if (h->unsure && time_ns > h->strange_ns)
		h->strange_ns = time_ns;
}

void http2_side_over(struct http2 *h, struct sink *sink, struct exchange *ex, enum side side,
	const struct feed *in)
{
	if (side == SIDE_REQUEST) {
		ex->request_end_ns = in->time_ns;
		return;
	}
	ex->reply_end_ns = in->time_ns;
	ex->reply_tid = in->tid;
	http2_finish(h, sink, ex, END_PAIRED, in->time_ns);
}

/* RFC 9113, 8.3.1: every request says method, scheme and path, but for CONNECT. What has none of
 * them is a trailer section; where some fields are not known, one of these three has to be. */
static bool is_request(const struct http2_block *b)
{
	return b->method.ptr || (b->unknown && (b->path.ptr || b->scheme.ptr));
}

static void open_request(struct http2 *h, struct sink *sink, const struct feed *in,
	const struct http2_block *b, uint32_t stream, bool end)
{
	const struct http2_half *half = &h->half[SIDE_REQUEST];
	struct exchange *ex;

	count_one(sink, COUNT_REQUESTS);
	ex = sink->ops->open(sink);
	if (!ex)
		return;
	ex->stream = stream;
	ex->request_start_ns = half->start_ns;
	ex->request_end_ns = in->time_ns;
	ex->request_pos = half->start_pos;
	ex->request_tid = in->tid;
	ex->http.major = 2;
	ex->http.unknown = b->unknown;
	/* RFC 9113, 8.5: CONNECT has an authority alone */
	if (http_fill_request(ex, &(struct http_request){
					  .method = b->method,
					  .target = b->path.ptr ? b->path : b->authority,
					  .authority = b->authority,
					  .scheme = b->scheme,
					  .fields = &b->fields,
				  }))
		count_one(sink, COUNT_TEXT_CUT);
	ex->http.extended_connect = b->protocol.ptr;
	http2_streams_add(&h->streams, ex);
	sink->ops->asked(sink, ex, b->fields.v, b->fields.n);
	if (end)
		http2_side_over(h, sink, ex, SIDE_REQUEST, in);
}

bool http2_request_block(struct http2 *h, struct sink *sink, const struct feed *in,
	const struct http2_block *b, uint32_t stream, bool end)
{
	struct http2_half *half = &h->half[SIDE_REQUEST];
	struct exchange *ex = http2_streams_find(&h->streams, stream);

	if (!(stream & 1))
		return false;
	if (ex) {
		if (end)
			http2_side_over(h, sink, ex, SIDE_REQUEST, in);
		return true;
	}
	if (stream <= half->highest) { /* given up before */
		http2_strange(h, in->time_ns);
		return true;
	}
	half->highest = stream;
	if (!is_request(b)) {
		http2_strange(h, in->time_ns);
		return true;
	}
	if (b->malformed) {
		count_one(sink, COUNT_BAD_REQUEST);
		return true;
	}
	open_request(h, sink, in, b, stream, end);
	return true;
}

/* RFC 9113, 8.5, and RFC 8441: from here on the stream is another protocol's. */
static bool is_tunnel(const struct exchange *ex)
{
	return ex->http.status / 100 == 2 && slice_eq(ex->http.method, SLICE("CONNECT"));
}

static void got_reply(struct http2 *h, struct sink *sink, const struct feed *in,
	const struct http2_block *b, struct exchange *ex, bool end)
{
	count_one(sink, COUNT_REPLIES);
	ex->http.replied = true;
	ex->http.status = b->status;
	ex->http.unknown |= b->unknown;
	ex->reply_start_ns = h->half[SIDE_REPLY].start_ns;
	ex->reply_end_ns = in->time_ns;
	ex->reply_tid = in->tid;
	http_fill_rpc_status(ex, &b->fields);
	sink->ops->replied(sink, ex, b->fields.v, b->fields.n);
	if (is_tunnel(ex)) {
		ex->http.tunnelled = true;
		count_one(sink, COUNT_TUNNELS);
		sink->ops->want(sink, WANT_CALLS_TUNNEL);
		end = true;
	}
	if (end)
		http2_side_over(h, sink, ex, SIDE_REPLY, in);
}

void http2_reply_block(struct http2 *h, struct sink *sink, const struct feed *in,
	const struct http2_block *b, uint32_t stream, bool end)
{
	struct exchange *ex = http2_streams_find(&h->streams, stream);

	if (!ex) {
		http2_strange(h, in->time_ns);
		if (b->status >= 200 && stream & 1)
			count_one(sink, COUNT_REPLY_UNPAIRED);
		return;
	}
	if (b->malformed || (!ex->http.replied && !b->status && !b->unknown)) {
		count_one(sink, COUNT_BAD_REPLY);
		http2_finish(h, sink, ex, END_BAD, in->time_ns);
		return;
	}
	if (!ex->http.replied && (b->status >= 200 || !b->status)) {
		got_reply(h, sink, in, b, ex, end);
		return;
	}
	if (b->status) /* RFC 9110, 15.2: the final one follows */
		return;
	http_fill_rpc_status(ex, &b->fields);
	if (end)
		http2_side_over(h, sink, ex, SIDE_REPLY, in);
}

void http2_messages(struct http_messages *m, struct slice bytes, uint32_t n, size_t *ret_used,
	uint32_t *ret_skip)
{
	size_t used = 0;

	for (;;) {
		uint32_t skip = m->left < n - used ? m->left : (uint32_t)(n - used);

		if (skip) {
			m->left -= skip;
			*ret_used = used;
			*ret_skip = skip;
			return;
		}
		if (used == n || used == bytes.len)
			break;
		if (m->prefix_got) /* the first byte says whether it is compressed */
			m->prefix[m->prefix_got - 1] = (uint8_t)bytes.ptr[used];
		used++;
		if (++m->prefix_got < PREFIX)
			continue;
		m->prefix_got = 0;
		m->left = http2_u32((const char *)m->prefix);
		m->count++;
	}
	*ret_used = used;
	*ret_skip = 0;
}
