/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Programs on the functions of TLS libraries: what a process reads and writes through them becomes
 * records like any other, of the connection that carries it (tls_pair.h). The same in every hook
 * set. The agent attaches them, each with the kind of function as its cookie (weft/tls.h).
 */
#pragma once
#include "moved.h"

#define TLS_OVERHEAD 17 /* least number of bytes that a TLS record has beyond its plaintext */

SEC("uprobe")
int tls_enter(struct pt_regs *ctx)
{
	__u32 func = bpf_get_attach_cookie(ctx);
	struct tls_thread *t;
	__u64 session;

	if (!current_traced())
		return 0;
	if (func == WEFT_TLS_HAND) {
		tls_hand(FUNC_ARG1(ctx), FUNC_ARG2(ctx));
		return 0;
	}
	session = FUNC_ARG0(ctx);
	if (func == WEFT_TLS_FREE) {
		struct tls_key key = tls_key(session);

		bpf_map_delete_elem(&tls_sessions, &key);
		return 0;
	}
	t = tls_thread(true);
	if (!t)
		return 0;
	/* what a read or a write does of a handshake is the read's or the write's */
	if (func == WEFT_TLS_HANDSHAKE && t->session == session && tls_inside(t, REGS_SP(ctx)))
		return 0;
	t->session = session;
	t->func = func;
	t->inside = 0;
	t->buffer = FUNC_ARG1(ctx);
	t->out = FUNC_ARG3(ctx);
	t->sp = REGS_SP(ctx);
	if (func == WEFT_TLS_WRITE || func == WEFT_TLS_WRITE_EX || func == WEFT_TLS_SENDFILE)
		t->time_ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline bool tls_reads(__u8 func)
{
	return func == WEFT_TLS_READ || func == WEFT_TLS_READ_EX;
}

/* The bytes of plaintext that the call moved. */
static __always_inline __u32 tls_count(const struct tls_thread *t, struct pt_regs *ctx)
{
	long ret = FUNC_RET(ctx);
	__u64 n = 0;

	switch (t->func) {
	case WEFT_TLS_READ:
	case WEFT_TLS_WRITE:
		return (int)ret > 0 ? ret : 0;
	case WEFT_TLS_SENDFILE:
		return ret > 0 && ret <= 0x7fffffff ? ret : 0;
	case WEFT_TLS_READ_EX:
	case WEFT_TLS_WRITE_EX:
		if ((int)ret <= 0 || bpf_probe_read_user(&n, sizeof(n), (void *)t->out))
			return 0;
		return n <= 0x7fffffff ? n : 0;
	}
	return 0;
}

/* What the order of the thread's calls says, of a session whose call used no socket. certain,
 * drained: as it stands with the session (tls_pair.h). With a stack of its own: the program's is
 * small. */
__noinline int tls_order(struct tls_thread *t, __u64 session, __u32 n, __u32 certain, __u32 drained)
{
	bool reads;

	if (!t)
		return 0;
	reads = tls_reads(t->func);
	/* what a write takes out of the bytes that came is a handshake's */
	if (t->conn && t->conn != TLS_UNCLEAR &&
		(t->handed      ? t->func == WEFT_TLS_HANDSHAKE
			: reads ? !n || t->heard >= n + TLS_OVERHEAD
				: !certain)) {
		struct tls_sign sign = {
			.session = session,
			.conn = t->conn,
			.base = t->base,
			.key = t->key,
			.fresh = t->fresh,
			.seen = t->handed ? TLS_SEEN_INSIDE : TLS_SEEN_RECV,
		};

		tls_sign(&sign);
		drained = 0;
	}
	t->conn = 0;
	t->handed = 0;
	/* A handshake's calls move no plaintext; and make nothing to send until something came. */
	if (n ? reads : certain || drained)
		return 0;
	t->op = session;
	return 0;
}

/* A scratch of this CPU that nobody uses: where the kernel preempts itself, another thread's call
 * can come in between. */
static __always_inline struct scratch *tls_claim(__u32 *ret_slot)
{
	struct scratch *s;

	for (__u32 i = 0; i < TLS_SLOTS; i++) {
		*ret_slot = TLS_SLOT + i;
		s = scratch_get(*ret_slot);
		if (s && !__sync_lock_test_and_set(&s->busy, 1))
			return s;
	}
	return NULL;
}

/* Plaintext that is not told of: it no longer is known how much came before. */
static __always_inline void tls_missed(const struct tls_key *key)
{
	struct tls_session *s = bpf_map_lookup_elem(&tls_sessions, key);

	if (!s)
		return;
	s->plain.flags &= ~CONN_FRAMES;
	s->plain.flags |= CONN_UNNUMBERED;
	s->plain.start = START_IN_BETWEEN;
}

/* A call of a session moved n bytes of plaintext, and returns. */
struct tls_op {
	__u64 buffer;
	__u64 time_ns; /* when a send began; 0: now */
	__u32 n;
	__u8 dir;
	__u8 is_file; /* the bytes never were in user memory */
};

/* The scratch is claimed. */
static __always_inline void tls_tell(void *ctx, struct tls_session *s, const struct tls_op *op,
	struct moved_call *m, struct weft_counts *cnt)
{
	struct conn *c = &s->plain;
	__u64 what = conn_wants(c), age;
	enum weft_want want = (__u32)what;
	__u32 end = conn_counted(c, op->dir) + op->n, zero = 0;
	struct weft_control *ctl = bpf_map_lookup_elem(&control, &zero);
	__u8 was = c->start;

	m->layer = WEFT_LAYER_PLAIN;
	c->start = START_IN_BETWEEN;
	if ((ctl && s->key < ctl->shed) || want == WEFT_WANT_NOTHING) {
		c->flags &= ~CONN_FRAMES;
		moved_untold(c, op->dir, op->n, cnt,
			want == WEFT_WANT_NOTHING ? WEFT_COUNT_UNWANTED : WEFT_COUNT_SHED);
		return;
	}
	if (was == START_FRESH)
		m->flags = WEFT_FRESH;
	if (!moved_wanted(c, what, was, op->dir, op->n, end, m, cnt))
		return;
	if (op->is_file)
		source_none(&m->bytes.src, WEFT_NO_COPY_FILE);
	else
		source_buffer(&m->bytes.src, op->buffer);
	m->bytes.what = what;
	m->bytes.start = end - op->n;
	m->bytes.n = op->n;
	m->bytes.dir = op->dir;
	m->time_ns = bpf_ktime_get_ns();
	m->waits = s->waits;
	if (c->flags & CONN_UNNUMBERED)
		m->flags |= WEFT_UNNUMBERED;
	moved_counted(c, op->dir, m);
	/* what is written leaves before the call returns */
	age = m->time_ns - op->time_ns;
	if (op->dir == WEFT_SEND && op->time_ns && age < ~0u)
		m->age_ns = age;
	moved_emit(ctx, m->slot, moved_record(c, m), cnt);
}

/* There is no scratch: both are in use, or the CPU is younger than weft. */
static __noinline int tls_lost(const struct tls_key *key, const struct tls_op *op)
{
	struct weft_counts *cnt = counts_get(TLS_LOST_SLOT);
	struct tls_session *s;

	if (!key || !op)
		return 0;
	lost_tell();
	s = bpf_map_lookup_elem(&tls_sessions, key);
	if (s)
		s->plain.moved[op->dir & 1] += op->n;
	tls_missed(key);
	if (cnt) {
		__sync_fetch_and_add(&cnt->v[WEFT_COUNT_SEEN], 1);
		__sync_fetch_and_add(&cnt->v[WEFT_COUNT_LOST_CPU], 1);
	}
	return 0;
}

/* waits: how the process waits on that connection's socket, as in weft_record.flags. It says
 * nothing of the session's if that is another: a thread that was handed bytes that another received
 * has used some other socket, or none. */
static __always_inline int tls_told(
	void *ctx, const struct tls_key *key, const struct tls_op *op, __u64 conn, __u8 waits)
{
	struct weft_counts *cnt;
	struct scratch *scratch;
	struct tls_session *s;
	__u32 slot;

	scratch = tls_claim(&slot);
	if (!scratch) {
		tls_lost(key, op);
		return 0;
	}
	cnt = counts_get(slot);
	s = bpf_map_lookup_elem(&tls_sessions, key);
	if (cnt && s && tls_certain(s)) {
		cnt->v[WEFT_COUNT_SEEN]++;
		if (s->plain.id == conn)
			s->waits = waits;
		__builtin_memset(&scratch->call, 0, sizeof(scratch->call));
		scratch->call.slot = slot;
		tls_tell(ctx, s, op, &scratch->call, cnt);
	} else if (cnt) {
		cnt->v[WEFT_COUNT_TLS_UNMATCHED]++;
		tls_missed(key);
	}
	__sync_lock_test_and_set(&scratch->busy, 0);
	return 0;
}

SEC("uretprobe")
int tls_leave(struct pt_regs *ctx)
{
	struct tls_thread *t = tls_thread(false);
	struct tls_session *s;
	struct tls_op op = {};
	struct tls_key key;

	/* a handshake that a read or a write makes ends before that does */
	if (!t || !t->session || bpf_get_attach_cookie(ctx) != t->func)
		return 0;
	key = tls_key(t->session);
	t->session = 0;
	op.n = tls_count(t, ctx);
	if (!t->inside) {
		s = bpf_map_lookup_elem(&tls_sessions, &key);
		tls_order(t, key.session, op.n, s && tls_certain(s), s && s->drained);
	}
	if (!op.n)
		return 0;
	op.buffer = t->buffer;
	op.time_ns = t->time_ns;
	op.dir = tls_reads(t->func) ? WEFT_RECV : WEFT_SEND;
	op.is_file = t->func == WEFT_TLS_SENDFILE;
	return tls_told(ctx, &key, &op, t->used, t->waits);
}
