/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The syscalls hook set: return tracepoints of the system calls that move bytes on sockets
 * (Linux 5.15). The socket is found from the descriptor, the bytes from the arguments: both are
 * still those of this very call.
 */
#define OWN_SLOTS 14
#include "fd.h"
#include "gotls.h"
#include "life.h"
#include "moved.h"
#include "regs.h"
#include "tls.h"

enum slot {
	SLOT_read,
	SLOT_recvfrom,
	SLOT_write,
	SLOT_sendto,
	SLOT_readv,
	SLOT_preadv2,
	SLOT_writev,
	SLOT_pwritev2,
	SLOT_recvmsg,
	SLOT_sendmsg,
	SLOT_recvmmsg,
	SLOT_sendmmsg,
	SLOT_sendfile64,
	SLOT_splice,
};

/* Beside those, to tell twins apart. */
enum { TASK_SHUTDOWN = 32, TASK_CLOSE };

struct sys_exit {
	__u64 common;
	long nr;
	long ret;
};

struct sys_enter {
	__u64 common;
	long nr;
	__u64 args[6];
};

static __always_inline __s64 file_holders(struct file *file)
{
	struct file___v6_13 *newer = (void *)file;

	if (bpf_core_field_exists(file->f_count))
		return BPF_CORE_READ(file, f_count.counter);
	return BPF_CORE_READ(newer, f_ref.refcnt.counter) + 1;
}

/* Who asks, and the answer of one call to: which descriptor, which bytes. */
struct call {
	__u64 fd;
	__u32 n;
	__u32 slot;
	int flags;
	__u8 dir;
	struct source src;
};

static __always_inline struct task_struct *traced_task(struct sys_exit *ctx)
{
	if (ctx->ret <= 0 || !current_traced())
		return NULL;
	return (struct task_struct *)bpf_get_current_task_btf();
}

/* To be read in place: arm64's are more than half of a program's stack. */
static __always_inline struct pt_regs *task_regs(struct task_struct *task)
{
	return (struct pt_regs *)bpf_task_pt_regs((void *)task);
}

static __always_inline int record_call(void *ctx, struct task_struct *task, struct call *call)
{
	enum sock_kind kind = SOCK_OTHER;
	struct sock *sk = fd_sock(task, call->fd);
	struct weft_counts *cnt = counts_get(call->slot);
	struct scratch *s;
	struct conn *c;

	if (!sk || !cnt || sock_kind(sk) == SOCK_OTHER)
		return 0;
	if (call->dir == WEFT_RECV && moved_aside(call->flags, cnt))
		return 0;
	if (call->dir == WEFT_RECV && call->flags & MSG_TRUNC)
		source_none(&call->src, WEFT_NO_COPY_TRUNC);
	if (call->dir == WEFT_SEND && call->flags & MSG_OOB)
		source_none(&call->src, WEFT_NO_COPY_OOB);
	if (TASK_COMPAT(task))
		source_none(&call->src, WEFT_NO_COPY_COMPAT);
	cnt->v[WEFT_COUNT_SEEN]++;
	c = moved_conn(ctx, sk, call->slot, cnt, &kind);
	s = c ? moved_begin(call->slot, CALLER_THREAD, kind, c, call->dir, call->n, cnt) : NULL;
	if (!c || !s)
		return 0;
	s->call.bytes.src = call->src;
	return moved(ctx, sk, call->dir, call->n, s, c, cnt);
}

/* arg0 = fd, arg1 = buffer */
static __always_inline int on_buffer(struct sys_exit *ctx, __u32 slot, __u8 dir, bool has_flags)
{
	struct task_struct *task = traced_task(ctx);
	struct call call = {.slot = slot, .dir = dir, .n = ctx->ret};
	struct pt_regs *r;

	if (!task)
		return 0;
	r = task_regs(task);
	call.fd = REGS_ARG0(r);
	call.flags = has_flags ? (int)REGS_ARG3(r) : 0;
	source_buffer(&call.src, REGS_ARG1(r));
	return record_call(ctx, task, &call);
}

/* What weft asked a socket itself. With a stack of its own: the programs' is small. */
static __noinline int on_asked(struct sys_exit *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct pt_regs *r = task_regs(task);

	if (start_asked(ctx->ret, (int)REGS_ARG3(r))) {
		struct sock *sk = fd_sock(task, REGS_ARG0(r));

		if (sk)
			start_answer(ctx, sk);
	}
	return 0;
}

