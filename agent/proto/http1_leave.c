/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that become another protocol's. */
#include "core/counters.h"
#include "proto/http1_state.h"
#include "proto/http2.h"

enum parse http1_leave(
	struct http1 *h, struct sink *sink, const struct feed *in, struct parsed *ret)
{
	struct exchange *ex = h->answering ? http1_queue_front(&h->queue) : NULL;
	bool asked = ex && slice_eq(ex->http.method, SLICE("CONNECT"));

	if (ex)
		ex->http.tunnelled = true;
	http1_reply_over(h, sink);
	http1_finish_all(h, sink, END_HOLE, in->time_ns);
	h->dead = true;
	sink->ops->count(sink, COUNT_TUNNELS, 1);
	sink->ops->want(sink, asked ? WANT_TUNNEL_TLS : WANT_TUNNEL);
	ret->skip = SKIP_REST;
	return PARSE_CONSUMED;
}

enum parse http1_become_http2(struct http1 *h, struct sink *sink, const struct feed *in)
{
	struct exchange *ex = NULL;

	http1_request_over(h);
	if (h->queue.count) {
		ex = http1_pop(h);
		http1_finish_all(h, sink, END_HOLE, in->time_ns);
	}
	sink->ops->become(sink, &http2, ex);
	return PARSE_CONSUMED;
}

bool http1_offers_http2(const struct http1_head *head)
{
	for (unsigned i = 0; i < head->fields.n; i++)
		if (slice_eq_nocase(head->fields.v[i].name, SLICE("Upgrade")))
			return slice_eq_nocase(head->fields.v[i].value, SLICE("h2c"));
	return false;
}
