/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a script: frames and bytes on either side of a connection, whole, cut short, or
 * lost. The rig aborts where the contract of protocol.h is broken. */
#include "../unit/proto_rig.h"
#include "proto/http2.h"
#include "proto/http2_frame.h"

static const struct {
	const char *bytes;
	size_t n;
} BLOCKS[] = {
	{"\x82\x86\x84\x41\x01h", 6}, /* GET / */
	{"\x83\x87\x44\x02/p\x5f\x10"
	 "application/grpc",
		24},
	{"\x88", 1}, /* 200 */
	{"\x8d\x7e\x01x", 4},
	{"\x40\x0bgrpc-status\x01"
	 "0",
		15},
	{"\x3f\xe1\x1f\x88", 4}, /* a table of 4096 */
	{"\x20\xbe\xbf", 3}, /* none, and entries of it */
	{"\x82\x86\xbe\xbf\xc0\xc1", 6},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A frame with the first bytes of the input as its payload. */
static size_t frame(
	struct rig *rig, enum side side, uint8_t what, const uint8_t *data, size_t n, uint64_t now)
{
	unsigned char bytes[HTTP2_FRAME_HEADER + 300];
	uint8_t type = what & 15, flags = 0;
	size_t len = 0, used = 0;

	if (n >= 2) {
		flags = data[0];
		len = data[1];
		used = 2;
	}
	if (len > n - used)
		len = n - used;
	memcpy(bytes + HTTP2_FRAME_HEADER, data + used, len);
	if (what & 16) {
		size_t block = flags % 8;

		len = BLOCKS[block].n;
		memcpy(bytes + HTTP2_FRAME_HEADER, BLOCKS[block].bytes, len);
		flags = HTTP2_END_HEADERS | (flags >> 7);
	}
	memcpy(bytes, "\0\0\0\0\0\0\0\0\0", HTTP2_FRAME_HEADER);
	bytes[1] = (unsigned char)(len >> 8);
	bytes[2] = (unsigned char)len;
	bytes[3] = type;
	bytes[4] = flags;
	bytes[8] = what >> 5 ? (unsigned char)((what >> 5) * 2 - 1) : 0;
	rig_call(rig, side, bytes, HTTP2_FRAME_HEADER + len, HTTP2_FRAME_HEADER + len, false, now,
		what);
	return used + (what & 16 ? 0 : len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum exchange_end ends[] = {
		END_CLOSED, END_ABORTED, END_RESET, END_TIMEOUT, END_EVICTED, END_SHUTDOWN};
	struct rig *rig = rig_of(&http2, size && data[0] & 1 ? ROLE_SERVER : ROLE_CLIENT);
	uint64_t now = 1000;
	size_t at = 1;

	if (size && data[0] & 2)
		http2.join(rig->state);
	else
		rig_call(rig, SIDE_REQUEST, HTTP2_PREFACE, HTTP2_PREFACE_LEN, HTTP2_PREFACE_LEN,
			false, now, 1);
	while (at + 2 <= size) {
		uint8_t op = data[at], arg = data[at + 1];
		enum side side = op & 1 ? SIDE_REPLY : SIDE_REQUEST;
		struct stream_io io = rig_io(rig, side);
		size_t n = arg;

		at += 2;
		now += (op >> 6) * 50000000000;
		switch (op >> 1 & 7) {
		case 0:
		case 1:
		case 2:
			at += frame(rig, side, arg, data + at, size - at, now);
			break;
		case 3: /* bytes of the input, and maybe more that was not copied */
			n = n < size - at ? n : size - at;
			rig_call(rig, side, data + at, n, n + (op & 16 ? arg : 0), false, now, op);
			at += n;
			break;
		case 4: /* byte by byte */
			n = n < size - at ? n : size - at;
			for (size_t i = 0; i < n; i++)
				rig_call(rig, side, data + at + i, 1, 1, false, now, op);
			at += n;
			break;
		case 5:
			rig_lost(rig, side, arg, now);
			break;
		case 6:
			rig->full = op & 16;
			break;
		case 7:
			if (op & 32)
				rig_fin(rig, side);
			stream_flush(&rig->sides[side].stream, now, &io);
			break;
		}
	}
	rig_close(rig, ends[size % 6], 0, now);
	rig_free(rig);
	return 0;
}
