/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Where a call's bytes lie in user memory, and copying the first of them. The array of pieces lies
 * there, too; or, with WEFT_KERNEL_IOVS, in the kernel's own copy. */
#pragma once
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include "weft/budget.h"

#define SOURCE_CHUNK 4096 /* most bytes copied at once behind the first piece */
#define SOURCE_IOVS  24 /* pieces looked at */
#define SOURCE_FIRST 4 /* of which so many at once, at little cost: most calls have no more */

struct user_iovec {
	__u64 base;
	__u64 len;
};

struct user_msghdr64 {
	__u64 name;
	__u64 namelen;
	__u64 iov;
	__u64 iovlen;
};

struct source {
	__u64 ptr; /* buffer, or array of struct iovec */
	__u32 count; /* 0: ptr is the buffer; else the length of the array */
	__u32 skip; /* bytes of the array's first piece before the call's own */
	__u32 why; /* enum weft_no_copy: set if there is nothing to copy from */
};

static __always_inline long iovecs_read(struct user_iovec *to, __u32 count, __u64 from)
{
#ifdef WEFT_KERNEL_IOVS
	return bpf_probe_read_kernel(to, count * sizeof(*to), (void *)from);
#else
	return bpf_probe_read_user(to, count * sizeof(*to), (void *)from);
#endif
}

static __always_inline void source_none(struct source *src, __u8 why)
{
	src->ptr = 0;
	src->count = 0;
	src->skip = 0;
	src->why = why;
}

static __always_inline void source_buffer(struct source *src, __u64 ptr)
{
	src->ptr = ptr;
	src->count = 0;
	src->skip = 0;
	src->why = WEFT_COPY_OK;
}

static __always_inline void source_iov(struct source *src, __u64 ptr, __u64 count)
{
	src->ptr = ptr;
	src->count = count > 1024 ? 1024 : count;
	src->skip = 0;
	src->why = count ? WEFT_COPY_OK : WEFT_NO_COPY_FAULT;
}

static __always_inline void source_msghdr(struct source *src, __u64 ptr)
{
	struct user_msghdr64 hdr;

	if (bpf_probe_read_user(&hdr, sizeof(hdr), (void *)ptr)) {
		source_none(src, WEFT_NO_COPY_FAULT);
		return;
	}
	source_iov(src, hdr.iov, hdr.iovlen);
}

/* Where a copy of an array of pieces has got to. */
struct cursor {
	__u64 iov; /* current piece's struct iovec */
	__u64 count; /* pieces left, the current one included */
	__u64 used; /* bytes of the current piece that were copied */
	__u64 off; /* bytes copied so far */
	__u64 want;
};

struct copied {
	char bytes[WEFT_CAPTURE_BYTES + SOURCE_CHUNK];
	struct user_iovec first[2 * SOURCE_FIRST]; /* twice: see source_first() */
	struct cursor at; /* not on a program's small stack */
};

/* One step of a copy; nonzero: it is over. A global function, so that the verifier checks it once
 * instead of once for every step and every path that leads here. */
__noinline int source_step(struct cursor *c, struct copied *to)
{
	struct user_iovec iov;
	__u64 off, n;

	if (!c || !to)
		return 1;
	off = c->off;
	if (!c->count || off >= c->want)
		return 1;
	if (iovecs_read(&iov, 1, c->iov))
		return 1;
	n = iov.len > c->used ? iov.len - c->used : 0;
	if (n > c->want - off)
		n = c->want - off;
	if (n > SOURCE_CHUNK)
		n = SOURCE_CHUNK;
	barrier_var(n);
	barrier_var(off);
	if (off > WEFT_CAPTURE_BYTES || n > SOURCE_CHUNK)
		return 1;
	if (n && bpf_probe_read_user(to->bytes + off, n, (void *)(iov.base + c->used)))
		return 1;
	c->off = off + n;
	c->used += n;
	if (c->used >= iov.len) {
		c->iov += sizeof(iov);
		c->count--;
		c->used = 0;
	}
	return 0;
}

