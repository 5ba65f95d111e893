/* SPDX-License-Identifier: Apache-2.0 */
#include "conn/conn.h"

#include "capture/capture.h"
#include "capture/listeners.h"
#include "capture/procs.h"
#include "conn/stream.h"
#include "core/cleanup.h"
#include "core/table.h"

#include <errno.h>

#define BLOCKS      256 /* for bytes that must be kept: heads that come in pieces */
#define TRIES_MAX   16 /* calls looked at before a connection counts as not understood */
#define WAITING_MAX 256 /* connections with something held back that are looked after each tick */

struct conn {
	uint64_t id;
	struct conns *all;
	const struct protocol *proto;
	void *state;
	struct stream streams[2]; /* by weft_direction */
	struct endpoints ends;
	uint64_t connect_ns, connect_evidence;
	uint64_t received_ns; /* time of the latest receive */
	uint32_t connect_pid, connect_tid;
	uint32_t pid; /* of the latest record */
	uint32_t other; /* of the latest record */
	uint32_t epoch; /* of the selection that pid was checked against */
	enum role role;
	uint8_t tries;
	bool numbered;
	bool polled, nonblocking; /* at the latest record with bytes */
	bool given_up; /* not understood, or a tunnel: no more bytes wanted */
	bool unselected; /* nor, for now, of this one */
	bool own; /* weft's */
	bool selected; /* pid was traced at epoch */
	bool asked_once;
	bool shut, peer_first; /* a direction has ended; the peer's first */
	bool waiting; /* in the list of those */
	bool touched; /* since the search for a victim last came by */
};

struct conns {
	struct sink sink; /* first: callbacks get its address */
	struct table by_id;
	struct table own; /* client ends of weft itself */
	uint32_t self;
	struct conn *v;
	uint32_t *free;
	uint32_t free_count, capacity, hand;
	char *states;
	size_t state_size;
	struct stream_pool *blocks;
	struct exchange_pool *exchanges;
	struct conn *current; /* whose bytes are being parsed */
	struct conn *waiting[WAITING_MAX];
	unsigned waiting_count;
	uint32_t epoch;
	struct procs *procs;
	struct listeners *listeners;
	struct capture *capture;
	struct counters *counters;
	const struct conns_ops *ops;
	void *ctx;
	_Atomic unsigned in_use, open;
};

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
		return NULL;
	}
	all->open = exchange_pool_used(all->exchanges);
	ex->kind = EXCHANGE_HTTP;
	ex->role = c->role;
	ex->conn = c;
	ex->ends = &c->ends;
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

	all->ops->asked(all->ctx, ex, fields, n);
}

static void sink_replied(
	struct sink *sink, struct exchange *ex, const struct field *fields, unsigned n)
{
	struct conns *all = of_sink(sink);

	all->ops->replied(all->ctx, ex, fields, n);
}

static enum counter end_counter(enum exchange_end end)
{
	switch (end) {
	case END_PAIRED:
		return COUNT_PAIRED;
	case END_RESET:
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

static void give_up(struct conn *c)
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

	if (want == WANT_NOTHING)
		give_up(all->current);
	else
		capture_want(all->capture, all->current->id,
			want == WANT_COUNTS ? WEFT_WANT_COUNTS : WEFT_WANT_HEADS);
}

static void sink_count(struct sink *sink, unsigned counter, uint64_t n)
{
	count_add(of_sink(sink)->counters, (enum counter)counter, n);
}

static const struct sink_ops SINK_OPS = {
	.open = sink_open,
	.asked = sink_asked,
	.replied = sink_replied,
	.done = sink_done,
	.want = sink_want,
	.count = sink_count,
};

/* What a stream's consumer is called with. */
struct flow {
	struct conn *conn;
	enum weft_direction dir;
};

static enum side side_of(const struct conn *c, enum weft_direction dir)
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
		return d;
	}
	return more ? DETECT_MORE : DETECT_NO;
}

static enum parse flow_feed(void *ctx, const struct feed *in, struct parsed *ret)
{
	struct flow *flow = ctx;
	struct conn *c = flow->conn;

