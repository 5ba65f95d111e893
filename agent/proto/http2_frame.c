/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http2_frame.h"

uint32_t http2_u32(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

bool http2_frame_parse(struct slice in, struct http2_frame *ret_frame)
{
	if (in.len < HTTP2_FRAME_HEADER)
		return false;
	ret_frame->len = http2_u32(in.ptr) >> 8;
	ret_frame->type = (uint8_t)in.ptr[3];
	ret_frame->flags = (uint8_t)in.ptr[4];
	/* the reserved bit is to be ignored (RFC 9113, 4.1) */
	ret_frame->stream = http2_u32(in.ptr + 5) & 0x7fffffff;
	return true;
}

/* The flags that a type defines. */
static uint8_t flags_of(uint8_t type)
{
	switch (type) {
	case HTTP2_DATA:
		return HTTP2_END_STREAM | HTTP2_PADDED;
	case HTTP2_HEADERS:
		return HTTP2_END_STREAM | HTTP2_END_HEADERS | HTTP2_PADDED | HTTP2_PRIORITIZED;
	case HTTP2_SETTINGS:
	case HTTP2_PING:
		return HTTP2_ACK;
	case HTTP2_PUSH_PROMISE:
		return HTTP2_END_HEADERS | HTTP2_PADDED;
	case HTTP2_CONTINUATION:
		return HTTP2_END_HEADERS;
	}
	return 0;
}

bool http2_frame_valid(const struct http2_frame *f, uint32_t max_len, bool strict)
{
	if (f->len > max_len || (strict && f->flags & ~flags_of(f->type)))
		return false;
	switch (f->type) {
	case HTTP2_DATA:
	case HTTP2_HEADERS:
	case HTTP2_CONTINUATION:
	case HTTP2_PUSH_PROMISE:
		return f->stream;
	case HTTP2_PRIORITY:
		return f->stream && f->len == 5;
	case HTTP2_RST_STREAM:
		return f->stream && f->len == 4;
	case HTTP2_SETTINGS:
		return !f->stream && (f->flags & HTTP2_ACK ? !f->len : f->len % 6 == 0);
	case HTTP2_PING:
		return !f->stream && f->len == 8;
	case HTTP2_GOAWAY:
		return !f->stream && f->len >= 8;
	case HTTP2_WINDOW_UPDATE:
		return f->len == 4;
	}
	return !strict; /* an extension's */
}

bool http2_frame_block(const struct http2_frame *f, struct slice payload, struct slice *ret_block)
{
	size_t lead = 0, padding = 0;

	if (f->type != HTTP2_CONTINUATION && f->flags & HTTP2_PADDED) {
		if (!payload.len)
			return false;
		padding = (unsigned char)*payload.ptr;
		lead = 1;
	}
	if (f->type == HTTP2_HEADERS && f->flags & HTTP2_PRIORITIZED)
		lead += 5;
	if (f->type == HTTP2_PUSH_PROMISE)
		lead += 4;
	if (lead + padding > payload.len)
		return false;
	*ret_block = slice_of(payload.ptr + lead, payload.len - lead - padding);
	return true;
}
