/* SPDX-License-Identifier: Apache-2.0 */
/* Between the streams and the protocols: finds the protocol, feeds it, and keeps its exchanges. */
#include "capture/capture.h"
#include "conn/state.h"
#include "proto/tls.h"

/* Calls looked at before a connection counts as not understood; one joined in its middle shows a
 * message's beginning sooner or later. */
#define TRIES_MAX    16
#define TRIES_JOINED 1024

static struct conns *of_sink(struct sink *sink)
{
	return (struct conns *)sink;
}

static struct exchange *sink_open(struct sink *sink)
{
	struct conns *all = of_sink(sink);
	struct conn *c = all->current;
	struct exchange *ex = exchange_take(all->exchanges);

	if (!ex) {
		count(all->counters, COUNT_REQUESTS_FULL);
		if (c->role != ROLE_CLIENT)
			all->ops->unseen(all->ctx, c->pid, c->received_ns);
		return NULL;
	}
	all->open = exchange_pool_used(all->exchanges);
	ex->kind = EXCHANGE_HTTP;
	ex->role = c->role;
	ex->conn = c;
	ex->ends = &c->ends;
	ex->secure = c->opened ? &c->secure : NULL;
	ex->pid = c->pid;
	ex->opposite = c->other;
	ex->numbered = c->numbered;
	ex->polled = c->polled;
	ex->nonblocking = c->nonblocking;
	if (!c->asked_once) {
		ex->connect_ns = c->connect_ns;
		ex->connect_evidence = c->connect_evidence;
		c->asked_once = true;
	}
	return ex;
}

static void sink_asked(
	struct sink *sink, struct exchange *ex, const struct field *fields, unsigned n)
{
	struct conns *all = of_sink(sink);

	ex->older = all->current->older;
	if (ex->older)
		all->current->older--;
	all->ops->asked(all->ctx, ex, fields, n);
}

static void sink_replied(
	struct sink *sink, struct exchange *ex, const struct field *fields, unsigned n)
{
	struct conns *all = of_sink(sink);
	const struct conn *c = all->current;

	all->ops->replied(all->ctx, ex, fields, n);
	/* the end may come unseen, so the request may be answered any time from now on */
	if (ex->http.until_close && all->unix_ends_unseen && c->ends.path && c->role == ROLE_SERVER)
		all->ops->unseen(all->ctx, c->pid, ex->reply_end_ns);
}

static enum counter end_counter(enum exchange_end end)
{
	switch (end) {
	case END_PAIRED:
		return COUNT_PAIRED;
	case END_RESET:
	case END_STREAM_RESET:
	case END_REFUSED:
	case END_TIMEOUT:
	case END_UNREACHABLE:
		return COUNT_UNPAIRED_RESET;
	case END_HOLE:
		return COUNT_UNPAIRED_HOLE;
	case END_BAD:
		return COUNT_UNPAIRED_BAD;
	case END_EVICTED:
		return COUNT_UNPAIRED_EVICTED;
	case END_SHUTDOWN:
		return COUNT_UNPAIRED_SHUTDOWN;
	case END_OPEN:
	case END_CLOSED:
	case END_ABORTED:
		break;
	}
	return COUNT_UNPAIRED_CLOSED;
}

static void sink_done(struct sink *sink, struct exchange *ex)
{
	struct conns *all = of_sink(sink);

	count(all->counters, end_counter(ex->end));
	all->ops->done(all->ctx, ex);
	exchange_give(all->exchanges, ex);
	all->open = exchange_pool_used(all->exchanges);
}

static void sink_cancel(struct sink *sink, struct exchange *ex)
{
	struct conns *all = of_sink(sink);

	count(all->counters, COUNT_UNPAIRED_UNSURE);
	exchange_give(all->exchanges, ex);
	all->open = exchange_pool_used(all->exchanges);
}

void conn_hides(struct conn *c, enum conn_hides what)
{
	struct conns *all = c->all;

	if (c->role != ROLE_SERVER)
		what = HIDES_NOTHING;
	if (what == c->hides)
		return;
	if (c->hides)
		all->ops->opaque(all->ctx, c->hides_pid, c->hides == HIDES_TUNNEL, false);
	c->hides = what;
	c->hides_pid = c->pid;
	if (what)
		all->ops->opaque(all->ctx, c->pid, what == HIDES_TUNNEL, true);
}

static void sink_unsure(struct sink *sink, bool on)
{
	conn_hides(of_sink(sink)->current, on ? HIDES_REQUESTS : HIDES_NOTHING);
}

void conn_give_up(struct conn *c)
{
	if (c->given_up)
		return;
	c->given_up = true;
	capture_want(c->all->capture, c->id, WEFT_WANT_NOTHING);
	for (unsigned dir = 0; dir < 2; dir++)
		stream_mute(&c->streams[dir], c->all->blocks);
}

