/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/http1_chunk.h"

enum state {
	SIZE, /* before or in the digits */
	PADDING, /* blanks behind them, which some servers send */
	EXTENSION, /* RFC 9112, 7.1.1 */
	SIZE_LF, /* a CR ended the line */
	DATA_END, /* before the line end behind the data */
	DATA_LF, /* after its CR */
	TRAILER, /* at the start of a trailer line */
	TRAILER_LINE, /* in one */
	TRAILER_LF, /* after the CR of the empty line that ends all */
};

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The size is known. Gives the number of bytes of the input that are data. */
static size_t size_done(struct http1_chunk *chunk, size_t left, struct parsed *ret)
{
	uint64_t size = chunk->size;

	chunk->state = size ? DATA_END : TRAILER;
	chunk->size = 0;
	chunk->digits = 0;
	chunk->line = 0;
	if (size <= left)
		return (size_t)size;
	ret->skip = size - left;
	return left;
}

/* One byte of a size line. False: malformed. */
static bool size_byte(struct http1_chunk *chunk, char c)
{
	int digit;

	if (++chunk->line > HTTP1_CHUNK_LINE_MAX)
		return false;
	if (c == '\r' && chunk->digits) {
		chunk->state = SIZE_LF;
		return true;
	}
	if (chunk->state == EXTENSION)
		return c != '\0';
	digit = chunk->state == SIZE ? hex_value(c) : -1;
	if (digit >= 0) {
		/* 15 digits: what a 64-bit position can go on by */
		if (chunk->size >> 56)
			return false;
		chunk->size = chunk->size << 4 | (uint64_t)digit;
		chunk->digits = 1;
		return true;
	}
	if (!chunk->digits)
		return false;
	if (c == ';')
		chunk->state = EXTENSION;
	else if (c == ' ' || c == '\t')
		chunk->state = PADDING;
	else
		return false;
	return true;
}

static bool trailer_byte(struct http1_chunk *chunk, char c)
{
	if (++chunk->line > HTTP1_TRAILER_MAX || c == '\0')
		return false;
	if (c == '\n')
		chunk->state = TRAILER;
	else if (c == '\r' && chunk->state == TRAILER)
		chunk->state = TRAILER_LF;
	else if (chunk->state == TRAILER_LF)
		return false;
	else
		chunk->state = TRAILER_LINE;
	return true;
}

enum parse http1_chunk_parse(
	struct http1_chunk *chunk, struct slice in, struct parsed *ret, bool *ret_end)
{
	size_t i = 0;

	ret->skip = 0;
	*ret_end = false;
	while (i < in.len && !ret->skip) {
		char c = in.ptr[i++];
		bool lf = c == '\n';

		switch ((enum state)chunk->state) {
		case SIZE:
		case PADDING:
		case EXTENSION:
			if (lf && chunk->digits)
				i += size_done(chunk, in.len - i, ret);
			else if (!size_byte(chunk, c))
				return PARSE_BAD;
			break;
		case SIZE_LF:
			if (!lf)
				return PARSE_BAD;
			i += size_done(chunk, in.len - i, ret);
			break;
		case DATA_END:
			if (!lf && c != '\r')
				return PARSE_BAD;
			chunk->state = lf ? SIZE : DATA_LF;
			break;
		case DATA_LF:
			if (!lf)
				return PARSE_BAD;
			chunk->state = SIZE;
			break;
		case TRAILER:
		case TRAILER_LF:
			if (lf) {
				*ret_end = true;
				ret->used = i;
				return PARSE_CONSUMED;
			}
			/* fall through */
		case TRAILER_LINE:
			if (!trailer_byte(chunk, c))
				return PARSE_BAD;
			break;
		}
	}
	ret->used = i;
	return PARSE_CONSUMED;
}