	if (!c->proto) {
		enum detect d = in->call_start && in->bytes.len ? detect(c, flow->dir, in->bytes)
								: DETECT_NO;

		ret->used = 0;
		ret->skip = 0;
		if (d == DETECT_MORE && in->bytes.len < PARSE_KEEP)
			return PARSE_MORE;
		if (!c->proto) {
			/* a connection joined in its middle shows a message's beginning sooner or
			 * later */
			if (in->call_start && ++c->tries >= TRIES_MAX) {
				count(c->all->counters, COUNT_PROTO_UNKNOWN);
				give_up(c);
				return PARSE_BAD;
			}
			ret->used = in->bytes.len;
			return PARSE_CONSUMED;
		}
	}
	return c->proto->feed(c->state, &c->all->sink, side_of(c, flow->dir), in, ret);
}

static void flow_hole(void *ctx, const struct feed *in, uint64_t n)
{
	struct flow *flow = ctx;
	struct conn *c = flow->conn;

	if (c->proto)
		c->proto->hole(c->state, &c->all->sink, side_of(c, flow->dir), in, n);
}

static void flow_eof(void *ctx, uint64_t time_ns)
{
	struct flow *flow = ctx;
	struct conn *c = flow->conn;

	if (c->proto)
		c->proto->eof(c->state, &c->all->sink, side_of(c, flow->dir), time_ns);
}

static const struct stream_ops STREAM_OPS = {
	.feed = flow_feed,
	.hole = flow_hole,
	.eof = flow_eof,
};

static struct stream_io io_of(struct flow *flow)
{
	return (struct stream_io){
		.pool = flow->conn->all->blocks,
		.ops = &STREAM_OPS,
		.ctx = flow,
		.peer = &flow->conn->streams[!flow->dir],
	};
}

static void tally(struct conns *all, const struct stream_tally *t)
{
	if (t->hole_bytes)
		count_add(all->counters, COUNT_HOLE_BYTES, t->hole_bytes);
	if (t->conflicts)
		count_add(all->counters, COUNT_CONFLICTS, t->conflicts);
	if (t->reordered)
		count_add(all->counters, COUNT_REORDERED, t->reordered);
}

static void watch(struct conn *c)
{
	struct conns *all = c->all;

	if (c->waiting || !(stream_holds(&c->streams[0]) || stream_holds(&c->streams[1])))
		return;
	if (all->waiting_count < WAITING_MAX) {
		all->waiting[all->waiting_count++] = c;
		c->waiting = true;
	}
}

/* Runs fn on both streams of a connection with what they need. */
#define EACH_STREAM(c, call)                                                                       \
	do {                                                                                       \
		for (unsigned dir_ = 0; dir_ < 2; dir_++) {                                        \
			struct flow flow_ = {(c), (enum weft_direction)dir_};                      \
			struct stream_io io = io_of(&flow_);                                       \
			struct stream *stream = &(c)->streams[dir_];                               \
			(c)->all->current = (c);                                                   \
			call;                                                                      \
			tally((c)->all, &io.tally);                                                \
		}                                                                                  \
	} while (0)

/* Ends what is open on it, and forgets its streams. */
static void conn_finish(struct conn *c, enum exchange_end how, int error, uint64_t time_ns)
{
	struct conns *all = c->all;

	if (!c->given_up)
		EACH_STREAM(c, stream_settle(stream, &io));
	all->current = c;
	if (c->proto)
		c->proto->close(c->state, &all->sink, how, error, time_ns);
	c->proto = NULL;
	for (unsigned dir = 0; dir < 2; dir++)
		stream_release(&c->streams[dir], all->blocks);
}

static void unselect(struct conn *c, uint64_t time_ns)
{
	if (c->unselected)
		return;
	conn_finish(c, END_EVICTED, 0, time_ns);
	memset(c->streams, 0, sizeof(c->streams));
	c->unselected = true;
	capture_want(c->all->capture, c->id, WEFT_WANT_NOTHING);
}

static void conn_end(struct conn *c, enum exchange_end how, int error, uint64_t time_ns)
{
	struct conns *all = c->all;

	conn_finish(c, how, error, time_ns);
	if (c->role == ROLE_CLIENT)
		all->ops->gone(all->ctx, &c->ends);
	if (c->own)
		table_remove(
			&all->own, addr_key(c->ends.local_addr, c->ends.local_port, c->ends.netns));
	if (c->waiting)
		for (unsigned i = 0; i < all->waiting_count; i++)
			if (all->waiting[i] == c) {
				all->waiting[i] = all->waiting[--all->waiting_count];
				break;
			}
	table_remove(&all->by_id, c->id);
	c->id = 0;
	all->free[all->free_count++] = (uint32_t)(c - all->v);
	all->in_use--;
}

