/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of HTTP/2 (RFC 9113, 4 to 6): their header, what is allowed in it, and what the first
 * bytes of a call say. Pure. */
#pragma once
#include "core/slice.h"
#include "proto/protocol.h"

#include <stdbool.h>
#include <stdint.h>

#define HTTP2_PREFACE       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" /* RFC 9113, 3.4 */
#define HTTP2_PREFACE_LEN   24
#define HTTP2_FRAME_HEADER  9
#define HTTP2_FRAME_DEFAULT 16384u /* SETTINGS_MAX_FRAME_SIZE at the start */

enum http2_type {
	HTTP2_DATA = 0,
	HTTP2_HEADERS = 1,
	HTTP2_PRIORITY = 2,
	HTTP2_RST_STREAM = 3,
	HTTP2_SETTINGS = 4,
	HTTP2_PUSH_PROMISE = 5,
	HTTP2_PING = 6,
	HTTP2_GOAWAY = 7,
	HTTP2_WINDOW_UPDATE = 8,
	HTTP2_CONTINUATION = 9, /* what is beyond is an extension's */
};

enum {
	HTTP2_END_STREAM = 1 << 0, /* DATA, HEADERS */
	HTTP2_ACK = 1 << 0, /* SETTINGS, PING */
	HTTP2_END_HEADERS = 1 << 2,
	HTTP2_PADDED = 1 << 3,
	HTTP2_PRIORITIZED = 1 << 5,
};

enum {
	HTTP2_SETTING_TABLE_SIZE = 1,
	HTTP2_SETTING_FRAME_SIZE = 5,
};

struct http2_frame {
	uint32_t len; /* of the payload */
	uint8_t type;
	uint8_t flags;
	uint32_t stream;
};

/* False: fewer than HTTP2_FRAME_HEADER bytes. */
bool http2_frame_parse(struct slice in, struct http2_frame *ret_frame);

/* Whether its type allows its length, stream and, if strict, its flags: those that a sender must
 * not set it may set anyway, but what is looked for in the middle of something does not have them.
 */
bool http2_frame_valid(const struct http2_frame *frame, uint32_t max_len, bool strict);

/* The block fragment of a HEADERS, PUSH_PROMISE or CONTINUATION frame whose payload is whole,
 * without padding and what stands before it (RFC 9113, 6.2). False: they do not fit in. */
bool http2_frame_block(
	const struct http2_frame *frame, struct slice payload, struct slice *ret_block);

uint32_t http2_u32(const char *p);
