/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * HTTP/2 connections (RFC 9113): messages stand anywhere in a call, between bodies that nobody
 * wants. So the frames are followed here, by nothing but their lengths, and of a body's frame only
 * the beginning is copied. What is copied of a call is a number of pieces, each behind a struct
 * weft_piece. Where a frame's header cannot be read the connection is one like any other again.
 */
#pragma once
#include "maps.h"
#include "source.h"

#define FRAMES_STEPS   48 /* of one call, squared; a frame takes two or three */
#define FRAMES_SMALL   512 /* a body's frame up to which it is copied whole */
#define FRAMES_PREFIX  6 /* of a longer one: padding's length, and gRPC's prefix of a message */
#define FRAMES_HEADER  9
#define FRAMES_PREFACE 24

enum frames_found {
	FRAMES_OFF, /* its direction's frames are not followed */
	FRAMES_ON,
	FRAMES_INSIDE, /* it lies within a frame that goes on behind it: there is nothing to tell */
};

static __always_inline bool frames_preface(const struct source *src, __u32 n)
{
	static const char START[16] = "PRI * HTTP/2.0\r\n";
	__u64 want[2], got[2];
	__u64 from = src->ptr;

	if (src->why != WEFT_COPY_OK || n < FRAMES_PREFACE)
		return false;
	if (src->count) {
		struct user_iovec iov;

		if (iovecs_read(&iov, 1, src->ptr) || iov.len < src->skip + sizeof(got))
			return false;
		from = iov.base + src->skip;
	}
	if (bpf_probe_read_user(got, sizeof(got), (void *)from))
		return false;
	__builtin_memcpy(want, START, sizeof(want));
	return got[0] == want[0] && got[1] == want[1];
}

/* What is set while a direction's frames are followed. */
static __always_inline __u16 frames_flag(__u8 dir)
{
	return dir == WEFT_SEND ? CONN_FRAMES_SEND : CONN_FRAMES_RECV;
}

/* Whether the frames of a call's direction are followed: as of the client's first call, or as of
 * where the agent says that one begins. A global function, as are the next ones, so that the
 * verifier checks it once and not on every path that leads here. */
__noinline int frames_find(struct conn *c, const struct frames_call *call)
{
	struct frames *f;
	__u32 dir, ahead;

	if (!c || !call)
		return FRAMES_OFF;
	dir = call->dir & 1;
	f = &c->frames[dir];
	ahead = (__u32)(call->what >> 32) - call->start;
	if (c->flags & frames_flag(dir)) {
		if (f->copy || f->left <= call->n)
			return FRAMES_ON;
		f->left -= call->n;
		return FRAMES_INSIDE;
	}
	if (!c->moved[dir] && frames_preface(&call->src, call->n)) {
		c->flags |= CONN_FRAMES;
		__builtin_memset(c->frames, 0, sizeof(c->frames));
		f->left = f->copy = FRAMES_PREFACE;
		return FRAMES_ON;
	}
	if ((__u32)call->what != WEFT_WANT_FRAMES_RECV + dir || ahead > WEFT_UNTIL_AHEAD)
		return FRAMES_OFF;
	c->flags |= frames_flag(dir);
	f->head = 0;
	f->have = 0;
	f->left = f->copy = ahead;
	return FRAMES_ON;
}

/* The header's bytes that were just written at `from`. */
static __always_inline void frames_header(struct frames *f, const char *from, __u32 k)
{
	for (__u32 i = 0; i < FRAMES_HEADER; i++) {
		if (i >= k)
			break;
		if (f->have < 5) /* length, type and flags */
			f->head = f->head << 8 | (__u8)from[i];
		f->have++;
	}
	if (f->have < FRAMES_HEADER)
		return;
	f->left = (f->head >> 16) & 0xffffff;
	f->copy = f->left;
	if (!((f->head >> 8) & 0xff) && f->left > FRAMES_SMALL) /* DATA */
		f->copy = FRAMES_PREFIX;
	f->have = 0;
	f->head = 0;
}