static __always_inline int on_recvfrom(struct sys_exit *ctx, __u32 slot)
{
	return ctx->ret < 0 && is_self() ? on_asked(ctx) : on_buffer(ctx, slot, WEFT_RECV, true);
}

/* arg0 = fd, arg1 = struct iovec[], arg2 = its length */
static __always_inline int on_iov(struct sys_exit *ctx, __u32 slot, __u8 dir)
{
	struct task_struct *task = traced_task(ctx);
	struct call call = {.slot = slot, .dir = dir, .n = ctx->ret};
	struct pt_regs *r;

	if (!task)
		return 0;
	r = task_regs(task);
	call.fd = REGS_ARG0(r);
	source_iov(&call.src, REGS_ARG1(r), REGS_ARG2(r));
	return record_call(ctx, task, &call);
}

/* arg0 = fd, arg1 = struct msghdr *, arg2 = flags */
static __always_inline int on_msghdr(struct sys_exit *ctx, __u32 slot, __u8 dir)
{
	struct task_struct *task = traced_task(ctx);
	struct call call = {.slot = slot, .dir = dir, .n = ctx->ret};
	struct pt_regs *r;

	if (!task)
		return 0;
	r = task_regs(task);
	call.fd = REGS_ARG0(r);
	call.flags = (int)REGS_ARG2(r);
	if (!TASK_COMPAT(task))
		source_msghdr(&call.src, REGS_ARG1(r));
	return record_call(ctx, task, &call);
}

#define BATCH_MAX                                                                                  \
	64 /* messages of a batch that are summed up; a longer one's rest shows as a gap */

/* arg0 = fd, arg1 = struct mmsghdr[], arg3 = flags; returns messages. Only a batch of one is
 * copied: the bytes of several messages lie in as many arrays. */
static __always_inline int on_batch(struct sys_exit *ctx, __u32 slot, __u8 dir)
{
	struct task_struct *task = traced_task(ctx);
	struct call call = {.slot = slot, .dir = dir};
	struct user_mmsghdr {
		struct user_msghdr64 hdr_;
		__u64 control, controllen, flags;
		__u32 len;
		__u32 pad;
	};
	struct pt_regs *r;
	__u64 array;
	__u32 len = 0;

	if (!task)
		return 0;
	r = task_regs(task);
	call.fd = REGS_ARG0(r);
	call.flags = (int)REGS_ARG3(r);
	array = REGS_ARG1(r);
	for (int i = 0; i < BATCH_MAX && i < ctx->ret; i++) {
		if (bpf_probe_read_user(&len, sizeof(len),
			    (void *)(array + i * sizeof(struct user_mmsghdr) +
				     offsetof(struct user_mmsghdr, len))))
			break;
		call.n += len;
	}
	if (!call.n)
		return 0;
	if (ctx->ret == 1 && !TASK_COMPAT(task))
		source_msghdr(&call.src, array);
	else
		source_none(&call.src, WEFT_NO_COPY_BATCH);
	return record_call(ctx, task, &call);
}

/* The bytes never were in user memory. */
static __always_inline int on_file(struct sys_exit *ctx, __u32 slot, __u8 dir, bool third)
{
	struct task_struct *task = traced_task(ctx);
	struct call call = {.slot = slot, .dir = dir, .n = ctx->ret};
	struct pt_regs *r;

	if (!task)
		return 0;
	r = task_regs(task);
	call.fd = third ? REGS_ARG2(r) : REGS_ARG0(r);
	source_none(&call.src, WEFT_NO_COPY_FILE);
	return record_call(ctx, task, &call);
}

/* A receive that moved nothing; arg0 = fd. With a stack of its own, too. */
static __noinline int on_end(struct sys_exit *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct sock *sk;

	if (!current_traced())
		return 0;
	sk = fd_sock(task, REGS_ARG0(task_regs(task)));
	if (sk)
		conn_unix_over(ctx, sk, ctx->ret);
	return 0;
}

