/* SPDX-License-Identifier: Apache-2.0 */
#include "conn/conn.h"

#include "capture/capture.h"
#include "capture/listeners.h"
#include "capture/procs.h"
#include "conn/own.h"
#include "conn/state.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "proto/tls.h"

#include <errno.h>
#include <xxhash.h>

#define BLOCKS      256 /* for bytes that must be kept: heads that come in pieces */
#define QUIET_BYTES (64u * 1024) /* of a body still to come, that the kernel is told of */
#define DOUBT_NS    (300 * NS_PER_SEC) /* quiet for so long after a loss: taken for ended */
#define DOUBT_STEP  256 /* looked at in one tick */
#define CONNECT_NS  (1000u * 1000) /* from a connect() to its announcement, at most */
/* A Unix socket whose end may not be told is forgotten after so long, and comes back if it lives.
 */
#define UNIX_QUIET_NS (60 * NS_PER_SEC)
#define UNIX_STEP     64

static void tally(struct conns *all, const struct stream_tally *t)
{
	if (t->hole_bytes)
		count_add(all->counters, COUNT_HOLE_BYTES, t->hole_bytes);
	if (t->conflicts)
		count_add(all->counters, COUNT_CONFLICTS, t->conflicts);
	if (t->reordered)
		count_add(all->counters, COUNT_REORDERED, t->reordered);
}

