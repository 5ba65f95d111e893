/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 OR BSD-2-Clause */
/*
 * How many bytes of a connection the agent still wants. A turn is what one side sends between two
 * sends of the other; each turn's first bytes are copied, the rest is counted.
 *
 * The agent answers through a table of slots, mapped into both sides: slot[conn & mask]. A slot
 * speaks for a connection only while its tag holds that connection's number, so that a collision
 * costs bytes, never correctness.
 */
#pragma once
#include "record.h"

#define WEFT_TURN_BYTES    (16u * 1024 + 512) /* a header block of 16 KiB and its first line */
#define WEFT_CAPTURE_BYTES (16u * 1024) /* most bytes that one record carries */
#define WEFT_SMALL_BYTES   2048u /* past the budget, shorter calls are copied whole */
#define WEFT_TAIL_BYTES    8u /* past the budget, the end of longer ones */

#define WEFT_WANT_SLOTS 16384u /* a power of two */

enum weft_want {
	WEFT_WANT_HEADS = 0, /* the default: the head of each turn */
	WEFT_WANT_NOTHING = 1, /* no records but the close */
	WEFT_WANT_AGAIN = 2, /* the agent forgot it: heads, after a new announcement */
	/* Heads; but in this direction a body goes on up to the sequence number `until`: calls that
	 * end before it are counted, without a record. In the order of enum weft_direction. */
	WEFT_WANT_UNTIL_RECV = 3,
	WEFT_WANT_UNTIL_SEND = 4,
	/* As AGAIN; no message was under way when it was forgotten, and the next one begins in this
	 * direction at `until`: if no call was in between, nothing is. */
	WEFT_WANT_AGAIN_RECV = 5,
	WEFT_WANT_AGAIN_SEND = 6,
	WEFT_WANT_CALLS = 7, /* the first WEFT_CAPTURE_BYTES of each call */
	/* The same; and in this direction a frame of HTTP/2 begins at `until`: see bpf/frames.h. */
	WEFT_WANT_FRAMES_RECV = 8,
	WEFT_WANT_FRAMES_SEND = 9,
	WEFT_WANT_TLS = 10, /* its bytes are TLS: of those just the first, else what they carry */
};

#define WEFT_UNTIL_AHEAD (1u << 30) /* most bytes from here to `until` */

struct weft_want_slot {
	uint64_t tag; /* connection number */
	uint64_t what; /* enum weft_want, `until` << 32: one word, so that it is read whole */
};
