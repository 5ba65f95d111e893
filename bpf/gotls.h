/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Go's crypto/tls: programs on the beginning and on each return instruction of (*Conn).Read and
 * (*Conn).Write. Arguments and results are in registers (Go's internal ABI); a goroutine can return
 * on another thread than it began on. The connection's struct leads to its descriptor, whose socket
 * must be one that TLS was seen on.
 */
#pragma once
#include "fd.h"
#include "tls.h"

struct go_key {
	__u64 goroutine;
	__u32 tgid;
	__u32 pad;
};
struct go_call {
	__u64 session; /* *tls.Conn */
	__u64 buffer;
};

/* Calls that have begun. The least used give way: one that ended in a panic never returns. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096); /* resized before load */
	__type(key, struct go_key);
	__type(value, struct go_call);
} go_calls SEC(".maps");

static __always_inline struct go_key go_key(struct pt_regs *ctx)
{
	struct go_key key = {
		.goroutine = GO_G(ctx),
		.tgid = bpf_get_current_pid_tgid() >> 32,
	};

	return key;
}

/* A tls.Conn begins with the net.Conn that carries it, an interface: a type, and a pointer to the
 * value. If that is a *net.TCPConn, it points to a pointer to a netFD, which begins with a poll.FD:
 * a lock of two words, and the descriptor. If it is something else, the number that is found there
 * is no descriptor, or not that of a socket with TLS. */
static __always_inline struct tls_socket *go_socket(__u64 session)
{
	__u64 value, fd_struct, sock;
	__s32 fd;

	if (bpf_probe_read_user(&value, sizeof(value), (void *)(session + 8)) ||
		bpf_probe_read_user(&fd_struct, sizeof(fd_struct), (void *)value) ||
		bpf_probe_read_user(&fd, sizeof(fd), (void *)(fd_struct + 16)) || fd < 0)
		return NULL;
	sock = (__u64)fd_sock((struct task_struct *)bpf_get_current_task_btf(), fd);
	return sock ? bpf_map_lookup_elem(&tls_sockets, &sock) : NULL;
}

/* Since when all probes on a program are there, by the number in their cookie; GO_BEGUN: not all
 * yet; 0: none. Written by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WEFT_TLS_FILES);
	__type(key, __u32);
	__type(value, __u64);
} go_since SEC(".maps");

/* tgid -> the number of its program. Written here. The least used give way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096); /* resized before load */
	__type(key, __u32);
	__type(value, __u32);
} go_programs SEC(".maps");

static __always_inline __u64 go_probed_since(__u32 number)
{
	__u64 *since = bpf_map_lookup_elem(&go_since, &number);

	return since ? *since : 0;
}

/* Should one file be probed twice, for it was taken for two, each call is told of once. */
static __always_inline bool go_is_first(__u64 cookie)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, number = cookie >> 8;
	__u32 *known = bpf_map_lookup_elem(&go_programs, &tgid);

	if (known && *known == number)
		return true;
	if (known && go_probed_since(*known))
		return false;
	bpf_map_update_elem(&go_programs, &tgid, &number, BPF_ANY);
	return true;
}

/* Of a connection whose first byte was moved when all probes were there no plaintext was missed. */
static __always_inline bool go_is_whole(const struct tls_socket *at, __u64 cookie)
{
	__u64 since = go_probed_since(cookie >> 8);

	return since && since != WEFT_TLS_GO_BEGUN && at->first_ns > since && !at->used;
}

static __always_inline int go_told(void *ctx, const struct go_call *call, struct tls_socket *at,
	__u8 dir, __u32 n, __u64 cookie)
{
	struct tls_key session = tls_key(call->session);
	struct tls_op op = {.buffer = call->buffer, .n = n, .dir = dir};
	struct tls_sign sign = {
		.session = call->session,
		.conn = at->conn,
		.base = at->base,
		.key = at->key,
		.fresh = go_is_whole(at, cookie),
		.seen = TLS_SEEN_INSIDE,
	};

	at->used = 1;
	tls_sign(&sign);
	return tls_told(ctx, &session, &op, at->conn, at->waits);
}

static __always_inline bool go_reads(__u64 cookie)
{
	return (cookie & WEFT_TLS_FUNC_MASK) == WEFT_TLS_GO_READ;
}

/* What is written is told before it leaves: the answer to it can be read, and the connection
 * closed, before the goroutine that wrote comes to return. Unless the connection is not known yet,
 * for this call makes its handshake. */
SEC("uprobe")
int go_enter(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx), len = GO_ARG2(ctx);
	struct tls_socket *at = NULL;
	struct go_call call = {};
	struct go_key key;

	if (!current_traced() || !go_is_first(cookie))
		return 0;
	call.session = GO_ARG0(ctx);
	call.buffer = GO_ARG1(ctx);
	if (!go_reads(cookie))
		at = go_socket(call.session);
	if (at)
		return len && len <= 0x7fffffff ? go_told(ctx, &call, at, WEFT_SEND, len, cookie)
						: 0;
	key = go_key(ctx);
	bpf_map_update_elem(&go_calls, &key, &call, BPF_ANY);
	return 0;
}

SEC("uprobe")
int go_leave(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	struct tls_key session;
	struct tls_socket *at;
	struct go_call *known, call;
	struct weft_counts *cnt;
	struct go_key key;
	long n = GO_RET(ctx);

	if (!current_traced())
		return 0;
	key = go_key(ctx);
	known = bpf_map_lookup_elem(&go_calls, &key);
	if (!known)
		return 0;
	call = *known;
	bpf_map_delete_elem(&go_calls, &key);
	if (n <= 0 || n > 0x7fffffff)
		return 0;
	at = go_socket(call.session);
	if (at)
		return go_told(ctx, &call, at, go_reads(cookie) ? WEFT_RECV : WEFT_SEND, n, cookie);
	/* another connection's struct may have been here before */
	session = tls_key(call.session);
	bpf_map_delete_elem(&tls_sessions, &session);
	cnt = counts_get(TLS_SLOT);
	if (cnt)
		__sync_fetch_and_add(&cnt->v[WEFT_COUNT_TLS_UNMATCHED], 1);
	return 0;
}
