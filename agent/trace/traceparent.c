/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/traceparent.h"

#include <errno.h>

#define TRACESTATE_MEMBERS 32 /* 3.3.1.1 */
#define TRACESTATE_PART    256

/* Lower case only (3.2.1: HEXDIGLC). -1: not a digit. */
static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* n bytes from 2n digits; false if one is none. */
static bool hex_bytes(const char *s, size_t n, uint8_t *ret_bytes)
{
	for (size_t i = 0; i < n; i++) {
		int high = hex(s[2 * i]), low = hex(s[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		ret_bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool all_zero(const uint8_t *bytes, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= bytes[i];
	return any == 0;
}

int traceparent_parse(struct slice s, struct traceparent *ret_traceparent)
{
	struct traceparent t;
	uint8_t version;

	s = slice_trim(s);
	if (s.len < TRACEPARENT_LEN || s.ptr[2] != '-' || s.ptr[35] != '-' || s.ptr[52] != '-')
		return -EINVAL;
	if (!hex_bytes(s.ptr, 1, &version) || version == 0xff)
		return -EINVAL;
	/* 4.3: a later version may go on, behind a dash. */
	if (s.len > TRACEPARENT_LEN && (version == 0 || s.ptr[TRACEPARENT_LEN] != '-'))
		return -EINVAL;
	if (!hex_bytes(s.ptr + 3, TRACE_ID_LEN, t.trace_id) ||
		!hex_bytes(s.ptr + 36, SPAN_ID_LEN, t.parent_id) ||
		!hex_bytes(s.ptr + 53, 1, &t.flags))
		return -EINVAL;
	if (all_zero(t.trace_id, TRACE_ID_LEN) || all_zero(t.parent_id, SPAN_ID_LEN))
		return -EINVAL;
	if (version != 0)
		t.flags &= TRACE_SAMPLED;
	*ret_traceparent = t;
	return 0;
}

static char *put_hex(char *to, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		*to++ = "0123456789abcdef"[bytes[i] >> 4];
		*to++ = "0123456789abcdef"[bytes[i] & 15];
	}
	return to;
}

void traceparent_format(
	const struct traceparent *traceparent, char ret_text[static TRACEPARENT_LEN])
{
	char *to = ret_text;

	*to++ = '0';
	*to++ = '0';
	*to++ = '-';
	to = put_hex(to, traceparent->trace_id, TRACE_ID_LEN);
	*to++ = '-';
	to = put_hex(to, traceparent->parent_id, SPAN_ID_LEN);
	*to++ = '-';
	put_hex(to, &traceparent->flags, 1);
}

static bool is_key_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* 3.3.1.3.1; level 1's tenant@system is checked loosely, as level 2 does. */
static bool key_valid(struct slice key)
{
	if (!key.len || key.len > TRACESTATE_PART || !is_key_start(key.ptr[0]))
		return false;
	for (size_t i = 1; i < key.len; i++)
		if (!is_key_start(key.ptr[i]) && (!key.ptr[i] || !memchr("_-*/@", key.ptr[i], 5)))
			return false;
	return true;
}

/* 3.3.1.3.2; trailing blanks were trimmed with the member. */
static bool value_valid(struct slice value)
{
	if (!value.len || value.len > TRACESTATE_PART)
		return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.ptr[i] < 0x20 || value.ptr[i] > 0x7e || value.ptr[i] == '=')
			return false;
	return true;
}

struct slice tracestate_check(struct slice s)
{
	const struct slice none = {NULL, 0};
	struct slice rest = s = slice_trim(s);
	unsigned members = 0;

	if (s.len > TRACESTATE_MAX)
		return none;
	while (rest.len) {
		struct slice member = slice_trim(slice_cut(&rest, ','));
		struct slice key;

		if (!member.len)
			continue;
		key = slice_cut(&member, '=');
		if (!key_valid(key) || !value_valid(member) || ++members > TRACESTATE_MEMBERS)
			return none;
	}
	return members ? s : none;
}
