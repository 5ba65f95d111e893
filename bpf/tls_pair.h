/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * TLS: which session of a process' TLS library is carried by which connection. Programs on the
 * library's functions (tls.h) see a session and its plaintext; the hooks of the socket's calls see
 * which connection a thread uses. Three signs bring the two together:
 *
 * - The library calls the socket itself: the call is made inside the session's.
 * - The process reads the socket, then hands the bytes to the session: the next call of a session
 *   on that thread follows the receive.
 * - The process takes bytes from the session, then sends them: the send follows the call.
 *
 * A Go program's library says itself which descriptor it uses: see gotls.h, and tls_sockets.
 *
 * The first is certain. The second is only taken if no other connection was read in between; the
 * third points to the latest session that may have made something, and can be wrong. They count for
 * certain once both have pointed to the same connection, which a handshake does before there is any
 * plaintext.
 */
#pragma once
#include "caller.h"
#include "conn.h"
#include "weft/tls.h"

struct tls_key {
	__u64 session; /* the library's pointer */
	__u32 tgid;
	__u32 pad;
};
struct tls_session {
	struct conn plain; /* its plaintext: the connection's number, with places and a budget of
			      its own */
	__u32 key; /* sock_key() of the connection */
	__u8 seen; /* TLS_SEEN_*: why it is taken for this connection's */
	__u8 waits; /* how the process waits on the socket: as in weft_record.flags */
	__u8 doubts; /* signs in a row that pointed to another connection */
	__u8 drained; /* what its calls made was sent, and nothing came since */
};
enum {
	TLS_SEEN_INSIDE = 1u << 0, /* the library called the socket */
	TLS_SEEN_RECV = 1u << 1, /* the session's call followed the socket's receive */
	TLS_SEEN_SEND = 1u << 2, /* the socket's send followed the session's call */
};

/* Written here; deleted when the library frees the session. The least used give way to new ones. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096); /* resized before load */
	__type(key, struct tls_key);
	__type(value, struct tls_session);
} tls_sessions SEC(".maps");

/* What a new one is made from: never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tls_session);
} tls_blank SEC(".maps");

/* What a thread is doing with TLS. Lives with the thread. */
struct tls_thread {
	__u64 session; /* in whose call it is; 0: in none */
	__u64 buffer, out; /* that call's arguments, */
	__u64 sp; /* its stack, */
	__u64 time_ns; /* and when a write began */
	__u64 op; /* session of its latest call that may have made bytes to send; 0: none */
	__u64 conn; /* whose socket it has read since the latest call; 0: none */
	__u64 used; /* whose socket it used last */
	__u32 heard; /* bytes of conn */
	__u32 base; /* the number of the first of them */
	__u32 key; /* sock_key() of conn */
	__u8 func; /* enum weft_tls_func */
	__u8 inside; /* the call has used a socket */
	__u8 waits; /* how the process waits on the socket it used last */
	__u8 fresh; /* those bytes were the connection's first */
	__u8 handed; /* known by its hello: certain */
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tls_thread);
} tls_threads SEC(".maps");

/* Hellos that were received, by the random in them (RFC 8446, 4.1.2): whoever hands these bytes to
 * its library hands that connection's. Written here. The least used give way to new ones. */
struct tls_random {
	__u64 v[2]; /* the first half: that is random enough */
};
struct tls_hello {
	__u64 conn;
	__u32 tgid;
	__u32 base, key; /* as in struct tls_sign */
	__u32 fresh;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096); /* resized before load */
	__type(key, struct tls_random);
	__type(value, struct tls_hello);
} tls_hellos SEC(".maps");

#define TLS_RANDOM_AT  11 /* behind the headers of record and message, and the version */
#define TLS_RETRY      0x11619ae574ad21cfull /* no random: HelloRetryRequest (RFC 8446, 4.1.3) */
#define TLS_UNCLEAR    (~0ull) /* tls_thread.conn: several */
#define TLS_CERTAIN    3 /* so many doubts make it start anew; */
#define TLS_NEVER      8 /* and so many, not to be certain ever, by order */
#define TLS_LENGTH_MAX (16384 + 256) /* RFC 8446, 5.2 */
#define TLS_STACK      (256u * 1024) /* that a call may take below its caller */

enum { BEGINS_TLS = 1, BEGINS_CONNECT };

/* Where n bytes from `at` of the call's are in user memory; 0: not in its first buffer. */
static __always_inline __u64 tls_bytes(const struct source *src, __u32 at, __u32 n)
{
	struct user_iovec iov;

	if (src->why != WEFT_COPY_OK)
		return 0;
	if (!src->count)
		return src->ptr + at;
	if (iovecs_read(&iov, 1, src->ptr) || iov.len < (__u64)src->skip + at + n)
		return 0;
	return iov.base + src->skip + at;
}

