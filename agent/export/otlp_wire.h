/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf's wire format (protobuf.dev, "Encoding"), written from the end of a buffer towards its
 * start: a message's length is known when its header is due, so nothing is measured beforehand.
 * Fields are therefore put in descending order, each value before its tag. No room: the writer
 * stays failed.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire {
	char *start;
	char *at; /* first byte written; moves down */
	bool full;
};

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static inline bool wire_room(struct wire *w, size_t n)
{
	if (!w->full && (size_t)(w->at - w->start) >= n)
		return true;
	w->full = true;
	return false;
}

static inline void wire_raw(struct wire *w, const void *data, size_t len)
{
	if (len && wire_room(w, len)) {
		w->at -= len;
		memcpy(w->at, data, len);
	}
}

static inline void wire_varint(struct wire *w, uint64_t v)
{
	unsigned n = 1;

	for (uint64_t rest = v >> 7; rest; rest >>= 7)
		n++;
	if (!wire_room(w, n))
		return;
	w->at -= n;
	for (unsigned i = 0; i < n; i++, v >>= 7)
		w->at[i] = (char)((v & 0x7f) | (i + 1 < n ? 0x80 : 0));
}

static inline void wire_tag(struct wire *w, unsigned field, enum wire_type type)
{
	wire_varint(w, field << 3 | type);
}

static inline void wire_put_varint(struct wire *w, unsigned field, uint64_t v)
{
	wire_varint(w, v);
	wire_tag(w, field, WIRE_VARINT);
}

/* Little-endian, on any host. */
static inline void wire_put_fixed64(struct wire *w, unsigned field, uint64_t v)
{
	uint8_t le[8];

	for (unsigned i = 0; i < sizeof(le); i++)
		le[i] = (uint8_t)(v >> (8 * i));
	wire_raw(w, le, sizeof(le));
	wire_tag(w, field, WIRE_FIXED64);
}

static inline void wire_put_fixed32(struct wire *w, unsigned field, uint32_t v)
{
	uint8_t le[4];

	for (unsigned i = 0; i < sizeof(le); i++)
		le[i] = (uint8_t)(v >> (8 * i));
	wire_raw(w, le, sizeof(le));
	wire_tag(w, field, WIRE_FIXED32);
}

static inline void wire_put_bytes(struct wire *w, unsigned field, const void *data, size_t len)
{
	wire_raw(w, data, len);
	wire_varint(w, len);
	wire_tag(w, field, WIRE_BYTES);
}

/* The header of a message whose fields were put since w->at was `end`. */
static inline void wire_put_message(struct wire *w, unsigned field, const char *end)
{
	wire_varint(w, (uint64_t)(end - w->at));
	wire_tag(w, field, WIRE_BYTES);
}