/* Copies the first pieces, as long as they are short. Leaves the cursor at the next. */
static __always_inline void source_first(struct cursor *c, struct copied *to)
{
	__u64 count = c->count < SOURCE_FIRST ? c->count : SOURCE_FIRST;

	/* Bounded by masks, not by comparing: where clang keeps a number on the stack, the
	 * verifiers before Linux 6.8 take a comparison for the copy's alone. */
	barrier_var(count);
	count &= 2 * SOURCE_FIRST - 1;
	if (iovecs_read(to->first, count, c->iov))
		return;
#pragma unroll
	for (__u32 i = 0; i < SOURCE_FIRST; i++) {
		__u64 off = c->off, n = to->first[i].len;

		if (i >= count || off >= c->want)
			return;
		n = n > c->used ? n - c->used : 0;
		if (n > c->want - off)
			n = c->want - off;
		if (off >= WEFT_CAPTURE_BYTES || n >= SOURCE_CHUNK)
			return;
		barrier_var(n);
		barrier_var(off);
		n &= SOURCE_CHUNK - 1;
		off &= WEFT_CAPTURE_BYTES - 1;
		if (n && bpf_probe_read_user(
				 to->bytes + off, n, (void *)(to->first[i].base + c->used)))
			return;
		c->off = off + n;
		c->used = 0;
		c->iov += sizeof(to->first[0]);
		c->count--;
	}
}

/* Copies the call's first want bytes. Gives the number copied: less if the array has too many
 * pieces, or memory can't be read. */
static __always_inline __u32 source_copy(const struct source *src, struct copied *to, __u64 want)
{
	struct cursor *c = &to->at;

	if (want > WEFT_CAPTURE_BYTES)
		want = WEFT_CAPTURE_BYTES;
	if (!src->count) {
		barrier_var(want);
		if (want > WEFT_CAPTURE_BYTES)
			return 0;
		return bpf_probe_read_user(to->bytes, want, (void *)src->ptr) ? 0 : want;
	}
	c->iov = src->ptr;
	c->count = src->count;
	c->used = src->skip;
	c->off = 0;
	c->want = want;
	source_first(c, to);
	if (c->count && c->off < want)
		for (int i = 0; i < SOURCE_IOVS - SOURCE_FIRST; i++)
			if (source_step(c, to))
				break;
	return c->off > WEFT_CAPTURE_BYTES ? 0 : c->off;
}

/* Finds the piece in which a call's n-th byte lies, in a cursor as above: used = its bytes up to
 * there. Nonzero: the search is over. */
__noinline int source_seek(struct cursor *c)
{
	struct user_iovec iov;

	if (!c || !c->count || iovecs_read(&iov, 1, c->iov))
		return 1;
	if (iov.len >= c->want) {
		c->off = iov.base + c->want;
		c->used = c->want;
		return 1;
	}
	c->want -= iov.len;
	c->iov += sizeof(iov);
	c->count--;
	return 0;
}

/* The end of a call that moved n bytes: at most WEFT_TAIL_BYTES, and only what lies in the last
 * piece. Gives the number copied. */
static __always_inline __u32 source_tail(const struct source *src, struct copied *to, __u32 n)
{
	__u64 end = src->ptr + n;
	__u64 piece = n;

	if (src->count) {
		struct cursor *c = &to->at;

		__builtin_memset(c, 0, sizeof(*c));
		c->iov = src->ptr;
		c->count = src->count;
		c->want = (__u64)n + src->skip;
		for (int i = 0; i < SOURCE_IOVS; i++)
			if (source_seek(c))
				break;
		end = c->off;
		piece = c->used;
	}
	if (piece > WEFT_TAIL_BYTES)
		piece = WEFT_TAIL_BYTES;
	barrier_var(piece);
	if (!piece || piece > WEFT_TAIL_BYTES)
		return 0;
	return bpf_probe_read_user(to->bytes, piece, (void *)(end - piece)) ? 0 : piece;
}
