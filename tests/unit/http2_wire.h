/* SPDX-License-Identifier: Apache-2.0 */
/* What the two ends of an HTTP/2 connection write, with header blocks by libnghttp2's encoder. */
#pragma once
#include "proto/http2_frame.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#define WIRE_MAX (1u << 20)

struct wire {
	size_t n;
	nghttp2_hd_deflater *deflater;
	unsigned char bytes[WIRE_MAX];
};

static inline struct wire *wire_new(void)
{
	struct wire *w = calloc(1, sizeof(*w));

	if (!w || nghttp2_hd_deflate_new(&w->deflater, 4096))
		abort();
	return w;
}

static inline void wire_free(struct wire *w)
{
	nghttp2_hd_deflate_del(w->deflater);
	free(w);
}

static inline void wire_put(struct wire *w, const void *bytes, size_t n)
{
	if (n > WIRE_MAX - w->n)
		abort();
	if (n)
		memcpy(w->bytes + w->n, bytes, n);
	w->n += n;
}

static inline void wire_frame(
	struct wire *w, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t n)
{
	unsigned char head[HTTP2_FRAME_HEADER] = {(unsigned char)(n >> 16), (unsigned char)(n >> 8),
		(unsigned char)n, type, flags, (unsigned char)(stream >> 24),
		(unsigned char)(stream >> 16), (unsigned char)(stream >> 8), (unsigned char)stream};

	wire_put(w, head, sizeof(head));
	wire_put(w, payload, n);
}

/* fields: "name: value" lines, each ended by a line feed. */
static inline size_t wire_block(struct wire *w, const char *fields, unsigned char *to, size_t cap)
{
	nghttp2_nv nv[64];
	size_t n = 0;
	ssize_t len;

	while (*fields) {
		const char *colon = strchr(fields + 1, ':'), *end = strchr(fields, '\n');

		if (!colon || !end || n == 64)
			abort();
		nv[n++] = (nghttp2_nv){(uint8_t *)fields, (uint8_t *)colon + 2,
			(size_t)(colon - fields), (size_t)(end - colon - 2), 0};
		fields = end + 1;
	}
	len = nghttp2_hd_deflate_hd(w->deflater, to, cap, nv, n);
	if (len < 0)
		abort();
	return (size_t)len;
}

static inline void wire_headers(struct wire *w, uint32_t stream, bool end, const char *fields)
{
	unsigned char block[32768];
	size_t n = wire_block(w, fields, block, sizeof(block));

	wire_frame(w, HTTP2_HEADERS, HTTP2_END_HEADERS | (end ? HTTP2_END_STREAM : 0), stream,
		block, n);
}

static inline void wire_data(struct wire *w, uint32_t stream, bool end, const void *bytes, size_t n)
{
	wire_frame(w, HTTP2_DATA, end ? HTTP2_END_STREAM : 0, stream, bytes, n);
}

static inline void wire_preface(struct wire *w)
{
	wire_put(w, HTTP2_PREFACE, HTTP2_PREFACE_LEN);
	wire_frame(w, HTTP2_SETTINGS, 0, 0, "\0\3\0\0\0\x64\0\4\0\0\xff\xff", 12);
}

/* One gRPC message of n bytes. */
static inline void wire_message(unsigned char *to, uint32_t n)
{
	to[0] = 0;
	to[1] = (unsigned char)(n >> 24);
	to[2] = (unsigned char)(n >> 16);
	to[3] = (unsigned char)(n >> 8);
	to[4] = (unsigned char)n;
	memset(to + 5, 0xee, n);
}
