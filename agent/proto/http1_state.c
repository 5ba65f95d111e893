/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http1_state.h"

struct exchange *http1_pop(struct http1 *h)
{
	struct exchange *ex = http1_queue_pop(&h->queue);

	if (ex && ex == h->asking)
		h->asking = NULL;
	return ex;
}

void http1_finish(struct sink *sink, struct exchange *ex, enum exchange_end end, uint64_t time_ns)
{
	if (!ex)
		return;
	ex->end = end;
	if (end != END_PAIRED && ex->reply_end_ns < time_ns)
		ex->reply_end_ns = time_ns;
	sink->ops->done(sink, ex);
}

void http1_finish_all(struct http1 *h, struct sink *sink, enum exchange_end end, uint64_t time_ns)
{
	while (h->queue.count)
		http1_finish(sink, http1_pop(h), end, time_ns);
	h->answering = false;
	h->suspect = false;
}

void http1_lose(struct http1 *h, struct sink *sink, uint64_t time_ns)
{
	http1_finish_all(h, sink, END_HOLE, time_ns);
	h->lost = true;
}

void http1_next(struct half *half)
{
	half->state = AT_HEAD;
	half->begun = false;
	half->scanned = 0;
}

void http1_lose_place(struct half *half)
{
	http1_next(half);
	half->trust = BLIND;
}

void http1_start_over(struct http1 *h, struct sink *sink)
{
	for (int side = 0; side < 2; side++)
		if (h->half[side].state != DEAF)
			h->half[side] = (struct half){0};
	h->asking = NULL;
	h->lost = h->pipelined = h->orphaned = h->hidden = h->unsure = false;
	h->join = (struct http1_join){.state = HTTP1_JOIN_LOOK};
	sink->ops->unsure(sink, true);
}

void http1_note_seen(struct half *half, const struct feed *in, uint64_t n)
{
	half->last_ns = in->time_ns;
	half->last_pos = in->pos + n;
	half->last_tid = in->tid;
}

void http1_request_over(struct http1 *h)
{
	struct half *half = &h->half[SIDE_REQUEST];

	if (h->asking) {
		h->asking->request_end_ns = half->last_ns;
		h->asking->http.request_body = half->last_pos - half->body_pos;
		h->asking = NULL;
	}
	http1_next(half);
}

void http1_reply_over(struct http1 *h, struct sink *sink)
{
	struct half *half = &h->half[SIDE_REPLY];
	struct exchange *ex;

	/* where its end was not certain, there may have been others behind it */
	if (!h->answering || half->state == IN_LOST)
		h->orphan_ns = half->last_ns;
	http1_next(half);
	h->replied_ns = half->last_ns;
	if (!h->answering)
		return;
	h->answering = false;
	ex = http1_pop(h);
	if (!ex)
		return;
	ex->reply_end_ns = half->last_ns;
	ex->reply_tid = half->last_tid;
	ex->http.reply_body = half->last_pos - half->body_pos;
	if (h->queue.first && h->queue.first->request_start_ns < ex->reply_start_ns)
		h->pipelined = true;
	http1_finish(sink, ex, END_PAIRED, half->last_ns);
}

void http1_body_over(struct http1 *h, struct sink *sink, enum side side)
{
	if (side == SIDE_REQUEST)
		http1_request_over(h);
	else
		http1_reply_over(h, sink);
}
