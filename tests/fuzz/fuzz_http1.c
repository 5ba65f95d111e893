/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a script: calls on either side of a connection, whole, cut short, or lost. The rig
 * aborts where the contract of protocol.h is broken. */
#include "../unit/proto_rig.h"

static const char *const PHRASES[] = {
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
	"5\r\nhello\r\n",
	"0\r\n\r\n",
	"HEAD / HTTP/1.1\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\n",
	"HTTP/1.0 200 OK\r\n\r\n",
	"CONNECT a:1 HTTP/1.1\r\n\r\n",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\n",
	"GET / HTTP/1.1\r\ntracestate: a=1\r\n x\r\nTraceState: b=2\r\ntraceparent:00\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
	"ello\r\n0\r\n\r\n",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum exchange_end ends[] = {
		END_CLOSED, END_ABORTED, END_RESET, END_TIMEOUT, END_EVICTED, END_SHUTDOWN};
	struct rig *rig = rig_new(size && data[0] & 1 ? ROLE_SERVER : ROLE_CLIENT);
	uint64_t now = 1000;
	size_t at = 1;

	if (size && data[0] & 2)
		http1.join(rig->state);
	while (at + 2 <= size) {
		uint8_t op = data[at], arg = data[at + 1];
		enum side side = op & 1 ? SIDE_REPLY : SIDE_REQUEST;
		struct stream_io io = rig_io(rig, side);
		const char *phrase = PHRASES[arg % 16];
		size_t n = arg;

		at += 2;
		now += (op >> 6) * 5000000;
		switch (op >> 1 & 7) {
		case 0: /* bytes of the input */
		case 1:
			n = n < size - at ? n : size - at;
			rig_call(rig, side, data + at, n, n, false, now, op);
			at += n;
			break;
		case 2: /* the same, and more that was not copied */
			n = n < size - at ? n : size - at;
			rig_call(rig, side, data + at, n, n + arg, op & 16, now, op);
			at += n;
			break;
		case 3:
		case 4:
			rig_say(rig, side, phrase, now);
			break;
		case 5: /* byte by byte */
			for (; *phrase; phrase++)
				rig_call(rig, side, phrase, 1, 1, false, now, op);
			break;
		case 6:
			if (op & 16)
				rig->sides[side].seq += arg; /* a lost record */
			else if (op & 32)
				rig->sides[side].seq -= arg;
			else
				rig_lost(rig, side, arg, now);
			break;
		case 7:
			rig->full = op & 16;
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