static struct conn *find(const struct conns *all, uint64_t id)
{
	uint32_t i = table_find(&all->by_id, id);

	return i == TABLE_NONE ? NULL : &all->v[i];
}

/* Second chance: forgets one that had no record since the search last came by. */
static void evict(struct conns *all, uint64_t now_ns)
{
	for (uint32_t n = 0; n < 2 * all->capacity; n++) {
		struct conn *c = &all->v[all->hand];

		all->hand = (all->hand + 1) % all->capacity;
		if (!c->id)
			continue;
		if (!c->touched) {
			count(all->counters, COUNT_CONNS_EVICTED);
			conn_end(c, END_EVICTED, 0, now_ns);
			return;
		}
		c->touched = false;
	}
}

/* Whether the process that moved the bytes is traced, asked when it or the selection changed. */
static bool selected(struct conn *c, uint32_t pid)
{
	struct conns *all = c->all;

	if (c->pid == pid && c->epoch == all->epoch)
		return c->selected;
	c->pid = pid;
	c->epoch = all->epoch;
	c->selected =
		procs_get(all->procs, pid) &&
		!(c->role == ROLE_SERVER && procs_port_excluded(all->procs, c->ends.local_port));
	return c->selected;
}

static void set_ends(struct conn *c, const struct weft_open *rec)
{
	c->ends.local_port = rec->local_port;
	c->ends.remote_port = rec->remote_port;
	c->ends.netns = rec->netns;
	memcpy(c->ends.local_addr, rec->local_addr, ADDR_LEN);
	memcpy(c->ends.remote_addr, rec->remote_addr, ADDR_LEN);
}

static struct conn *conn_add(struct conns *all, uint64_t id, uint64_t now_ns)
{
	struct conn *c;
	uint32_t i;

	if (!all->free_count)
		evict(all, now_ns);
	i = all->free[--all->free_count];
	c = &all->v[i];
	*c = (struct conn){.id = id, .all = all, .state = all->states + i * all->state_size};
	table_put(&all->by_id, id, i);
	all->in_use++;
	count(all->counters, COUNT_CONNS_OPENED);
	return c;
}

/* weft's own exports are not followed at their server's end either: each would cause the next. */
static bool is_own(struct conn *c, uint32_t pid)
{
	struct conns *all = c->all;

	if (pid == all->self) {
		c->own = table_put(&all->own,
				 addr_key(c->ends.local_addr, c->ends.local_port, c->ends.netns),
				 1) == 0;
		return true;
	}
	return table_find(&all->own, addr_key(c->ends.remote_addr, c->ends.remote_port,
					     c->ends.netns)) != TABLE_NONE;
}

void conns_on_open(struct conns *all, const struct weft_open *rec)
{
	bool connects = rec->head.flags & WEFT_CONNECTED;
	struct conn *c = find(all, rec->conn);
	bool again = c;

	if (!c)
		c = conn_add(all, rec->conn, rec->head.time_ns);
	set_ends(c, rec);
	if (is_own(c, rec->head.pid)) {
		give_up(c);
		return;
	}
	if (again) {
		all->ops->connected(all->ctx, &c->ends);
		return;
	}
	c->connect_ns = rec->connect_ns;
	c->connect_tid = rec->head.tid;
	c->connect_pid = rec->head.pid;
	c->numbered = !(rec->head.flags & WEFT_UNNUMBERED);
	c->polled = c->nonblocking = rec->head.flags & WEFT_POLLED;
	c->epoch = all->epoch - 1;
	if (connects) {
		c->role = ROLE_CLIENT;
		selected(c, rec->head.pid);
		c->connect_evidence = all->ops->connecting(
			all->ctx, rec->head.pid, rec->head.tid, rec->connect_ns);
		/* the announcement of the connect itself may have been lost */
		if (rec->local_port)
			all->ops->connected(all->ctx, &c->ends);
	} else if (listeners_have(all->listeners, rec->netns, rec->local_port)) {
		c->role = ROLE_SERVER;
	}
}

