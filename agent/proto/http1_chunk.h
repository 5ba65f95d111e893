/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked transfer coding (RFC 9112, 7.1), byte by byte: nothing has to be kept. */
#pragma once
#include "core/slice.h"
#include "proto/protocol.h"

#include <stdbool.h>
#include <stdint.h>

#define HTTP1_CHUNK_LINE_MAX 4096 /* size and extensions */
#define HTTP1_TRAILER_MAX    (16u * 1024) /* the trailer section */

/* Zeroed at the start of a body. */
struct http1_chunk {
	uint8_t state;
	uint8_t digits;
	uint32_t line; /* bytes of the size line, or of the trailer section */
	uint64_t size;
};

/*
 * PARSE_CONSUMED: *ret->used bytes are done with; ret->skip bytes of chunk data follow beyond the
 * input; *ret_end: the body ended after ret->used. Else all of the input was used. PARSE_BAD: not
 * the chunked coding.
 */
enum parse http1_chunk_parse(
	struct http1_chunk *chunk, struct slice in, struct parsed *ret, bool *ret_end);
