/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where a call's bytes lie, from the kernel's own account of them: the message's iov_iter. At the
 * return it stands behind the last byte moved, and the call's bytes are those before it. It is
 * exact also where no system call's arguments are at hand: through io_uring, and in a batch.
 */
#pragma once
#include "sock.h"
#include "source.h"
#include <bpf/bpf_core_read.h>
#include "weft/record.h"

#define ITER_STEPS 256 /* pieces looked at on the way back to the first byte */

#define ITER_IS(kind, name)                                                                        \
	(bpf_core_enum_value_exists(enum iter_type, name) &&                                       \
		(kind) == bpf_core_enum_value(enum iter_type, name))

static __always_inline __u32 iter_kind(const struct iov_iter *iter)
{
	const struct iov_iter___v5_13 *old = (const void *)iter;

	if (bpf_core_field_exists(iter->iter_type))
		return iter->iter_type;
	return old->type & ~1u;
}

/* A pointer as a number, with which one can reckon. */
static __always_inline __u64 iter_word(const void *at)
{
#ifdef WEFT_CASTS
	return CAST(at, timespec64)->tv_sec;
#else
	__u64 word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), at);
	return word;
#endif
}

static __always_inline __u64 iter_pieces(const struct iov_iter *iter)
{
	const struct iov_iter___v6_3 *old = (const void *)iter;

	if (bpf_core_field_exists(iter->__iov))
		return iter_word(&iter->__iov);
	return iter_word(&old->iov);
}

static __always_inline __u64 piece_base(__u64 iov)
{
	return iter_word((void *)(iov + offsetof(struct user_iovec, base)));
}

static __always_inline __u64 piece_len(__u64 iov)
{
	return iter_word((void *)(iov + offsetof(struct user_iovec, len)));
}

/* From behind the last byte (used bytes into the piece at iov) back by want bytes, to the first.
 * Nonzero: that is too far. A global function, so that the verifier checks it once. */
__noinline int iter_back(struct cursor *c)
{
	if (!c)
		return 1;
	for (int i = 0; i < ITER_STEPS; i++) {
		if (c->used >= c->want) {
			c->used -= c->want;
			return 0;
		}
		c->want -= c->used;
		c->iov -= sizeof(struct user_iovec);
		c->count++;
		c->used = piece_len(c->iov);
	}
	return 1;
}

static __always_inline void iter_array(const struct iov_iter *iter, __u32 n, struct source *src)
{
	struct cursor c = {.iov = iter_pieces(iter), .used = iter->iov_offset, .want = n};
	__u64 last = c.iov - sizeof(struct user_iovec);

	c.count = c.used > 0;
	/* one piece, as all simple calls' buffers are until 6.3 */
	if (!c.used && piece_len(last) >= n) {
		source_buffer(src, piece_base(last) + piece_len(last) - n);
		return;
	}
	if (iter_back(&c)) {
		source_none(src, WEFT_NO_COPY_FAULT);
		return;
	}
	source_iov(src, c.iov, c.count);
	src->skip = c.used;
}

/* The n bytes of a call that was asked to move size of them. other: why nothing is copied of a
 * message whose bytes are in the kernel's pages. */
static __always_inline void iter_source(
	const struct msghdr *msg, __u64 size, __u32 n, __u8 other, struct source *src)
{
	const struct iov_iter *iter = &msg->msg_iter;
	__u32 kind = iter_kind(iter);

	if (size - iter->count != n) { /* what was moved is not what the call tells */
		source_none(src, WEFT_NO_COPY_FAULT);
	} else if (ITER_IS(kind, ITER_UBUF)) {
		source_buffer(src, iter_word(&iter->ubuf) + iter->iov_offset - n);
	} else if (ITER_IS(kind, ITER_IOVEC)) {
		iter_array(iter, n, src);
	} else {
		source_none(src, ITER_IS(kind, ITER_KVEC) ? WEFT_NO_COPY_URING : other);
	}
}
