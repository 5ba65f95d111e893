/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed bytes: what outlives its input copies. Never NUL-terminated by contract. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const char *ptr;
	size_t len;
};

/* Of a string literal. */
#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

static inline struct slice slice_of(const void *ptr, size_t len)
{
	return (struct slice){ptr, len};
}

/* Of a NUL-terminated string; NULL gives the empty slice. */
static inline struct slice slice_str(const char *s)
{
	return (struct slice){s, s ? strlen(s) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Comparison of ASCII letters without case; other bytes exactly. */
bool slice_eq_nocase(struct slice a, struct slice b);

bool slice_starts(struct slice s, struct slice prefix);

/* Without leading and trailing spaces and tabs (RFC 9110, 5.6.3: OWS). */
struct slice slice_trim(struct slice s);

/* The part before the first c, removing it and c from *s; the whole of *s if there is no c. */
struct slice slice_cut(struct slice *s, char c);

/* Decimal digits only, no sign. 0, or -EINVAL (empty, a non-digit) or -ERANGE. */
int slice_u64(struct slice s, uint64_t *ret_value);

/* Hexadecimal digits of either case. 0, or -EINVAL or -ERANGE. */
int slice_hex_u64(struct slice s, uint64_t *ret_value);