/* What a program and its twins do alike, for one return of a call. */
#define HOOK_ONE(name, fn, which, direction, body)                                                 \
	SEC("tracepoint/syscalls/sys_exit_" #name)                                                 \
	int fn(struct sys_exit *ctx)                                                               \
	{                                                                                          \
		__u32 slot = call_slot(which, SLOT_##name, direction);                             \
                                                                                                   \
		if (!call_due(which, TASK_CALL + SLOT_##name))                                     \
			return 0;                                                                  \
		return body;                                                                       \
	}

#define HOOK(name, direction, body)                                                                \
	HOOK_ONE(name, exit_##name, FIRST, direction, body)                                        \
	HOOK_ONE(name, exit_##name##_twin, TWIN, direction, body)                                  \
	HOOK_ONE(name, exit_##name##_triplet, TRIPLET, direction, body)

#define HOOK_SEND(name, body) HOOK(name, WEFT_SEND, body)
#define HOOK_RECV(name, body)                                                                      \
	HOOK(name, WEFT_RECV, !ctx->ret || ctx->ret == -ECONNRESET ? on_end(ctx) : body)

HOOK_RECV(read, on_buffer(ctx, slot, WEFT_RECV, false))
HOOK_RECV(recvfrom, on_recvfrom(ctx, slot))
HOOK_SEND(write, on_buffer(ctx, slot, WEFT_SEND, false))
HOOK_SEND(sendto, on_buffer(ctx, slot, WEFT_SEND, true))
HOOK_RECV(readv, on_iov(ctx, slot, WEFT_RECV))
HOOK_RECV(preadv2, on_iov(ctx, slot, WEFT_RECV))
HOOK_SEND(writev, on_iov(ctx, slot, WEFT_SEND))
HOOK_SEND(pwritev2, on_iov(ctx, slot, WEFT_SEND))
HOOK_RECV(recvmsg, on_msghdr(ctx, slot, WEFT_RECV))
HOOK_SEND(sendmsg, on_msghdr(ctx, slot, WEFT_SEND))
HOOK_RECV(recvmmsg, on_batch(ctx, slot, WEFT_RECV))
HOOK_SEND(sendmmsg, on_batch(ctx, slot, WEFT_SEND))
HOOK_SEND(sendfile64, on_file(ctx, slot, WEFT_SEND, false))

/* A splice's socket is where the bytes went (third argument), or where they came from. */
static __always_inline int on_splice(struct sys_exit *ctx, __u32 slot)
{
	on_file(ctx, slot, WEFT_SEND, true);
	return on_file(ctx, slot, WEFT_RECV, false);
}

HOOK_SEND(splice, on_splice(ctx, slot))

/* Unix sockets have no tracepoints for their ends. */
static __always_inline int on_shutdown(struct sys_exit *ctx, enum which which)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct pt_regs *r = task_regs(task);
	struct sock *sk;

	if (!call_due(which, TASK_SHUTDOWN) || ctx->ret || !current_traced() || !(int)REGS_ARG1(r))
		return 0;
	sk = fd_sock(task, REGS_ARG0(r));
	if (sk)
		conn_unix_shut(ctx, sk);
	return 0;
}

/* Only a descriptor's last holder closes its socket. What goes with its process is not seen. */
static __always_inline int on_close(struct sys_enter *ctx, enum which which)
{
	struct file *file;
	struct sock *sk;

	if (!call_due(which, TASK_CLOSE) || !current_traced())
		return 0;
	file = fd_file((struct task_struct *)bpf_get_current_task_btf(), ctx->args[0]);
	if (!file || file_holders(file) > 1)
		return 0;
	sk = file_sock(file);
	if (sk && BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX)
		conn_unix_closed(ctx, sk);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_shutdown")
int exit_shutdown(struct sys_exit *ctx)
{
	return on_shutdown(ctx, FIRST);
}

SEC("tracepoint/syscalls/sys_exit_shutdown")
int exit_shutdown_twin(struct sys_exit *ctx)
{
	return on_shutdown(ctx, TWIN);
}

SEC("tracepoint/syscalls/sys_exit_shutdown")
int exit_shutdown_triplet(struct sys_exit *ctx)
{
	return on_shutdown(ctx, TRIPLET);
}

SEC("tracepoint/syscalls/sys_enter_close")
int enter_close(struct sys_enter *ctx)
{
	return on_close(ctx, FIRST);
}

SEC("tracepoint/syscalls/sys_enter_close")
int enter_close_twin(struct sys_enter *ctx)
{
	return on_close(ctx, TWIN);
}

SEC("tracepoint/syscalls/sys_enter_close")
int enter_close_triplet(struct sys_enter *ctx)
{
	return on_close(ctx, TRIPLET);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
