/* SPDX-License-Identifier: Apache-2.0 */
/* Connections, with the stages before them made up. */
#pragma once
#include "capture/capture.h"
#include "capture/listeners.h"
#include "capture/procs.h"
#include "conn/conn.h"
#include "core/clock.h"
#include "proto/http1.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MINUTE (60 * NS_PER_SEC)
#define CONNS  600u

static struct counters counters;
static struct conns *conns;
static enum weft_want wants[CONNS + 1];
static uint32_t again_at[CONNS + 1];
static uint64_t now = MINUTE;
static unsigned done, gone, expected, unseen;
static enum exchange_end how;

/* capture.h, procs.h, listeners.h: every process is traced, nobody listens. */

void capture_want(struct capture *capture, uint64_t conn, enum weft_want want)
{
	(void)capture;
	wants[conn] = want;
}

void capture_want_frames(
	struct capture *capture, uint64_t conn, enum weft_direction direction, uint32_t at)
{
	(void)capture;
	(void)direction;
	(void)at;
	wants[conn] = WEFT_WANT_CALLS;
}

void capture_want_until(
	struct capture *capture, uint64_t conn, enum weft_direction direction, uint32_t until)
{
	(void)capture;
	(void)conn;
	(void)direction;
	(void)until;
}

void capture_want_again(
	struct capture *capture, uint64_t conn, enum weft_direction direction, uint32_t at)
{
	(void)capture;
	wants[conn] = direction == WEFT_SEND ? WEFT_WANT_AGAIN_SEND : WEFT_WANT_AGAIN_RECV;
	again_at[conn] = at;
}

void capture_heard(struct capture *capture, uint64_t conn)
{
	(void)capture;
	wants[conn] = WEFT_WANT_HEADS;
}

struct proc *procs_get(struct procs *procs, uint32_t pid)
{
	static struct proc proc = {.pid = 10, .traced = true};

	(void)procs;
	(void)pid;
	return &proc;
}

bool procs_port_excluded(const struct procs *procs, uint16_t port)
{
	(void)procs;
	(void)port;
	return false;
}

bool listeners_have(const struct listeners *listeners, uint32_t netns, uint16_t port)
{
	(void)listeners;
	(void)netns;
	(void)port;
	return false;
}

static inline uint64_t on_connecting(void *ctx, uint32_t pid, uint32_t tid, uint64_t time_ns)
{
	(void)ctx;
	(void)pid;
	(void)tid;
	(void)time_ns;
	return 0;
}

static inline void on_ends(void *ctx, const struct endpoints *ends)
{
	(void)ctx;
	(void)ends;
	expected++;
}

static inline void on_gone(void *ctx, const struct endpoints *ends)
{
	(void)ctx;
	(void)ends;
	gone++;
}

static enum role role;

static inline void on_head(void *ctx, struct exchange *ex, const struct field *fields, unsigned n)
{
	(void)ctx;
	(void)ex;
	(void)fields;
	(void)n;
}

static unsigned older;

static inline void on_asked(void *ctx, struct exchange *ex, const struct field *fields, unsigned n)
{
	on_head(ctx, ex, fields, n);
	older += ex->older;
}

static inline void on_done(void *ctx, struct exchange *ex)
{
	(void)ctx;
	how = ex->end;
	role = ex->role;
	done++;
}

static inline void on_unseen(void *ctx, uint32_t pid, uint64_t time_ns)
{
	(void)ctx;
	(void)pid;
	(void)time_ns;
	unseen++;
}

static inline void on_opaque(void *ctx, uint32_t pid, bool tunnel, bool on)
{
	(void)ctx;
	(void)pid;
	(void)tunnel;
	(void)on;
}

static bool readable;
static unsigned unreads;

static inline bool on_readable(void *ctx, uint32_t pid)
{
	(void)ctx;
	(void)pid;
	return readable;
}

static inline void on_unread(void *ctx, uint32_t pid)
{
	(void)ctx;
	(void)pid;
	unreads++;
}

static const struct conns_ops OPS = {
	.connecting = on_connecting,
	.connected = on_ends,
	.asked = on_asked,
	.replied = on_head,
	.done = on_done,
	.gone = on_gone,
	.unseen = on_unseen,
	.opaque = on_opaque,
	.readable = on_readable,
	.unread = on_unread,
};

static inline void start(void)
{
	struct conns_options options = {1, CONNS, 64, true};

	cr_assert_eq(conns_new(&options, NULL, NULL, NULL, &counters, &OPS, NULL, &conns), 0);
}

static inline void stop(void)
{
	conns_free(conns);
}

static inline void open_conn(uint64_t id)
{
	struct weft_open rec = {
		.head = {now, WEFT_RECORD_OPEN, WEFT_CONNECTED, sizeof(rec), 10, 10, 0},
		.conn = id,
		.local_port = (uint16_t)(1000 + id),
		.remote_port = 80,
		.connect_ns = now,
	};

	conns_on_open(conns, &rec);
}

#define REQUEST "GET / HTTP/1.1\r\nHost: t\r\n\r\n"

static inline void move(uint64_t id, uint32_t seq, uint32_t other, const char *text, uint8_t flags)
{
	struct {
		struct weft_data data;
		char text[64];
	} rec = {.data = {
			 .head = {now, WEFT_RECORD_DATA, flags, 0, 10, 10, 0},
			 .conn = id,
			 .seq = seq,
			 .other = other,
			 .len = (uint32_t)strlen(text),
			 .caught = (uint16_t)strlen(text),
			 .age_ns = UINT32_MAX,
		 }};

	rec.data.head.size = (uint16_t)(sizeof(rec.data) + rec.data.caught);
	memcpy(rec.text, text, rec.data.caught);
	conns_on_data(conns, &rec.data, now);
}

static inline void say(uint64_t id, uint32_t seq, const char *text, uint8_t flags)
{
	move(id, seq, 0, text, WEFT_SEND_BIT | flags);
}

static inline void ask(uint64_t id, uint32_t seq)
{
	say(id, seq, REQUEST, WEFT_FRESH);
}

/* As many turns of the agent as it takes to come round the table. */
static inline void turns(void)
{
	for (int i = 0; i < 8; i++)
		conns_tick(conns, now);
}