/* The same, where what is missing was the process' business. */
static void tally_missed(struct conn *c, const struct stream_tally *t, uint64_t time_ns)
{
	tally(c->all, t);
	if (t->hole_bytes && c->role != ROLE_CLIENT)
		c->all->ops->unseen(c->all->ctx, c->pid, time_ns);
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

/* Runs call on both streams of a connection with what it needs, and counts what it found. */
#define EACH_STREAM(c, call, counted)                                                              \
	do {                                                                                       \
		for (unsigned dir_ = 0; dir_ < 2; dir_++) {                                        \
			struct flow flow_ = {(c), (enum weft_direction)dir_};                      \
			struct stream_io io = conn_io(&flow_);                                     \
			struct stream *stream = &(c)->streams[dir_];                               \
			(c)->all->current = (c);                                                   \
			call;                                                                      \
			counted;                                                                   \
		}                                                                                  \
	} while (0)

void conn_finish(struct conn *c, enum exchange_end how, int error, uint64_t time_ns)
{
	struct conns *all = c->all;

	if (!c->given_up)
		EACH_STREAM(c, stream_settle(stream, time_ns, &io), tally(all, &io.tally));
	all->current = c;
	if (c->proto)
		c->proto->close(c->state, &all->sink, how, error, time_ns);
	c->proto = NULL;
	c->calls = false;
	conn_hides(c, HIDES_NOTHING);
	for (unsigned dir = 0; dir < 2; dir++)
		stream_release(&c->streams[dir], all->blocks);
}

/* As the client has them. */
static struct endpoints client_ends(const struct conn *c)
{
	struct endpoints ends = c->ends;

	if (c->role != ROLE_SERVER)
		return ends;
	memcpy(ends.local_addr, c->ends.remote_addr, ADDR_LEN);
	memcpy(ends.remote_addr, c->ends.local_addr, ADDR_LEN);
	ends.local_port = c->ends.remote_port;
	ends.remote_port = c->ends.local_port;
	return ends;
}

static void unselect(struct conn *c, uint64_t time_ns)
{
	if (!c->unselected) {
		conn_finish(c, END_EVICTED, 0, time_ns);
		memset(c->streams, 0, sizeof(c->streams));
		c->unselected = true;
	}
	capture_want(c->all->capture, c->id, WEFT_WANT_NOTHING);
}

static void conn_end(struct conn *c, enum exchange_end how, int error, uint64_t time_ns)
{
	struct conns *all = c->all;

	conn_sealed_end(c);
	/* too short to be given up on before */
	if (c->tries && !c->proto && !c->given_up && !c->unselected)
		count(all->counters, COUNT_PROTO_UNKNOWN);
	conn_finish(c, how, error, time_ns);
	if (c->role == ROLE_CLIENT || (c->role == ROLE_SERVER && c->ends.path)) {
		struct endpoints client = client_ends(c);

		all->ops->gone(all->ctx, &client);
	}
	own_gone(c);
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

/* Nothing is under way on it, and all that was said was understood. */
static bool is_idle(const struct conn *c)
{
	return c->proto && !c->given_up && !c->unselected && !stream_holds(&c->streams[0]) &&
	       !stream_holds(&c->streams[1]) && c->proto->idle(c->state);
}

/* Forgets one that may live, and come back. */
static void conn_drop(struct conn *c, enum counter why, uint64_t now_ns)
{
	enum weft_direction asks = c->role == ROLE_SERVER ? WEFT_RECV : WEFT_SEND;

	count(c->all->counters, why);
	if (is_idle(c))
		capture_want_again(c->all->capture, c->id, asks, (uint32_t)c->streams[asks].pos);
	else
		capture_want(c->all->capture, c->id, WEFT_WANT_AGAIN);
	conn_end(c, END_EVICTED, 0, now_ns);
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
			conn_drop(c, COUNT_CONNS_EVICTED, now_ns);
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
	if (rec->head.flags & WEFT_UNIX) {
		const struct weft_open_unix *open = (const struct weft_open_unix *)rec;

		c->ends.path = paths_intern(&c->all->paths, open->path, open->path_len);
		c->ends.path_hash = (uint32_t)XXH3_64bits(open->path, open->path_len);
	}
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
	c->latest_ns = now_ns;
	table_put(&all->by_id, id, i);
	all->in_use++;
	count(all->counters, COUNT_CONNS_OPENED);
	return c;
}

void conns_on_open(struct conns *all, const struct weft_open *rec)
{
	bool connects = rec->head.flags & WEFT_CONNECTED;
	struct conn *c = find(all, rec->conn);
	bool again = c;

	if (!c)
		c = conn_add(all, rec->conn, rec->head.time_ns);
	if (!again || !c->ends.path) /* a Unix socket's peer may have no number any more */
		set_ends(c, rec);
	if (own_is(c, rec->head.pid)) {
		if (!again)
			count(all->counters, COUNT_CONNS_OWN);
		conn_give_up(c);
		return;
	}
	if (again) {
		if (connects && c->selected)
			all->ops->connected(all->ctx, &c->ends);
		return;
	}
	capture_heard(all->capture, c->id);
	c->connect_ns = rec->connect_ns;
	c->connect_tid = rec->head.tid;
	c->connect_pid = rec->head.pid;
	c->numbered = !(rec->head.flags & WEFT_UNNUMBERED);
	c->polled = c->nonblocking = rec->head.flags & WEFT_POLLED;
	c->epoch = all->epoch - 1;
	if (connects) {
		c->role = ROLE_CLIENT;
		if (!selected(c, rec->head.pid))
			return;
		/* the announcement of the connect itself may have been lost: what the thread does
		 * now is no evidence then */
		if (rec->head.time_ns - rec->connect_ns < CONNECT_NS)
			c->connect_evidence = all->ops->connecting(
				all->ctx, rec->head.pid, rec->head.tid, rec->connect_ns);
		if (rec->local_port || c->ends.path)
			all->ops->connected(all->ctx, &c->ends);
	} else if (c->ends.path) {
		c->role = rec->head.flags & WEFT_ACCEPTED ? ROLE_SERVER : ROLE_UNKNOWN;
		if (rec->head.flags & WEFT_CALLER_TRACED) {
			struct endpoints caller = client_ends(c);

			all->ops->connected(all->ctx, &caller);
		}
	} else if (listeners_have(all->listeners, rec->netns, rec->local_port)) {
		c->role = ROLE_SERVER;
	}
}

/* Tells the kernel of a long body, so that its calls leave no record but the last. Not of one that
 * only the connection's end delimits: the time of its last byte would be lost. */
static void quieten(struct conn *c, enum weft_direction dir)
{
	const struct stream *s = &c->streams[dir];

	if (c->given_up || c->unselected || c->calls)
		return;
	if (c->quiet_until && c->quiet == dir && s->pos >= c->quiet_until) {
		c->quiet_until = 0;
		if (s->skip < QUIET_BYTES)
			capture_want(c->all->capture, c->id, WEFT_WANT_HEADS);
	}
	if (c->quiet_until || s->skip < QUIET_BYTES || s->skip == SKIP_REST)
		return;
	c->quiet = dir;
	c->quiet_until = s->pos + (s->skip < WEFT_UNTIL_AHEAD ? s->skip : WEFT_UNTIL_AHEAD);
	capture_want_until(c->all->capture, c->id, dir, (uint32_t)c->quiet_until);
}

/* Whether the connection's bytes begin at something that is known. */
static void note_start(struct conn *c, enum weft_direction dir, uint8_t flags)
{
	bool fresh = flags & WEFT_FRESH, quiet = flags & WEFT_QUIET;
	enum role asker = dir == WEFT_RECV ? ROLE_SERVER : ROLE_CLIENT;
	bool known;

	if (c->heard && (!c->joined || !(fresh || quiet)))
		return;
	known = fresh || (quiet && (c->role == ROLE_UNKNOWN || c->role == asker));
	if (c->heard && !known)
		return;
	/* who does not listen is a client: what bodies hold says nothing of that */
	if (!fresh && c->role == ROLE_UNKNOWN)
		c->role = known ? asker : ROLE_CLIENT;
	if (known && c->proto) {
		c->proto->close(c->state, &c->all->sink, END_EVICTED, 0, 0);
		c->proto = NULL;
	}
	if (!c->heard)
		c->older = fresh ? 0 : OLDER_REQUESTS;
	c->heard = true;
	c->joined = !known;
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
		capture_want(all->capture, rec->conn, WEFT_WANT_AGAIN);
		return;
	}
	/* a reply can be recorded before the request that another thread sent; a server's first
	 * request has nothing before it */
	seg.waits = dir == WEFT_RECV && !(rec->head.flags & WEFT_UNNUMBERED) &&
		    (c->role == ROLE_CLIENT || c->streams[WEFT_SEND].started);
	c->touched = true;
	c->latest_ns = rec->head.time_ns;
	if (!selected(c, rec->head.pid)) {
		/* of a process that was recorded before it was decided on, or deselected since */
		unselect(c, rec->head.time_ns);
		return;
	}
	if (c->given_up || c->unselected) {
		/* another connection took the slot in which this was said */
		capture_want(all->capture, c->id, WEFT_WANT_NOTHING);
		return;
	}
	all->current = c;
	if (!conn_layer(c, rec))
		return;
	note_start(c, dir, rec->head.flags);
	c->latest = dir;
	turns_note(&c->turns, dir, rec->seq, rec->len, rec->other);
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
	io = conn_io(&flow);
	all->current = c;
	conn_push(c, rec, &seg, &io);
	tally_missed(c, &io.tally, rec->head.time_ns);
	if (stream_holds(&c->streams[!dir])) {
		struct flow back = {c, !dir};

		io = conn_io(&back);
		stream_resume(&c->streams[!dir], &io);
		tally_missed(c, &io.tally, rec->head.time_ns);
	}
	if (c->calls)
		conn_follow(c, dir, rec->head.flags & WEFT_PIECES);
	quieten(c, dir);
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
	/* the socket's numbers say nothing of what TLS carries; and what has come may not have been
	 * read yet */
	if (c->sealed || (c->opened && dir == WEFT_RECV))
		return;
	io = conn_io(&flow);
	all->current = c;
	stream_fin(&c->streams[dir],
		c->opened          ? (uint32_t)c->streams[dir].pos
		: dir == WEFT_SEND ? rec->send_seq
				   : rec->recv_seq,
		&io);
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
	ex = CONN_SINK.open(&all->sink);
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
	CONN_SINK.done(&all->sink, ex);
}

void conns_on_close(struct conns *all, const struct weft_shut *rec)
{
	struct conn *c = find(all, rec->conn);

	if (!c)
		return;
	if (rec->head.flags & WEFT_SHED) {
		count(all->counters, COUNT_SHED);
		conn_end(c, END_EVICTED, 0, rec->head.time_ns);
		return;
	}
	count(all->counters, COUNT_CONNS_CLOSED);
	if (rec->head.flags & WEFT_NEVER_UP) {
		connect_failed(c, rec);
	} else if (!(rec->head.flags & WEFT_END_MISSED) && !c->given_up && !c->unselected &&
		   !c->sealed && !c->opened) {
		struct flow flow = {c, WEFT_RECV};
		struct stream_io io = conn_io(&flow);

		all->current = c;
		stream_reach(&c->streams[WEFT_RECV], rec->recv_seq, rec->head.time_ns, &io);
		tally_missed(c, &io.tally, rec->head.time_ns);
	}
	conn_end(c, end_of(rec->error, !c->peer_first), rec->error, rec->head.time_ns);
}

bool conns_waiting(const struct conns *all)
{
	return all->waiting_count;
}

void conns_doubt(struct conns *all, uint64_t now_ns)
{
	if (!all->doubt_ns)
		all->doubt_ns = now_ns;
	else
		all->doubt_next_ns = now_ns;
}

static void settle_doubt(struct conns *all, uint64_t now_ns)
{
	uint32_t end = all->capacity - all->doubt_at < DOUBT_STEP ? all->capacity
								  : all->doubt_at + DOUBT_STEP;

	for (; all->doubt_at < end; all->doubt_at++) {
		struct conn *c = &all->v[all->doubt_at];

		if (!c->id || c->latest_ns >= all->doubt_ns)
			continue;
		conn_drop(c, COUNT_CONNS_ENDED_UNSEEN, now_ns);
	}
	if (all->doubt_at < all->capacity)
		return;
	all->doubt_at = 0;
	all->doubt_ns = all->doubt_next_ns;
	all->doubt_next_ns = 0;
}

/* Whether nothing is expected on a Unix socket whose end may have come unseen: its requests are
 * answered, or it is in the middle of an answer. */
static bool unix_is_over(const struct conn *c, uint64_t quiet_ns)
{
	enum weft_direction answers = c->role == ROLE_SERVER ? WEFT_SEND : WEFT_RECV;

	if (quiet_ns > DOUBT_NS)
		return true;
	return quiet_ns > UNIX_QUIET_NS && (!c->proto || is_idle(c) || c->latest == answers);
}

static void settle_unix(struct conns *all, uint64_t now_ns)
{
	for (unsigned n = 0; n < UNIX_STEP && n < all->capacity; n++) {
		struct conn *c = &all->v[all->unix_hand];

		all->unix_hand = (all->unix_hand + 1) % all->capacity;
		if (!c->id || !c->ends.path || now_ns < c->latest_ns ||
			!unix_is_over(c, now_ns - c->latest_ns))
			continue;
		if (!c->given_up && !c->unselected) {
			conn_drop(c, COUNT_CONNS_ENDED_UNSEEN, now_ns);
		} else { /* and stays so */
			count(all->counters, COUNT_CONNS_ENDED_UNSEEN);
			conn_end(c, END_EVICTED, 0, now_ns);
		}
	}
}

void conns_tick(struct conns *all, uint64_t now_ns)
{
	if (all->unix_ends_unseen)
		settle_unix(all, now_ns);
	if (all->doubt_ns && now_ns - all->doubt_ns > DOUBT_NS)
		settle_doubt(all, now_ns);
	for (unsigned i = 0; i < all->waiting_count;) {
		struct conn *c = all->waiting[i];

		EACH_STREAM(
			c, stream_flush(stream, now_ns, &io), tally_missed(c, &io.tally, now_ns));
		EACH_STREAM(c, stream_resume(stream, &io), tally_missed(c, &io.tally, now_ns));
		if (stream_holds(&c->streams[0]) || stream_holds(&c->streams[1])) {
			i++;
			continue;
		}
		c->waiting = false;
		all->waiting[i] = all->waiting[--all->waiting_count];
	}
}

void conn_restart(struct conn *c)
{
	memset(c->streams, 0, sizeof(c->streams));
	memset(&c->turns, 0, sizeof(c->turns));
	c->heard = c->joined = true;
	c->older = OLDER_REQUESTS;
	c->tries = 0;
	c->quiet_until = 0;
}

void conns_missed(struct conns *all, uint64_t now_ns)
{
	for (uint32_t i = 0; i < all->capacity; i++) {
		struct conn *c = &all->v[i];

		if (!c->id || c->given_up || c->unselected ||
			(c->numbered && !c->ends.path && !c->opened))
			continue;
		conn_finish(c, END_HOLE, 0, now_ns);
		conn_restart(c);
		c->numbered = false;
		capture_want(all->capture, c->id, WEFT_WANT_HEADS);
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
		conn_restart(c);
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
	all->state_size = tls_protocol.state_size;
	for (unsigned i = 0; i < PROTOCOLS_COUNT; i++)
		if (PROTOCOLS[i]->state_size > all->state_size)
			all->state_size = PROTOCOLS[i]->state_size;
	all->state_size = (all->state_size + 15u) & ~(size_t)15;
	all->sink.ops = &CONN_SINK;
	all->capacity = n;
	all->self = options->self;
	all->unix_ends_unseen = options->unix_ends_unseen;
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
	paths_release(&all->paths);
	paths_release(&all->names);
	table_release(&all->by_id);
	table_release(&all->own);
	free(all->states);
	free(all->free);
	free(all->v);
	free(all);
}
