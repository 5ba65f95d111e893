/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that a span needs and no input holds: written one piece after the other into a buffer of
 * fixed size, all of it forgotten at once. What does not fit is cut and `cut` is set.
 */
#pragma once
#include "core/endpoints.h"
#include "core/slice.h"

struct text {
	char *buf;
	size_t cap;
	size_t used;
	bool cut;
};

void text_put(struct text *text, struct slice s);
void text_put_u64(struct text *text, uint64_t value);
void text_put_addr(struct text *text, const uint8_t addr[static ADDR_LEN]);

/* What was put since `from`, an earlier value of text->used. */
struct slice text_since(const struct text *text, size_t from);

/* The length of the longest prefix of s that is well-formed UTF-8 (RFC 3629). */
size_t utf8_prefix(struct slice s);

/* s if it is UTF-8, else a copy with U+FFFD for every run of bytes that is not. */
struct slice text_utf8(struct text *text, struct slice s);