void conns_on_data(struct conns *all, const struct weft_data *rec, uint64_t time_ns)
{
	enum weft_direction dir = rec->head.flags & WEFT_SEND_BIT ? WEFT_SEND : WEFT_RECV;
	struct conn *c = find(all, rec->conn);
	struct flow flow = {c, dir};
	struct segment seg = {
		.seq = rec->seq,
		.len = rec->len,
		.off = rec->off == WEFT_OFF_TAIL ? STREAM_OFF_TAIL : rec->off,
		.caught = slice_of(rec + 1, rec->caught),
		.time_ns = time_ns,
		.tid = rec->head.tid,
		.other = rec->other,
	};
	struct stream_io io;

	if (!c) {
		count(all->counters, COUNT_CONNS_UNKNOWN);
		return;
	}
	/* a reply can be recorded before the request that another thread sent; a server's first
	 * request has nothing before it */
	seg.waits = dir == WEFT_RECV && !(rec->head.flags & WEFT_UNNUMBERED) &&
		    (c->role == ROLE_CLIENT || c->streams[WEFT_SEND].started);
	c->touched = true;
	if (!selected(c, rec->head.pid)) {
		/* of a process that was recorded before it was decided on, or deselected since */
		unselect(c, rec->head.time_ns);
		return;
	}
	if (c->given_up || c->unselected)
		return;
	c->other = rec->other;
	if (rec->caught) {
		c->polled = rec->head.flags & WEFT_POLLED;
		c->nonblocking = rec->head.flags & WEFT_NONBLOCKING;
	}
	if (rec->head.flags & WEFT_UNNUMBERED)
		c->numbered = false;
	/* where the opposite stream begins: the loss of its very first record shows. A client's own
	 * first request is not begun by the reply to it, which may be recorded earlier. */
	else if (dir == WEFT_SEND || c->role != ROLE_CLIENT)
		stream_start(&c->streams[!dir], rec->other);
	if (dir == WEFT_RECV)
		c->received_ns = time_ns;
	else if (time_ns < c->received_ns)
		time_ns = c->received_ns; /* no answer leaves before the question came */
	seg.time_ns = time_ns;
	io = io_of(&flow);
	all->current = c;
	stream_push(&c->streams[dir], &seg, &io);
	tally(all, &io.tally);
	if (stream_holds(&c->streams[!dir])) {
		struct flow back = {c, !dir};

		io = io_of(&back);
		stream_resume(&c->streams[!dir], &io);
		tally(all, &io.tally);
	}
	watch(c);
}

void conns_on_shut(struct conns *all, const struct weft_shut *rec)
{
	enum weft_direction dir = rec->head.flags & WEFT_SEND_BIT ? WEFT_SEND : WEFT_RECV;
	struct conn *c = find(all, rec->conn);
	struct flow flow = {c, dir};
	struct stream_io io;

	if (!c || c->given_up || c->unselected)
		return;
	if (!c->shut)
		c->peer_first = dir == WEFT_RECV;
	c->shut = true;
	io = io_of(&flow);
	all->current = c;
	stream_fin(&c->streams[dir], dir == WEFT_SEND ? rec->send_seq : rec->recv_seq, &io);
	tally(all, &io.tally);
	watch(c);
}

static enum exchange_end end_of(int error, bool local_first)
{
	switch (error) {
	case 0:
		return local_first ? END_ABORTED : END_CLOSED;
	case ECONNREFUSED:
		return END_REFUSED;
	case ETIMEDOUT:
		return END_TIMEOUT;
	case ECONNRESET:
	case EPIPE:
		return END_RESET;
	default:
		return END_UNREACHABLE;
	}
}

/* A connect that came to nothing: no message, but a span. */
static void connect_failed(struct conn *c, const struct weft_shut *rec)
{
	struct conns *all = c->all;
	struct exchange *ex;

	if (!selected(c, c->connect_pid))
		return;
	count(all->counters, COUNT_CONNS_FAILED);
	all->current = c;
	count(all->counters, COUNT_REQUESTS);
	ex = sink_open(&all->sink);
	if (!ex)
		return;
	ex->kind = EXCHANGE_CONNECT;
	ex->request_start_ns = ex->request_end_ns = c->connect_ns;
	ex->reply_end_ns = rec->head.time_ns;
	ex->request_tid = ex->reply_tid = c->connect_tid;
	ex->error = rec->error;
	/* no error: the process gave up on it, which is how its own timeouts look from here */
	ex->end = rec->error ? end_of(rec->error, false) : END_TIMEOUT;
	all->ops->asked(all->ctx, ex, NULL, 0);
	sink_done(&all->sink, ex);
}