/* The same of its hello's random; moved: bytes before this call in its direction. */
__noinline __u64 tls_random_of(const struct source *src, __u32 moved, __u32 n)
{
	if (!src || moved > TLS_RANDOM_AT || n < TLS_RANDOM_AT - moved + sizeof(struct tls_random))
		return 0;
	return tls_bytes(src, TLS_RANDOM_AT - moved, sizeof(struct tls_random));
}

/* With what a connection's first call that is seen begins. The header of a TLS record (RFC 8446,
 * 5.1): its type, its version, and its length. Of a fresh one that is a handshake's; an older one's
 * next is likely to be application data, behind a header that is read by itself. Or the only method
 * of HTTP that asks for a tunnel (RFC 9110, 9.3.6). */
__noinline int tls_begins(const struct source *src, __u32 n, __u32 fresh)
{
	__u8 head[5];
	__u64 from;

	if (!src || n < sizeof(head))
		return 0;
	from = tls_bytes(src, 0, sizeof(head));
	if (!from || bpf_probe_read_user(head, sizeof(head), (void *)from))
		return 0;
	if (head[0] == 'C' && head[1] == 'O' && head[2] == 'N' && head[3] == 'N')
		return BEGINS_CONNECT;
	if (head[1] != 3)
		return 0;
	return fresh ? head[0] == 22 && head[2] <= 4
		     : head[0] == 23 && head[2] == 3 && head[3] <= TLS_LENGTH_MAX >> 8;
}