static void sink_want(struct sink *sink, enum want want)
{
	struct conns *all = of_sink(sink);

	/* not one inside TLS: what that carries is not looked at again */
	if (want == WANT_TUNNEL_TLS && all->current->role == ROLE_CLIENT && !all->current->opened) {
		all->current->tunnel = true;
		return;
	}
	if (want == WANT_TUNNEL || want == WANT_TUNNEL_TLS || want == WANT_CALLS_TUNNEL)
		conn_hides(all->current, HIDES_TUNNEL);
	all->current->calls = want == WANT_CALLS || want == WANT_CALLS_TUNNEL;
	if (want == WANT_NOTHING || want == WANT_TUNNEL || want == WANT_TUNNEL_TLS)
		conn_give_up(all->current);
	else
		capture_want(all->capture, all->current->id,
			all->current->calls ? WEFT_WANT_CALLS : WEFT_WANT_HEADS);
}

static void sink_become(struct sink *sink, const struct protocol *protocol, struct exchange *ex)
{
	struct conn *c = of_sink(sink)->current;

	c->proto = protocol;
	memset(c->state, 0, protocol->state_size);
	protocol->take_over(c->state, ex);
}

static void sink_count(struct sink *sink, unsigned counter, uint64_t n)
{
	/* the process may well understand it, and what follows */
	if (counter == COUNT_BAD_REQUEST)
		conn_hides(of_sink(sink)->current, HIDES_REQUESTS);
	count_add(of_sink(sink)->counters, (enum counter)counter, n);
}

const struct sink_ops CONN_SINK = {
	.open = sink_open,
	.asked = sink_asked,
	.replied = sink_replied,
	.done = sink_done,
	.want = sink_want,
	.cancel = sink_cancel,
	.unsure = sink_unsure,
	.become = sink_become,
	.count = sink_count,
};

enum side conn_side(const struct conn *c, enum weft_direction dir)
{
	return (c->role == ROLE_SERVER) == (dir == WEFT_RECV) ? SIDE_REQUEST : SIDE_REPLY;
}

/* Finds the protocol and, where it was open, the role by the first bytes of a call. */
static enum detect detect(struct conn *c, enum weft_direction dir, struct slice bytes)
{
	bool more = false;

	for (unsigned i = 0; i < PROTOCOLS_COUNT; i++) {
		enum detect d = PROTOCOLS[i]->detect(bytes);
		enum role role;

		more |= d == DETECT_MORE;
		if (d != DETECT_REQUEST && d != DETECT_REPLY)
			continue;
		role = (d == DETECT_REQUEST) == (dir == WEFT_RECV) ? ROLE_SERVER : ROLE_CLIENT;
		if (c->role != ROLE_UNKNOWN && c->role != role)
			continue;
		c->role = role;
		c->proto = PROTOCOLS[i];
		memset(c->state, 0, c->proto->state_size);
		if (c->joined || c->tries) /* or began with something else */
			c->proto->join(c->state);
		return d;
	}
	return more ? DETECT_MORE : DETECT_NO;
}

static enum parse flow_feed(void *ctx, const struct feed *in, struct parsed *ret)
{
	struct flow *flow = ctx;
	struct conn *c = flow->conn;
	struct feed turned = *in;
	enum parse parse;

	if (!c->proto) {
		enum detect d = in->call_start && in->bytes.len ? detect(c, flow->dir, in->bytes)
								: DETECT_NO;

		ret->used = 0;
		ret->skip = 0;
		if (d == DETECT_MORE && in->bytes.len < PARSE_KEEP)
			return PARSE_MORE;
		if (!c->proto && !c->opened && in->call_start && tls_begins(in->bytes)) {
			capture_want(c->all->capture, c->id, WEFT_WANT_TLS);
			conn_seal(c);
		} else
			conn_hides(c, c->proto && !c->joined && !c->tries ? HIDES_NOTHING
									  : HIDES_REQUESTS);
		conn_agreed(c);
		if (!c->proto) {
			if (in->call_start &&
				++c->tries >= (c->joined ? TRIES_JOINED : TRIES_MAX)) {
				count(c->all->counters, COUNT_PROTO_UNKNOWN);
				conn_give_up(c);
				return PARSE_BAD;
			}
			ret->used = in->bytes.len;
			return PARSE_CONSUMED;
		}
	}
	turned.turn_start = in->call_start && turns_taken(&c->turns, flow->dir, (uint32_t)in->pos);
	parse = c->proto->feed(c->state, &c->all->sink, conn_side(c, flow->dir), &turned, ret);
	if (parse == PARSE_BAD && !c->hides)
		conn_hides(c, HIDES_REQUESTS);
	return parse;
}

static void flow_hole(void *ctx, const struct feed *in, uint64_t n)
{
	struct flow *flow = ctx;
	struct conn *c = flow->conn;

	if (c->proto)
		c->proto->hole(c->state, &c->all->sink, conn_side(c, flow->dir), in, n);
}

static void flow_eof(void *ctx, uint64_t time_ns)
{
	struct flow *flow = ctx;
	struct conn *c = flow->conn;

	if (c->proto)
		c->proto->eof(c->state, &c->all->sink, conn_side(c, flow->dir), time_ns);
}

static const struct stream_ops STREAM_OPS = {
	.feed = flow_feed,
	.hole = flow_hole,
	.eof = flow_eof,
};

struct stream_io conn_io(struct flow *flow)
{
	return (struct stream_io){
		.pool = flow->conn->all->blocks,
		.ops = &STREAM_OPS,
		.ctx = flow,
		.peer = &flow->conn->streams[!flow->dir],
	};
}