/* One step; nonzero: it is over. */
__noinline int frames_step(struct walk *w, struct copied *to)
{
	struct frames *f;
	__u64 off, k;

	if (!w || !to || w->at >= w->n)
		return 1;
	f = &w->f;
	if (!w->room) {
		struct user_iovec iov;

		if (!w->count || iovecs_read(&iov, 1, w->iov)) {
			w->wrong = 1;
			return 1;
		}
		w->base = iov.base + w->lead;
		w->room = iov.len > w->lead ? iov.len - w->lead : 0;
		w->lead = 0;
		w->iov += sizeof(iov);
		w->count--;
		return 0;
	}
	k = w->n - w->at;
	if (k > w->room)
		k = w->room;
	if (f->left && !f->copy) {
		if (k > f->left)
			k = f->left;
		f->left -= k;
		w->piece = 0;
	} else {
		__u64 most = f->left ? f->copy : FRAMES_HEADER - f->have;

		if (k > most)
			k = most;
		if (k > SOURCE_CHUNK)
			k = SOURCE_CHUNK;
		off = w->out;
		if (!w->piece && off + sizeof(struct weft_piece) < WEFT_CAPTURE_BYTES) {
			struct weft_piece *piece = (void *)(to->bytes + off);

			piece->at = w->at;
			piece->len = 0;
			w->piece = off + 1;
			off += sizeof(*piece);
		}
		/* no room: read all the same, to know where the frames go on */
		if (!w->piece || off + k > WEFT_CAPTURE_BYTES) {
			w->piece = 0;
			off = WEFT_CAPTURE_BYTES;
		}
		barrier_var(k);
		barrier_var(off);
		if (off > WEFT_CAPTURE_BYTES || k > SOURCE_CHUNK)
			return 1;
		if (k && bpf_probe_read_user(to->bytes + off, k, (void *)w->base)) {
			w->wrong = 1;
			return 1;
		}
		if (f->left) {
			f->copy -= k;
			f->left -= k;
		} else {
			frames_header(f, to->bytes + off, k);
		}
		if (w->piece) {
			__u64 at = w->piece - 1;

			barrier_var(at);
			if (at > WEFT_CAPTURE_BYTES)
				return 1;
			((struct weft_piece *)(void *)(to->bytes + at))->len += k;
			w->out = off + k;
		}
	}
	w->at += k;
	w->base += k;
	w->room -= k;
	return 0;
}

/* Two loops in functions of their own: the verifier walks through each once, and not through all
 * the steps of a call. */
__noinline int frames_some(struct walk *w, struct copied *to)
{
	for (int i = 0; i < FRAMES_STEPS; i++)
		if (frames_step(w, to))
			return 1;
	return 0;
}

__noinline int frames_walk(struct walk *w, struct copied *to)
{
	for (int i = 0; i < FRAMES_STEPS; i++)
		if (frames_some(w, to))
			return 1;
	return 0;
}

/* Copies what is wanted of a call; the number of bytes written. */
__noinline int frames_copy(
	struct conn *c, const struct frames_call *call, struct walk *w, struct copied *to)
{
	__u32 dir;

	if (!c || !call || !w || !to)
		return 0;
	dir = call->dir & 1;
	__builtin_memset(w, 0, sizeof(*w));
	w->n = call->n;
	w->f = c->frames[dir];
	if (call->src.count) {
		w->iov = call->src.ptr;
		w->count = call->src.count;
		w->lead = call->src.skip;
	} else {
		w->base = call->src.ptr;
		w->room = call->n;
	}
	frames_walk(w, to);
	if (w->at < w->n || w->wrong) /* from here on the frames cannot be followed */
		c->flags &= ~frames_flag(dir);
	c->frames[dir] = w->f;
	return w->out > WEFT_CAPTURE_BYTES ? 0 : w->out;
}