void conns_on_close(struct conns *all, const struct weft_shut *rec)
{
	struct conn *c = find(all, rec->conn);

	if (!c)
		return;
	count(all->counters, COUNT_CONNS_CLOSED);
	if (rec->head.flags & WEFT_NEVER_UP) {
		connect_failed(c, rec);
	} else if (!c->given_up && !c->unselected) {
		struct flow flow = {c, WEFT_RECV};
		struct stream_io io = io_of(&flow);

		all->current = c;
		stream_reach(&c->streams[WEFT_RECV], rec->recv_seq, &io);
		tally(all, &io.tally);
	}
	conn_end(c, end_of(rec->error, !c->peer_first), rec->error, rec->head.time_ns);
}

bool conns_waiting(const struct conns *all)
{
	return all->waiting_count;
}

void conns_tick(struct conns *all, uint64_t now_ns)
{
	for (unsigned i = 0; i < all->waiting_count;) {
		struct conn *c = all->waiting[i];

		EACH_STREAM(c, stream_flush(stream, now_ns, &io));
		EACH_STREAM(c, stream_resume(stream, &io));
		if (stream_holds(&c->streams[0]) || stream_holds(&c->streams[1])) {
			i++;
			continue;
		}
		c->waiting = false;
		all->waiting[i] = all->waiting[--all->waiting_count];
	}
}

void conns_reselect(struct conns *all)
{
	all->epoch++;
	for (uint32_t i = 0; i < all->capacity; i++) {
		struct conn *c = &all->v[i];

		if (!c->id || !c->unselected)
			continue;
		c->unselected = false;
		c->tries = 0;
		capture_want(
			all->capture, c->id, c->given_up ? WEFT_WANT_NOTHING : WEFT_WANT_HEADS);
	}
}

void conns_shutdown(struct conns *all, uint64_t now_ns)
{
	for (uint32_t i = 0; i < all->capacity; i++)
		if (all->v[i].id)
			conn_end(&all->v[i], END_SHUTDOWN, 0, now_ns);
}

unsigned conns_count(const struct conns *all)
{
	return all->in_use;
}

unsigned conns_exchanges(const struct conns *all)
{
	return all->open;
}

int conns_new(const struct conns_options *options, struct procs *procs, struct listeners *listeners,
	struct capture *capture, struct counters *counters, const struct conns_ops *ops, void *ctx,
	struct conns **ret_conns)
{
	struct conns *all = calloc(1, sizeof(*all));
	unsigned n = options->max_connections;
	int err;

	if (!all)
		return -ENOMEM;
	for (unsigned i = 0; i < PROTOCOLS_COUNT; i++)
		if (PROTOCOLS[i]->state_size > all->state_size)
			all->state_size = (PROTOCOLS[i]->state_size + 15u) & ~(size_t)15;
	all->sink.ops = &SINK_OPS;
	all->capacity = n;
	all->self = options->self;
	all->v = calloc(n, sizeof(all->v[0]));
	all->free = calloc(n, sizeof(all->free[0]));
	all->states = calloc(n, all->state_size);
	err = !all->v || !all->free || !all->states ? -ENOMEM : table_init(&all->by_id, n);
	if (!err)
		err = table_init(&all->own, n);
	if (!err)
		err = stream_pool_new(BLOCKS, &all->blocks);
	if (!err)
		err = exchange_pool_new(options->max_exchanges, &all->exchanges);
	if (err) {
		conns_free(all);
		return err;
	}
	for (unsigned i = 0; i < n; i++)
		all->free[i] = n - 1 - i;
	all->free_count = n;
	all->procs = procs;
	all->listeners = listeners;
	all->capture = capture;
	all->counters = counters;
	all->ops = ops;
	all->ctx = ctx;
	*ret_conns = all;
	return 0;
}

void conns_free(struct conns *all)
{
	if (!all)
		return;
	stream_pool_free(all->blocks);
	exchange_pool_free(all->exchanges);
	table_release(&all->by_id);
	table_release(&all->own);
	free(all->states);
	free(all->free);
	free(all->v);
	free(all);
}