static __always_inline struct tls_thread *tls_thread(bool make)
{
	return bpf_task_storage_get(&tls_threads, (struct task_struct *)bpf_get_current_task_btf(),
		NULL, make ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
}

static __always_inline struct tls_key tls_key(__u64 session)
{
	struct tls_key key = {
		.session = session,
		.tgid = bpf_get_current_pid_tgid() >> 32,
	};

	return key;
}

static __always_inline bool tls_certain(const struct tls_session *s)
{
	return s->seen & TLS_SEEN_INSIDE ||
	       ((s->seen & TLS_SEEN_RECV) && (s->seen & TLS_SEEN_SEND) && s->doubts < TLS_NEVER);
}

/* One sign that a session is carried by a connection. */
struct tls_sign {
	__u64 session, conn;
	__u32 base; /* the number of the connection's first byte, if fresh: */
	__u32 key;
	__u32 fresh; /* that was just moved, so that no plaintext was before */
	__u32 seen; /* words, for no byte between may be unset: Linux 5.15 */
};

/* Whether that makes it certain. The programs have small stacks: so this, as what follows, has one
 * of its own, and the verifier walks through it once. */
__noinline int tls_sign(const struct tls_sign *sign)
{
	struct tls_session *s, *blank;
	struct tls_key key;
	__u32 zero = 0;
	__u8 doubts = 0;

	if (!sign)
		return 0;
	key = tls_key(sign->session);
	s = bpf_map_lookup_elem(&tls_sessions, &key);
	if (s && s->plain.id == sign->conn) {
		s->seen |= sign->seen;
		s->drained = sign->seen == TLS_SEEN_SEND;
		if (!tls_certain(s))
			return 0;
		s->doubts = 0;
		return 1;
	}
	/* what was seen to be certain is not put in doubt by the order of calls */
	if (s && s->seen & TLS_SEEN_INSIDE && !(sign->seen & TLS_SEEN_INSIDE))
		return 0;
	/* the weaker sign says nothing against the other */
	if (s && sign->seen == TLS_SEEN_SEND && s->seen & TLS_SEEN_RECV)
		return 0;
	if (s && !(sign->seen & TLS_SEEN_INSIDE)) {
		doubts = s->doubts < TLS_NEVER ? s->doubts + 1 : TLS_NEVER;
		if (tls_certain(s)) {
			s->doubts = doubts;
			if (doubts < TLS_CERTAIN)
				return 0;
			doubts = 0;
		}
	}
	blank = bpf_map_lookup_elem(&tls_blank, &zero);
	if (!blank || bpf_map_update_elem(&tls_sessions, &key, blank, BPF_ANY))
		return 0;
	s = bpf_map_lookup_elem(&tls_sessions, &key);
	if (!s)
		return 0;
	s->plain.id = sign->conn;
	s->plain.base = sign->base;
	s->plain.flags = CONN_OPENED | (sign->fresh ? 0 : CONN_UNNUMBERED);
	s->plain.start = sign->fresh ? START_FRESH : START_IN_BETWEEN;
	s->key = sign->key;
	/* until a thread that used the socket itself calls: as any that hands bytes on */
	s->waits = WEFT_POLLED | WEFT_NONBLOCKING;
	s->doubts = doubts;
	s->seen = sign->seen;
	s->drained = sign->seen == TLS_SEEN_SEND;
	return tls_certain(s);
}

/* Whether the thread still is inside its session's call: it can have left it by a jump. */
static __always_inline bool tls_inside(const struct tls_thread *t, __u64 sp)
{
	return t->session && sp < t->sp && t->sp - sp < TLS_STACK;
}

static __always_inline void tls_note_socket(const struct tls_moved *call)
{
	__u64 sock = call->sock;
	struct tls_socket *known = bpf_map_lookup_elem(&tls_sockets, &sock);
	struct tls_socket fresh = {
		.conn = call->conn,
		.base = call->seq,
		.key = call->key,
		.waits = call->waits,
	};

	if (known && known->conn == call->conn)
		return;
	if (call->fresh)
		fresh.first_ns = bpf_ktime_get_ns();
	bpf_map_update_elem(&tls_sockets, &sock, &fresh, BPF_ANY);
}

static __always_inline void tls_note_hello(const struct tls_moved *call)
{
	__u64 sock = call->sock;
	struct tls_socket *at = bpf_map_lookup_elem(&tls_sockets, &sock);
	struct tls_hello hello = {
		.conn = call->conn,
		.tgid = bpf_get_current_pid_tgid() >> 32,
		.key = call->key,
	};
	struct tls_random random;

	if (!at || bpf_probe_read_user(&random, sizeof(random), (void *)call->random) ||
		random.v[0] == TLS_RETRY)
		return;
	hello.base = at->base;
	hello.fresh = !!at->first_ns;
	bpf_map_update_elem(&tls_hellos, &random, &hello, BPF_ANY);
}

/* The process hands bytes that it received to its library, maybe on another thread than it received
 * them on: if they begin with a hello, it shows whose they are. */
static __always_inline void tls_hand(__u64 from, __u32 n)
{
	struct tls_random random;
	struct tls_hello *hello;
	struct tls_thread *t;
	__u8 head[6];

	if (n < TLS_RANDOM_AT + sizeof(random) ||
		bpf_probe_read_user(head, sizeof(head), (void *)from) || head[0] != 22 ||
		head[1] != 3 || (head[5] != 1 && head[5] != 2) ||
		bpf_probe_read_user(&random, sizeof(random), (void *)(from + TLS_RANDOM_AT)))
		return;
	hello = bpf_map_lookup_elem(&tls_hellos, &random);
	if (!hello || hello->tgid != bpf_get_current_pid_tgid() >> 32)
		return;
	t = tls_thread(true);
	if (!t)
		return;
	t->conn = hello->conn;
	t->heard = n;
	t->base = hello->base;
	t->key = hello->key;
	t->fresh = hello->fresh;
	t->handed = 1;
}

/* Whether the connection's session is known for certain. */
__noinline int tls_moved(const struct tls_moved *call)
{
	struct tls_sign sign = {};
	struct tls_thread *t;

	if (!call)
		return 0;
	if (!call->known)
		tls_note_socket(call);
	if (call->random)
		tls_note_hello(call);
	t = tls_thread(true);
	if (!t)
		return 0;
	t->used = call->conn;
	t->waits = call->waits;
	sign.conn = call->conn;
	sign.base = call->seq;
	sign.key = call->key;
	sign.fresh = call->fresh;
	if (tls_inside(t, call->sp)) {
		t->conn = t->op = 0;
		if (t->inside)
			return 0;
		t->inside = 1;
		sign.session = t->session;
		sign.seen = TLS_SEEN_INSIDE;
		return tls_sign(&sign);
	}
	sign.session = t->op;
	t->op = 0;
	if (call->dir == WEFT_SEND) {
		sign.seen = TLS_SEEN_SEND;
		return call->known || (sign.session && tls_sign(&sign));
	}
	if (t->conn == call->conn) {
		t->heard += call->n;
		return 0;
	}
	/* no sign is needed of it; and what is left unread of one that ends says nothing of others
	 */
	if (call->known) {
		t->conn = 0;
		return 0;
	}
	t->handed = 0;
	t->fresh = call->fresh && !t->conn;
	t->conn = t->conn ? TLS_UNCLEAR : call->conn;
	t->heard = call->n;
	t->base = call->seq;
	t->key = call->key;
	return 0;
}
