/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http2_frame.h"
#include "proto/http2_hpack.h"
#include "proto/http2_state.h"

#define FIRST_SETTINGS 32 /* more than anybody sends at once */

/* In the middle of a connection: what the header block says. */
static enum detect detect_block(struct slice fragment)
{
	struct http2_hpack hpack = {.unknown = true};
	enum detect found = DETECT_NO;
	struct http2_block block;

	http2_block_init(&block);
	if (!http2_hpack_decode(&hpack, fragment, true, &block) && !block.malformed) {
		if (block.method.ptr || block.path.ptr || block.scheme.ptr)
			found = DETECT_REQUEST;
		else if (block.status)
			found = DETECT_REPLY;
	}
	http2_hpack_release(&hpack);
	return found;
}

enum detect http2_detect(struct slice in)
{
	struct slice preface = SLICE(HTTP2_PREFACE);
	struct http2_frame f;
	struct slice payload, block;

	if (in.len >= preface.len ? slice_starts(in, preface)
				  : slice_starts(preface, in)) /* and so far it may be */
		return in.len >= preface.len ? DETECT_REQUEST : DETECT_MORE;
	if (!http2_frame_parse(
		    in, &f)) /* the least of what is a frame's length is its first byte */
		return *in.ptr == 0 && (in.len < 4 || in.ptr[3] == HTTP2_SETTINGS ||
					       in.ptr[3] == HTTP2_HEADERS)
			       ? DETECT_MORE
			       : DETECT_NO;
	if (!http2_frame_valid(&f, HTTP2_FRAME_DEFAULT, true))
		return DETECT_NO;
	if (f.type == HTTP2_SETTINGS)
		return !f.flags && f.len <= FIRST_SETTINGS * 6 ? DETECT_REPLY : DETECT_NO;
	if (f.type != HTTP2_HEADERS || !(f.stream & 1) || !(f.flags & HTTP2_END_HEADERS))
		return DETECT_NO;
	payload = slice_of(in.ptr + HTTP2_FRAME_HEADER, in.len - HTTP2_FRAME_HEADER);
	if (payload.len < f.len)
		return DETECT_MORE;
	payload.len = f.len;
	return http2_frame_block(&f, payload, &block) ? detect_block(block) : DETECT_NO;
}
